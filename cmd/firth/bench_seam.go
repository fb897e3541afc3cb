package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/firthlake/firth/cmd/firth/stage"
)

// seamOptions are the flags of bench seam.
type seamOptions struct {
	seconds, rate  int64
	checkpoint     time.Duration
	readers, kills int
	back           seamBack
	seamKeys
	dir string
}

// seamKeys say of what table.
type seamKeys struct {
	keyed        bool // one that has one row a key
	keys         int
	distribution string
}

func (k *seamKeys) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.BoolVar(&k.keyed, "keyed", false, "of a table that has one row a key, under upserts and deletes")
	flags.IntVar(&k.keys, "keys", 20_000, "with --keyed how many keys")
	flags.StringVar(&k.distribution, "distribution", stage.Uniform, "with --keyed how keys are drawn: "+
		strings.Join(distributions(), ", "))
	completions(cmd, "distribution", distributions())
}

func (k *seamKeys) validate() error {
	if k.keys < stage.UpsertKeysMin || k.keys > seamKeysMax {
		return couldNot(fmt.Errorf("--keys %d must be %d to %d", k.keys, stage.UpsertKeysMin, seamKeysMax), "")
	}
	if !slices.Contains(distributions(), k.distribution) {
		return couldNot(fmt.Errorf("--distribution %q must be one of %s", k.distribution,
			strings.Join(distributions(), ", ")), "")
	}
	return nil
}

// seamKeysMax is what a reader reads and compares within a second or so.
const seamKeysMax = 10_000_000

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
			"not go back. With --keyed the table has one row a key, one record in 50 deletes, and look-ups are\n" +
			"a way to it, too: each key must have the row that is the newest at the cut, or none when that was\n" +
			"deleted. The age of a read is the time from the newest record's timestamp until the read has ended.\n" +
			"With -c the table lies in that configuration's warehouse, and stays there." +
			exitCodes("all reads were exact", "some were not", "could not measure"),
		Example: example("firth bench seam --seconds 60 --readers 8 --json",
			"firth bench seam --checkpoint 1m --rate 5000", "firth bench seam --seconds 300 --kills 10",
			"firth bench seam --keyed --keys 1000 --distribution zipf"),
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error { return p.benchSeam(cmd.Context(), o) },
	}
	flags := cmd.Flags()
	flags.Int64Var(&o.seconds, "seconds", 30, "how long")
	flags.Int64Var(&o.rate, "rate", 20_000, "records a second")
	flags.DurationVar(&o.checkpoint, "checkpoint", 2*time.Second, "commit interval")
	flags.IntVar(&o.readers, "readers", 8, "readers, each of one of 8 topic partitions")
	flags.IntVar(&o.kills, "kills", 0, "how often 'firth run' is killed and started again")
	o.seamKeys.add(cmd)
	addBenchDir(cmd, &o.dir)
	return cmd
}

func (p *program) benchSeam(ctx context.Context, o seamOptions) error {
	if o.seconds < 1 || o.rate < 1 || o.readers < 1 || o.kills < 0 || int64(o.kills) >= o.seconds {
		return couldNot(errors.New("--seconds, --rate and --readers must be 1 or more, --kills fewer than seconds"),
			"see 'firth bench seam --help'")
	}
	if err := o.validate(); err != nil {
		return err
	}
	return p.measured(o.dir, func(dir string) (benched, error) {
		o.dir = dir
		return p.measureSeam(ctx, o)
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
	t, err := p.seamTable(o)
	if err != nil {
		return nil, err
	}
	broker, err := benchBroker(o.dir, t.topic())
	if err != nil {
		return nil, err
	}
	defer broker.Close()
	s, err := p.startSeam(ctx, o, t, broker.Connection().Brokers)
	if err != nil {
		return nil, err
	}
	defer s.close()
	objects, err := s.objects()
	if err != nil {
		return nil, err
	}
	began, ways := p.now(), t.ways(s, objects)
	result := &seamResult{Doors: map[string]*door{}, Kills: o.kills}
	names := slices.Sorted(maps.Keys(ways))
	for _, name := range names {
		result.Doors[name] = &door{}
	}
	timed, cancel := context.WithCancel(ctx)
	defer cancel()
	group, timed := errgroup.WithContext(timed)
	group.Go(func() (err error) {
		result.Produced, err = t.produce(timed, broker.Connection())
		return err
	})
	for i := range o.readers {
		name, partition := names[i%len(names)], int32(i%demoPartitions)
		r := &seamReader{way: ways[name](partition), partition: partition, door: result.Doors[name], now: p.now,
			epoch: s.epoch.Load}
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

// startSeam starts the service of a table.
func (p *program) startSeam(ctx context.Context, o seamOptions, t seamTable, brokers []string) (*benchService, error) {
	text, err := t.spec()
	if err != nil {
		return nil, err
	}
	return p.startBenchService(ctx, benchServiceOptions{dir: o.dir, brokers: brokers, flight: flightAtAll, spec: text})
}

// killAndStart kills the service as often as asked, at even intervals, and returns after the last of them. Where the
// service or its readers are slow, an interval lasts until rows were read through every door.
func (s *benchService) killAndStart(ctx context.Context, o seamOptions, doors map[string]*door) error {
	for kill := 0; ; kill++ {
		interval := time.NewTimer(time.Duration(o.seconds) * time.Second / time.Duration(o.kills+1))
		err := waitRead(ctx, doors, readyMax+2*o.checkpoint) // changes are told of commits
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

// waitRead waits until more rows were read through every door, within limits.
func waitRead(ctx context.Context, doors map[string]*door, most time.Duration) error {
	ready, cancel := context.WithTimeout(ctx, most)
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
