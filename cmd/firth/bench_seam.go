package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/firthlake/firth/ingest/gen"
	"github.com/firthlake/firth/ingest/source"
	"github.com/firthlake/firth/serve/query/duckdb"
	"github.com/firthlake/firth/table/objstore"
)

// seamOptions are the flags of bench seam.
type seamOptions struct {
	seconds, rate  int64
	checkpoint     time.Duration
	readers, kills int
	dir            string
}

// seamResult is what readers found while a service wrote, committed and compacted.
type seamResult struct {
	Reads       int64            `json:"reads"`
	Gaps        int64            `json:"gaps"`
	Duplicates  int64            `json:"duplicates"`
	Regressions int64            `json:"regressions"`
	Doors       map[string]*door `json:"doors"`
	Kills       int              `json:"kills"`
	Produced    int64            `json:"rows_produced"`
	Seconds     float64          `json:"seconds"`
}

// readyMax is how long the service may take to answer.
const readyMax = time.Minute

func (p *program) benchSeamCommand() *cobra.Command {
	var o seamOptions
	cmd := &cobra.Command{
		Use:   "seam",
		Short: "Read a table while it is written, and look for rows that are missing or doubled",
		Long: "Starts a broker, a generator and 'firth run', and readers by turns of the warehouse live, of\n" +
			"streams and, in builds with the SQL engine, of Flight SQL. Each reads a topic partition up to the\n" +
			"cut of the table as it is now, again and again: each offset must be there once, and the cut must\n" +
			"not go back. The age of a read is the time from the newest record's timestamp until the read has\n" +
			"ended." +
			exitCodes("all reads were exact", "some were not", "could not measure"),
		Example: example("firth bench seam --seconds 60 --readers 8 --json",
			"firth bench seam --checkpoint 1m --rate 5000", "firth bench seam --seconds 300 --kills 10"),
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error { return p.benchSeam(cmd.Context(), o) },
	}
	flags := cmd.Flags()
	flags.Int64Var(&o.seconds, "seconds", 30, "how long")
	flags.Int64Var(&o.rate, "rate", 20_000, "records a second")
	flags.DurationVar(&o.checkpoint, "checkpoint", 2*time.Second, "commit interval")
	flags.IntVar(&o.readers, "readers", 8, "readers, each of one of 8 topic partitions")
	flags.IntVar(&o.kills, "kills", 0, "how often 'firth run' is killed and started again")
	addBenchDir(cmd, &o.dir)
	return cmd
}

func (p *program) benchSeam(ctx context.Context, o seamOptions) error {
	if o.seconds < 1 || o.rate < 1 || o.readers < 1 || o.kills < 0 || int64(o.kills) >= o.seconds {
		return couldNot(errors.New("--seconds, --rate and --readers must be 1 or more, --kills fewer than seconds"),
			"see 'firth bench seam --help'")
	}
	return inFolder(o.dir, func(dir string) error {
		o.dir = dir
		result, err := p.measureSeam(ctx, o)
		if err != nil {
			return err
		}
		if err := p.print(result, result.write); err != nil {
			return err
		}
		for name, d := range result.Doors {
			if d.Fault != "" || d.Reads == 0 {
				return fallsShort(fmt.Errorf("door %s: %d reads; %s", name, d.Reads, d.Fault), "")
			}
		}
		return nil
	})
}

func (r *seamResult) write(w io.Writer) error {
	for name, d := range r.Doors {
		if _, err := fmt.Fprintf(w, "%s: %s reads of %s rows: %d gaps, %d duplicates, %d regressions, %d errors; "+
			"age %.0f ms, 99 of 100 within %.0f ms\n", name, count(d.Reads), count(d.Rows), d.Gaps, d.Duplicates,
			d.Regressions, d.Errors, d.AgeP50, d.AgeP99); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(w, "%s records produced in %.0f s, %d kills\n", count(r.Produced), r.Seconds, r.Kills)
	return err
}

// seamService is a 'firth run' that is killed and started again. Its epoch is odd while it is down.
type seamService struct {
	program *program
	config  string
	url     string
	flight  string // address of Flight SQL; empty in a build without the engine
	epoch   atomic.Int64
	process *exec.Cmd
	log     *os.File
}

func (p *program) measureSeam(ctx context.Context, o seamOptions) (*seamResult, error) {
	broker, err := source.StartEmbedded(source.EmbeddedOptions{Dir: filepath.Join(o.dir, "broker"),
		Topics: map[string]int32{demoTopic: demoPartitions}})
	if err != nil {
		return nil, err
	}
	defer broker.Close()
	s, err := p.newSeamService(ctx, o, broker.Connection().Brokers)
	if err != nil {
		return nil, err
	}
	defer func() { _ = s.log.Close() }() // it is for people
	if err := s.start(ctx); err != nil {
		return nil, err
	}
	defer func() { _ = s.kill() }() // it may have ended by itself
	objects, err := objstore.Open(objstore.Config{})
	if err != nil {
		return nil, err
	}
	began := p.now()
	result := &seamResult{Doors: s.doors(), Kills: o.kills}
	names := slices.Sorted(maps.Keys(result.Doors))
	timed, cancel := context.WithCancel(ctx)
	defer cancel()
	group, timed := errgroup.WithContext(timed)
	group.Go(func() error {
		g, err := gen.New(gen.Options{Workload: "events10", Format: gen.JSON, Seed: 1})
		if err != nil {
			return err
		}
		totals, err := gen.Produce(timed, broker.Connection(), demoTopic, g, gen.Run{Rate: o.rate})
		if totals != nil {
			result.Produced = totals.Rows
		}
		return err
	})
	for i := range o.readers {
		name, partition := names[i%len(names)], int32(i%demoPartitions)
		r := &seamReader{way: s.way(name, partition, objects), partition: partition, door: result.Doors[name],
			now: p.now, epoch: s.epoch.Load}
		group.Go(func() error {
			r.run(timed)
			return nil
		})
	}
	group.Go(func() error {
		defer cancel()
		return s.killAndStart(timed, o, result.Doors)
	})
	if err := group.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	for _, d := range result.Doors {
		d.finish()
		result.Reads, result.Gaps = result.Reads+d.Reads, result.Gaps+d.Gaps
		result.Duplicates, result.Regressions = result.Duplicates+d.Duplicates, result.Regressions+d.Regressions
	}
	result.Seconds = p.now().Sub(began).Seconds()
	return result, nil
}

// The doors that readers go through.
const (
	doorLive   = "live_catalog"
	doorFlight = "flight"
	doorStream = "subscribe"
)

func (s *seamService) doors() map[string]*door {
	doors := map[string]*door{doorLive: {}, doorStream: {}}
	if s.flight != "" {
		doors[doorFlight] = &door{}
	}
	return doors
}

func (s *seamService) way(door string, partition int32, objects objstore.Store) seamWay {
	switch door {
	case doorFlight:
		return &flightWay{url: "grpc://" + s.flight, partition: partition, epoch: s.epoch.Load}
	case doorStream:
		return &streamWay{url: s.url, partition: partition}
	}
	return &liveWay{url: s.url, partition: partition, store: objects}
}

// newSeamService writes configuration and spec and makes the table.
func (p *program) newSeamService(ctx context.Context, o seamOptions, brokers []string) (*seamService, error) {
	spec := strings.Replace(demoSpec, "{interval: 2s}", "{interval: "+o.checkpoint.String()+"}", 1)
	tables := filepath.Join(o.dir, "tables")
	if err := os.MkdirAll(tables, 0o755); err != nil {
		return nil, fmt.Errorf("make folder: %w", err)
	}
	if err := os.WriteFile(filepath.Join(tables, "events.yaml"), []byte(spec), 0o644); err != nil {
		return nil, fmt.Errorf("write spec: %w", err)
	}
	address, err := freeAddress(ctx)
	if err != nil {
		return nil, err
	}
	s := &seamService{program: p, config: filepath.Join(o.dir, "firth.yaml"), url: "http://" + address}
	s.epoch.Store(1)
	if _, err := duckdb.Open(duckdb.Options{}, nil); !errors.Is(err, duckdb.ErrMissing) {
		if s.flight, err = freeAddress(ctx); err != nil {
			return nil, err
		}
	}
	text := fmt.Sprintf(demoConfig, s.config, strings.Join(brokers, ", ")) +
		"listen: {catalog: '" + address + "', admin: ''}\n"
	if err := os.WriteFile(s.config, []byte(text), 0o644); err != nil {
		return nil, fmt.Errorf("write configuration: %w", err)
	}
	own := *p
	own.configPath = s.config
	c, err := own.loadConfig()
	if err != nil {
		return nil, err
	}
	l, err := own.open(ctx, c)
	if err != nil {
		return nil, err
	}
	defer l.close()
	if err := own.applySpecs(ctx, l); err != nil {
		return nil, err
	}
	if s.log, err = os.Create(filepath.Join(o.dir, "firth.log")); err != nil {
		return nil, fmt.Errorf("make log: %w", err)
	}
	return s, nil
}

// freeAddress is one that nobody listens at, a moment ago.
func freeAddress(ctx context.Context) (string, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	return l.Addr().String(), l.Close()
}

// start starts the process and waits until its catalog answers.
func (s *seamService) start(ctx context.Context) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	s.process = exec.CommandContext(context.WithoutCancel(ctx), self, "run", "-c", s.config, "--flight", s.flight)
	s.process.Stdout, s.process.Stderr = s.log, s.log
	if err := s.process.Start(); err != nil {
		return fmt.Errorf("start firth run: %w", err)
	}
	ready, cancel := context.WithTimeout(ctx, readyMax)
	defer cancel()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		request, err := http.NewRequestWithContext(ready, http.MethodGet, s.url+"/v1/config", nil)
		if err != nil {
			return err
		}
		if answer, err := http.DefaultClient.Do(request); err == nil {
			_ = answer.Body.Close() // nothing is read from it
			if s.flight == "" || accepts(ready, s.flight) {
				s.epoch.Add(1)
				return nil
			}
		}
		select {
		case <-ready.Done():
			return fmt.Errorf("firth run does not answer, its log is %s: %w", s.log.Name(), ready.Err())
		case <-ticker.C:
		}
	}
}

func accepts(ctx context.Context, address string) bool {
	var dialer net.Dialer
	connection, err := dialer.DialContext(ctx, "tcp", address)
	return err == nil && connection.Close() == nil
}

// kill kills the process where it stands.
func (s *seamService) kill() error {
	if err := s.process.Process.Kill(); err != nil {
		return fmt.Errorf("kill firth run: %w", err)
	}
	_ = s.process.Wait() // it was killed
	return nil
}

// killAndStart kills the service as often as asked, at even intervals, and returns after the last of them. Where the
// service or its readers are slow, an interval lasts until rows were read through every door.
func (s *seamService) killAndStart(ctx context.Context, o seamOptions, doors map[string]*door) error {
	for kill := 0; ; kill++ {
		interval := time.NewTimer(time.Duration(o.seconds) * time.Second / time.Duration(o.kills+1))
		err := waitRead(ctx, doors)
		select {
		case <-ctx.Done():
			interval.Stop()
			return nil
		case <-interval.C:
		}
		if err != nil || kill == o.kills {
			return err
		}
		s.epoch.Add(1)
		if err := s.kill(); err != nil {
			return err
		}
		if err := s.start(context.WithoutCancel(ctx)); err != nil {
			return err
		}
	}
}

// waitRead waits until more rows were read through every door.
func waitRead(ctx context.Context, doors map[string]*door) error {
	ready, cancel := context.WithTimeout(ctx, readyMax)
	defer cancel()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for name, d := range doors {
		for before := d.rows(); d.rows() == before; {
			select {
			case <-ready.Done():
				return fmt.Errorf("nothing is read through door %s: %w", name, ready.Err())
			case <-ticker.C:
			}
		}
	}
	return nil
}
