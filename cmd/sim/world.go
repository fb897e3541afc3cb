package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"

	"github.com/firthlake/firth/catalog"
	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/ingest/source/sourcetest"
	"github.com/firthlake/firth/table/keyindex/disktest"
	"github.com/firthlake/firth/table/objstore"
)

// world is everything outside the firth processes, and the scheduler.
type world struct {
	seed  uint64
	rng   *rand.Rand
	now   time.Time
	trace io.Writer // nil for none

	log     *sourcetest.Log
	objects *objstore.Memory
	store   *catalog.MemoryStore
	// healthy is the catalog as the world itself uses it, with no faults.
	healthy *catalog.Catalog
	load    workload
	feeds   []*feed
	rates   faultRates
	hazards hazards
	healed  bool

	processes []*process
	started   int
	// travelling are requests whose senders gave up and that will land some time.
	travelling []func(context.Context) error
	steps      int
	// seen are the metadata locations of all tables when caughtUp looked last.
	seen []string

	// first is where each partition's log begins, truncated where it has ever begun.
	first     map[commit.TopicPartition]commit.Offset
	truncated map[commit.TopicPartition]map[commit.Offset]bool
	// outageEnds and fullEnds are the steps until which the object store is down or full, darkEnds until
	// which the catalog is dark.
	outageEnds, fullEnds, darkEnds int
	foreigners                     int // foreign commits so far

	// Of a keyed world: how many keys there are, in which partition each is, the memory of an index, and
	// the disks of dead processes.
	keys       int64
	home       map[int64]int32
	indexBytes int64
	disks      []*disktest.Memory
	keeping    keeping
	// fault is what was found wrong with a snapshot of a keyed table when it landed, and tally what did.
	fault error
	tally tally
}

// stepsMax bounds a run; the slowest of 100,000 seeds took a third of it.
const stepsMax = 60_000

func newWorld(seed uint64, trace io.Writer) *world {
	w := &world{
		seed: seed, trace: trace,
		rng:       rand.New(rand.NewPCG(seed, 0x66697274682d7369)),
		now:       time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
		log:       sourcetest.NewLog("cluster-" + fmt.Sprint(seed)),
		store:     catalog.NewMemoryStore(),
		first:     map[commit.TopicPartition]commit.Offset{},
		truncated: map[commit.TopicPartition]map[commit.Offset]bool{},
	}
	w.objects = objstore.NewMemory(w.clock)
	w.healthy = w.newCatalog(watchedStore{w.store, w}, w.objects)
	w.rates = w.drawRates()
	w.load = w.drawWorkload()
	w.feeds = w.drawFeeds()
	w.hazards = w.drawHazards()
	if w.keyed() {
		w.drawKeyed()
		if w.rng.IntN(4) > 0 {
			w.hazards.others = w.rng.IntN(400)
		}
		if w.rates.killed > 0 {
			w.rates.killed = 1 + w.rng.IntN(6)
		}
	}
	return w
}

func (w *world) tracef(format string, args ...any) {
	if w.trace != nil {
		fmt.Fprintf(w.trace, "%6d "+format+"\n", append([]any{w.steps}, args...)...)
	}
}

func (w *world) clock() time.Time { return w.now }

func (w *world) random() uint64 { return w.rng.Uint64() }

func (w *world) newID() uuid.UUID {
	var id uuid.UUID
	binary.BigEndian.PutUint64(id[:8], w.rng.Uint64())
	binary.BigEndian.PutUint64(id[8:], w.rng.Uint64())
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	return id
}

// catalogOf is the catalog as a process of its own sees it.
func (w *world) catalogOf(p *process) *catalog.Catalog {
	return w.newCatalog(catalogStore{Store: watchedStore{w.store, w}, process: p}, w.objectsOf(p))
}

func (w *world) newCatalog(store catalog.Store, objects objstore.Store) *catalog.Catalog {
	return catalog.New(store, objects, catalog.Options{
		Warehouse: "mem://warehouse", MakeNamespaces: true, Now: w.clock, NewID: w.newID,
		TableProperties: catalog.DefaultTableProperties(),
	})
}

// run lets the processes work under faults until the log is written and nothing more happens for the
// time being, then lets one healthy process finish.
func (w *world) run(ctx context.Context) error {
	if err := w.create(ctx); err != nil {
		return fmt.Errorf("create tables: %w", err)
	}
	for range w.load.processes {
		w.spawn(ctx)
	}
	for w.load.left > 0 || w.rng.IntN(40) > 0 {
		if w.steps++; w.steps > stepsMax {
			return fmt.Errorf("no end after %d steps", stepsMax)
		}
		if err := errors.Join(w.happen(ctx), w.fault); err != nil {
			return err
		}
	}
	return w.finish(ctx)
}

// happen is one step of the world: time passes, something may befall, one process goes on.
func (w *world) happen(ctx context.Context) error {
	w.now = w.now.Add(time.Duration(w.rng.Int64N(int64(w.load.pace))))
	w.produce()
	if err := w.befall(ctx); err != nil {
		return err
	}
	w.land(ctx, 20)
	for _, p := range w.living() {
		switch {
		case w.rng.IntN(1000) < w.rates.killed:
			p.kill()
		case w.rng.IntN(1000) < w.rates.stopped:
			p.paused = w.rng.IntN(400)
			w.tracef("%s is stopped for %d steps", p.name, p.paused)
		}
	}
	if w.ingesting() < w.load.processes && w.rng.IntN(10) == 0 {
		w.spawn(ctx)
	}
	w.spawnKeepers(ctx)
	if p := w.pick(); p != nil {
		p.step()
	}
	return nil
}

// land lets each request that is under way arrive with one chance in odds.
func (w *world) land(ctx context.Context, odds int) {
	for i := 0; i < len(w.travelling); i++ {
		if w.rng.IntN(odds) > 0 {
			continue
		}
		request := w.travelling[i]
		w.travelling = append(w.travelling[:i], w.travelling[i+1:]...)
		w.tracef("a late request lands: %v", request(ctx))
		i--
	}
}

func (w *world) living() []*process {
	var living []*process
	for _, p := range w.processes {
		if !p.ended {
			living = append(living, p)
		}
	}
	w.processes = append(w.processes[:0], living...)
	return living
}

// ingesting is how many of the living processes ingest.
func (w *world) ingesting() (n int) {
	for _, p := range w.living() {
		if !p.keeper {
			n++
		}
	}
	return n
}

// pick draws one of the processes that are not stopped.
func (w *world) pick() *process {
	var ready []*process
	for _, p := range w.processes {
		if p.ended {
			continue
		}
		if p.paused > 0 {
			p.paused--
			continue
		}
		ready = append(ready, p)
	}
	if len(ready) == 0 {
		return nil
	}
	return ready[w.rng.IntN(len(ready))]
}

// finish ends the faults. What still travels lands in the midst of the last process's work, which has to
// go on from there.
func (w *world) finish(ctx context.Context) error {
	w.tracef("the faults end")
	w.healed = true
	for _, p := range w.processes {
		p.kill()
	}
	w.spawn(ctx)
	for len(w.travelling) > 0 || !w.caughtUp(ctx) {
		if w.steps++; w.steps > stepsMax {
			return fmt.Errorf("the table has not caught up after %d steps", stepsMax)
		}
		w.now = w.now.Add(time.Second)
		w.land(ctx, 5)
		if w.rng.IntN(30) == 0 {
			if err := w.acceptLosses(ctx); err != nil {
				return err
			}
		}
		if len(w.living()) == 0 {
			w.spawn(ctx)
		}
		w.processes[0].step()
		if w.fault != nil {
			return w.fault
		}
	}
	for _, p := range w.processes {
		p.kill()
	}
	return nil
}
