package main

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/firthlake/firth/ingest"
	"github.com/firthlake/firth/ingest/source"
	"github.com/firthlake/firth/ingest/spec"
	"github.com/firthlake/firth/serve/peers"
	"github.com/firthlake/firth/serve/stream"
	"github.com/firthlake/firth/table"
)

// service runs ingest in generations: one set of specs at a time. When specs change and match their
// tables, the running generation commits what it holds and ends, and the next one goes on from where
// the tables stand; so nothing is lost or repeated.
type service struct {
	feeder *feeder
	log    *slog.Logger
	look   chan struct{} // somebody says that specs have changed
	turns  turns
	doors  *doors       // nil where nobody asks
	name   string       // of this start of the process
	peers  *peers.Peers // nil where processes cannot find each other
	rows   *peers.Rows  // looked up; nil where nobody asks

	streams *stream.Streams // nil where nobody follows tables

	mu      sync.Mutex
	feed    *feed // nil before the first generation
	fault   error // why ingest ended
	waiting error // why changed specs are not taken yet

	specs  []*spec.Spec // of the generation; by start and run
	seen   uint64       // fingerprint of the spec folder
	halted map[string]string
}

// lookEvery is how often the folder of specs and stopped tables are looked at.
const lookEvery = 2 * time.Second

func newService(f *feeder) *service {
	return &service{feeder: f, log: f.log, name: uuid.NewString(), look: make(chan struct{}, 1),
		halted: map[string]string{}}
}

// start opens the first generation. It fails on any spec that does not match its table.
func (s *service) start(ctx context.Context) error {
	seen, err := fingerprint(s.feeder.lake.config.Tables)
	if err != nil {
		return err
	}
	plans, err := s.matching(ctx)
	if err != nil {
		return err
	}
	specs := specsOf(plans)
	opened, err := s.feeder.open(ctx, specs, tablesOf(plans))
	if err != nil {
		return err
	}
	s.specs, s.seen = specs, seen
	s.mu.Lock()
	s.feed = opened
	s.mu.Unlock()
	return nil
}

// matching reads the specs and makes sure that every one is its table's.
func (s *service) matching(ctx context.Context) ([]planned, error) {
	l := s.feeder.lake
	specs, err := readSpecs(l.config.Tables, nil)
	if err != nil {
		return nil, err
	}
	plans, err := planAll(ctx, s.feeder.program, l, specs)
	if err != nil {
		return nil, err
	}
	if err := refused(plans); err != nil {
		f := &failure{}
		errors.As(err, &f)
		return nil, couldNot(err, f.remedy)
	}
	for _, each := range plans {
		if len(each.plan.Steps) > 0 {
			step := each.plan.Steps[0]
			return nil, couldNot(fmt.Errorf("%s does not match table %s yet: %s %s: %s", each.spec.File(),
				each.spec.Name,
				step.Kind, step.Object, step.Text), "'firth plan' shows all of it, 'firth apply' makes it so")
		}
	}
	return plans, nil
}

// run runs generation after generation until ctx ends or a source is of no more use.
func (s *service) run(ctx context.Context) error {
	for {
		next, err := s.generation(ctx)
		if errors.Is(err, source.ErrInstanceTaken) && ctx.Err() == nil {
			s.log.Error("joining the consumer group as a new member", withRemedy(err)...)
			s.feeder.place.leave()
			next, err = s.specs, nil
		}
		if err != nil || ctx.Err() != nil {
			s.mu.Lock()
			s.fault = err
			s.mu.Unlock()
			return err
		}
		opened, err := s.feeder.open(ctx, next, nil) // the generation before has moved its tables
		if err != nil {
			return err
		}
		s.log.Info("taking changed specs", "tables", len(next))
		s.specs = next
		clear(s.halted)
		s.mu.Lock()
		s.feed, s.waiting = opened, nil
		s.mu.Unlock()
	}
}

// generation runs the open feed until specs change, and returns those of the next one.
func (s *service) generation(ctx context.Context) ([]*spec.Spec, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	group, running := errgroup.WithContext(ctx)
	for _, g := range s.feed.ingesters {
		group.Go(func() error { return g.Run(running) })
	}
	for _, changes := range s.feed.followers {
		group.Go(func() error {
			_ = changes.Run(running) // it ends when the generation does, which is no fault
			return nil
		})
	}
	next := s.watch(running)
	cancel()
	return next, group.Wait()
}

// watch waits until specs have changed and match their tables, or a stopped table has moved.
func (s *service) watch(ctx context.Context) []*spec.Spec {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		case <-s.look:
		}
		s.turns.look(s.feeder.program.now())
		seen, err := fingerprint(s.feeder.lake.config.Tables)
		if err != nil {
			s.wait(err)
			continue
		}
		if seen == s.seen && s.waiting == nil {
			if s.moved(ctx) {
				return s.specs
			}
			continue
		}
		plans, err := s.matching(ctx)
		if err != nil {
			s.seen = seen
			s.wait(err)
			continue
		}
		s.seen = seen
		return specsOf(plans)
	}
}

// wait notes why changed specs are not taken, and logs it once.
func (s *service) wait(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiting == nil || s.waiting.Error() != err.Error() {
		s.log.Warn("changed specs are not taken yet", withRemedy(err)...)
	}
	s.waiting = err
}

// moved says whether a stopped table was changed by somebody since it stopped: a loss was accepted,
// a transition declared.
func (s *service) moved(ctx context.Context) bool {
	for _, t := range s.tables() {
		if t.State != ingest.StateStopped {
			continue
		}
		ident, err := table.ParseIdent(t.Table)
		if err != nil {
			continue
		}
		current, err := s.feeder.lake.catalog.LoadTable(ctx, ident)
		if err != nil {
			continue // the next look tells
		}
		before, known := s.halted[t.Table]
		s.halted[t.Table] = current.MetadataLocation()
		if known && before != current.MetadataLocation() {
			s.log.Info("a stopped table was changed: starting again", "table", t.Table)
			return true
		}
	}
	return false
}

// tables is what the running generation has done.
func (s *service) tables() []ingest.TableProgress {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.feed == nil {
		return []ingest.TableProgress{}
	}
	return s.feed.progress()
}

// fingerprint changes when a spec file is written, renamed or removed. It reads no file: it is taken
// every few seconds, of a thousand specs as well as of one.
func fingerprint(folder string) (uint64, error) {
	files, err := specFiles(folder)
	if err != nil {
		return 0, err
	}
	h := fnv.New64a()
	for _, file := range files {
		about, err := os.Stat(file)
		if err != nil {
			return 0, fmt.Errorf("read spec: %w", err)
		}
		fmt.Fprintf(h, "%s %d %d\n", file, about.Size(), about.ModTime().UnixNano())
	}
	return h.Sum64(), nil
}
