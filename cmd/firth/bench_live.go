package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/firthlake/firth/catalog"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/objstore"
	"github.com/firthlake/firth/table/tail"
)

// liveOptions are the flags of bench live.
type liveOptions struct {
	seconds, rate int64
	checkpoint    time.Duration
	chunks        int
	seamKeys
	dir string
}

// liveResult is how old reads were behind each door, and how long a load of the table took.
type liveResult struct {
	seamResult
	// Chunks are those behind the committed table in the loads that count, at most; 0 when none were measured.
	Chunks  int     `json:"chunks"`
	Loads   int     `json:"loads"`
	LoadP50 float64 `json:"load_ms_p50"`
	LoadP95 float64 `json:"load_ms_p95"`
}

const (
	// liveWindow are the offsets before the cut that a read looks at, as who wants the newest rows does. None looks at
	// all.
	liveWindow = 2_000
	liveWhole  = 1 << 60
	// loadRate are the records a second while loads are measured, loadInterval how often they become a chunk, loadEvery
	// how often the table is loaded.
	loadRate     = 1_000
	loadInterval = liveIntervalMin
	loadEvery    = 100 * time.Millisecond
	// chunksMost is where ingest commits.
	chunksMost = 1_000
	// liveReaders are one for each door.
	liveReaders = 3
)

func (p *program) benchLiveCommand() *cobra.Command {
	var o liveOptions
	cmd := &cobra.Command{
		Use:   "live",
		Short: "Measure how old the rows are that readers get of a table as of now",
		Long: "Starts a broker, a generator and 'firth run', and one reader each of the warehouse live, of a\n" +
			"stream and, in builds with the SQL engine, of Flight SQL, who looks at the newest rows of a topic\n" +
			"partition again and again. The age of a read is the time from the newest record's timestamp until\n" +
			"the read has ended. As in 'firth bench seam' each offset must be there once, and the cut must not\n" +
			"go back. Then a table is loaded from the warehouse live while ever more chunks lie behind its last\n" +
			"commit, ten more a second: loads count from nine tenths of --chunks on, those that are a new state\n" +
			"each; with --keyed none are. With -c the tables lie in that configuration's warehouse, and stay there." +
			exitCodes("all reads were exact", "some were not", "could not measure"),
		Example: example("firth bench live --json", "firth bench live --seconds 60 --rate 50000 --chunks 0",
			"firth bench live -c firth.yaml --checkpoint 1m --rate 5000 --chunks 0",
			"firth bench live --keyed --checkpoint 1m --rate 5000"),
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error { return p.benchLive(cmd.Context(), o) },
	}
	flags := cmd.Flags()
	flags.Int64Var(&o.seconds, "seconds", 30, "how long readers read")
	flags.Int64Var(&o.rate, "rate", 20_000, "records a second while they do")
	flags.DurationVar(&o.checkpoint, "checkpoint", 10*time.Second, "commit interval")
	flags.IntVar(&o.chunks, "chunks", chunksMost, "chunks behind the table when it is loaded; 0 measures no loads")
	o.seamKeys.add(cmd)
	addBenchDir(cmd, &o.dir)
	return cmd
}

func (p *program) benchLive(ctx context.Context, o liveOptions) error {
	if o.seconds < 1 || o.rate < 1 || o.chunks < 0 || o.chunks > chunksMost {
		return couldNot(fmt.Errorf("--seconds and --rate must be 1 or more, --chunks 0 to %d", chunksMost),
			"see 'firth bench live --help'")
	}
	if err := o.validate(); err != nil {
		return err
	}
	return p.measured(o.dir, func(dir string) (benched, error) {
		seam := seamOptions{seconds: o.seconds, rate: o.rate, checkpoint: o.checkpoint, seamKeys: o.seamKeys,
			readers: liveReaders, back: seamBack{window: liveWindow, whole: liveWhole},
			dir: filepath.Join(dir, "doors")}
		if o.keyed {
			seam.readers++ // look-ups are one more door
		}
		o.dir = filepath.Join(dir, "loads")
		for _, each := range []string{seam.dir, o.dir} {
			if err := os.MkdirAll(each, 0o755); err != nil {
				return nil, fmt.Errorf("make folder: %w", err)
			}
		}
		read, err := p.measureSeam(ctx, seam)
		if err != nil {
			return nil, err
		}
		result := &liveResult{seamResult: *read}
		if o.chunks > 0 && !o.keyed {
			if err := p.measureLoads(ctx, o, result); err != nil {
				return nil, err
			}
		}
		return result, nil
	})
}

func (r *liveResult) write(w io.Writer) error {
	if err := r.seamResult.write(w); err != nil || r.Loads == 0 {
		return err
	}
	_, err := fmt.Fprintf(w, "%d loads with up to %d chunks: %.1f ms, 95 of 100 within %.1f ms\n", r.Loads, r.Chunks,
		r.LoadP50, r.LoadP95)
	return err
}

// measureLoads loads the table while chunks come.
func (p *program) measureLoads(ctx context.Context, o liveOptions, result *liveResult) error {
	broker, err := benchBroker(o.dir, demoTopic)
	if err != nil {
		return err
	}
	defer broker.Close()
	s, err := p.startBenchService(ctx, benchServiceOptions{dir: o.dir, brokers: broker.Connection().Brokers,
		spec:   strings.Replace(demoSpec, "{interval: 2s}", "{interval: 10m}", 1),
		config: fmt.Sprintf("live: {interval: %v}\n", loadInterval)})
	if err != nil {
		return err
	}
	defer s.close()
	objects, err := s.objects()
	if err != nil {
		return err
	}
	remote, err := catalog.DialRemote(ctx, catalog.RemoteConfig{URI: s.url, Warehouse: "live"}, http.DefaultClient)
	if err != nil {
		return err
	}
	producing, stop := context.WithCancel(ctx)
	produced := make(chan error, 1)
	go func() {
		_, err := produceEvents(producing, broker.Connection(), loadRate)
		produced <- err
	}()
	l := loads{remote: remote, objects: objects, chunks: o.chunks, now: p.now}
	err = l.run(ctx)
	stop()
	if err := errors.Join(err, <-produced); err != nil {
		return fmt.Errorf("%w; the log of the service is %s", err, s.log.Name())
	}
	result.Chunks, result.Loads = l.most, len(l.took)
	result.LoadP50, result.LoadP95 = quantileOf(l.took, 0.5), quantileOf(l.took, 0.95)
	return nil
}

// loads are loads of a table as of now.
type loads struct {
	remote  *catalog.Remote
	objects objstore.Store
	chunks  int // to be reached
	now     func() time.Time

	took []float64 // milliseconds
	most int       // chunks that there were
}

// run loads until there are so many chunks, or ingest has committed them.
func (l *loads) run(ctx context.Context) error {
	ident, err := table.ParseIdent(demoTable)
	if err != nil {
		return err
	}
	ticker := time.NewTicker(loadEvery)
	defer ticker.Stop()
	until := l.now().Add(readyMax + 4*time.Duration(l.chunks)*loadInterval)
	for last := ""; ; {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
		began := l.now()
		t, err := l.remote.LoadTable(ctx, ident)
		took := l.now().Sub(began)
		if err != nil {
			return err
		}
		if t.MetadataLocation() == last {
			continue // shared with the load before
		}
		last = t.MetadataLocation()
		there, err := l.count(ctx, t)
		switch {
		case err != nil:
			return err
		case there < l.most: // they were committed
			return nil
		case there*10 >= l.chunks*9:
			l.took, l.most = append(l.took, float64(took.Microseconds())/1000), there
			if there >= l.chunks {
				return nil
			}
		case l.now().After(until):
			return fmt.Errorf("there are %d chunks and not %d", there, l.chunks)
		}
	}
}

// count is how many chunks lie behind the committed table.
func (l *loads) count(ctx context.Context, t *table.Table) (int, error) {
	tasks, err := table.Plan(ctx, t, l.objects, table.Scan{})
	if err != nil {
		return 0, err
	}
	there := 0
	for _, task := range tasks {
		if strings.Contains(task.File.FilePath(), "/"+tail.Folder+"/") {
			there++
		}
	}
	return there, nil
}
