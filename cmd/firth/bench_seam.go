package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/firthlake/firth/ingest/gen"
	"github.com/firthlake/firth/ingest/source"
	"github.com/firthlake/firth/table/objstore"
)

// seamOptions are the flags of bench seam.
type seamOptions struct {
	seconds, rate  int64
	checkpoint     time.Duration
	readers, kills int
	back           seamBack
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

func (p *program) benchSeamCommand() *cobra.Command {
	o := seamOptions{back: seamBack{window: seamWindow, whole: seamWhole}}
	cmd := &cobra.Command{
		Use:   "seam",
		Short: "Read a table while it is written, and look for rows that are missing or doubled",
		Long: "Starts a broker, a generator and 'firth run', and readers by turns of the warehouse live, of\n" +
			"streams and, in builds with the SQL engine, of Flight SQL. Each reads a topic partition up to the\n" +
			"cut of the table as it is now, again and again: each offset must be there once, and the cut must\n" +
			"not go back. The age of a read is the time from the newest record's timestamp until the read has\n" +
			"ended. With -c the table lies in that configuration's warehouse, and stays there." +
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
		return result.fault()
	})
}

// fault is the first thing that was wrong behind a door.
func (r *seamResult) fault() error {
	for name, d := range r.Doors {
		if d.Fault != "" || d.Reads == 0 {
			return fallsShort(fmt.Errorf("door %s: %d reads; %s", name, d.Reads, d.Fault), "")
		}
	}
	return nil
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

func (p *program) measureSeam(ctx context.Context, o seamOptions) (*seamResult, error) {
	broker, err := source.StartEmbedded(source.EmbeddedOptions{Dir: filepath.Join(o.dir, "broker"),
		Topics: map[string]int32{demoTopic: demoPartitions}})
	if err != nil {
		return nil, err
	}
	defer broker.Close()
	s, err := p.startSeam(ctx, o, broker.Connection().Brokers)
	if err != nil {
		return nil, err
	}
	defer s.close()
	objects, err := s.objects()
	if err != nil {
		return nil, err
	}
	began := p.now()
	result := &seamResult{Doors: s.doors(), Kills: o.kills}
	names := slices.Sorted(maps.Keys(result.Doors))
	timed, cancel := context.WithCancel(ctx)
	defer cancel()
	group, timed := errgroup.WithContext(timed)
	group.Go(func() (err error) {
		result.Produced, err = produceEvents(timed, broker.Connection(), o.rate)
		return err
	})
	for i := range o.readers {
		name, partition := names[i%len(names)], int32(i%demoPartitions)
		r := &seamReader{way: s.way(name, partition, objects, o.back), partition: partition, door: result.Doors[name],
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

// startSeam starts the service of the demo's table.
func (p *program) startSeam(ctx context.Context, o seamOptions, brokers []string) (*benchService, error) {
	return p.startBenchService(ctx, benchServiceOptions{dir: o.dir, brokers: brokers, flight: flightAtAll,
		spec: strings.Replace(demoSpec, "{interval: 2s}", "{interval: "+o.checkpoint.String()+"}", 1)})
}

// produceEvents fills the demo's topic until ctx ends, and returns how many records it wrote.
func produceEvents(ctx context.Context, connection source.Connection, rate int64) (int64, error) {
	g, err := gen.New(gen.Options{Workload: "events10", Format: gen.JSON, Seed: 1})
	if err != nil {
		return 0, err
	}
	totals, err := gen.Produce(ctx, connection, demoTopic, g, gen.Run{Rate: rate})
	if totals == nil {
		return 0, err
	}
	return totals.Rows, err
}

func (s *benchService) doors() map[string]*door {
	doors := map[string]*door{doorLive: {}, doorStream: {}}
	if s.flight != "" {
		doors[doorFlight] = &door{}
	}
	return doors
}

func (s *benchService) way(door string, partition int32, objects objstore.Store, back seamBack) seamWay {
	switch door {
	case doorFlight:
		return &flightWay{seamBack: back, url: "grpc://" + s.flight, partition: partition, epoch: s.epoch.Load}
	case doorStream:
		return &streamWay{url: s.url, partition: partition}
	}
	return &liveWay{seamBack: back, url: s.url, partition: partition, store: objects}
}

// killAndStart kills the service as often as asked, at even intervals, and returns after the last of them. Where the
// service or its readers are slow, an interval lasts until rows were read through every door.
func (s *benchService) killAndStart(ctx context.Context, o seamOptions, doors map[string]*door) error {
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
