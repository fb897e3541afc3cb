package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/firthlake/firth/cmd/firth/stage"
	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/ingest/source"
	"github.com/firthlake/firth/serve/live"
)

// demoReport is what 'firth demo --once --json' prints. Rows are those of this run; a folder that was
// used before holds more of them, and Snapshots, DataFiles and RowsInTable tell of all.
type demoReport struct {
	Table         string      `json:"table"`
	RowsProduced  int64       `json:"rows_produced"`
	RowsCommitted int64       `json:"rows_committed"`
	RowsInTable   int64       `json:"rows_in_table"`
	Snapshots     int         `json:"snapshots"`
	DataFiles     int64       `json:"data_files"`
	Ledger        ledgerProof `json:"ledger"`
	Seconds       float64     `json:"seconds"`
	CPUSeconds    float64     `json:"cpu_seconds"`
	RSSBytesMax   int64       `json:"rss_bytes_max"`
}

// ledgerProof is what verify found.
type ledgerProof struct {
	Gaps     int  `json:"gaps"`
	Overlaps int  `json:"overlaps"`
	Proven   bool `json:"proven"`
}

// demoOptions are the flags of demo.
type demoOptions struct {
	dir, listen string
	rows, rate  int64
	seed        uint64
	once        bool
}

// rateDefault is what a laptop does on the side: about 1.2 MB of JSON a second.
const rateDefault = 5000

func (p *program) demoCommand() *cobra.Command {
	var o demoOptions
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Run everything in one process on generated events",
		Long: "Runs a Kafka broker, a generator of events, ingest, compaction, and the Iceberg REST catalog in one\n" +
			"process, with all data in one folder, and shows what happens. Nothing needs to be installed. Interrupt\n" +
			"it and start it again: it goes on where it stopped.\n\n" +
			"With --once it produces --rows records, ingests and commits them, proves the table, and ends. In a\n" +
			"folder that was used before, rows_produced and rows_committed count this run (rows_committed also\n" +
			"those that a killed run had left in the topic); the proof is of the whole table." +
			exitCodes("stopped as asked; with --once: proven", "not proven, or a fault stopped it",
				"could not start"),
		Example: example("firth demo", "firth demo --rate 50000 --dir /tmp/lake",
			"firth demo --rows 1000000 --once --json"),
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !cmd.Flags().Changed("rate") && !o.once {
				o.rate = rateDefault
			}
			return p.runDemo(cmd.Context(), o)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.dir, "dir", "firth-demo", "folder for all data")
	flags.StringVar(&o.listen, "listen", "127.0.0.1:8181",
		"address of the catalog; any free port when it is taken")
	flags.Int64Var(&o.rows, "rows", 0, "how many rows to produce (0: until interrupted)")
	flags.Int64Var(&o.rate, "rate", 0,
		"rows per second, 0 is as fast as it goes (default 5000, with --once 0)")
	flags.Uint64Var(&o.seed, "seed", 1, "seed of the rows")
	flags.BoolVar(&o.once, "once", false, "end when --rows are committed and proven")
	return cmd
}

// demo is one running demo.
type demo struct {
	program  *program
	options  demoOptions
	folder   *demoFolder
	broker   *source.Embedded
	admin    *source.Admin
	lake     *lake
	service  *service
	registry *prometheus.Registry
	begun    time.Time
	// before is what the table held when this run began.
	before commit.Position
}

func (p *program) runDemo(ctx context.Context, o demoOptions) (err error) {
	if o.once && o.rows <= 0 {
		return couldNot(errors.New("--once needs --rows"), "give --rows 1000000")
	}
	if o.rows < 0 || o.rate < 0 {
		return couldNot(errors.New("--rows and --rate are 0 or more"), "see 'firth demo --help'")
	}
	log, err := p.logger(slog.LevelWarn)
	if err != nil {
		return err
	}
	folder, err := openDemoFolder(o.dir)
	if err != nil {
		return err
	}
	defer folder.close()
	d := &demo{program: p, options: o, folder: folder, begun: p.now()}
	if d.broker, err = source.StartEmbedded(source.EmbeddedOptions{Dir: folder.broker(),
		Topics: map[string]int32{demoTopic: demoPartitions}}); err != nil {
		return err
	}
	defer d.broker.Close()
	c, err := folder.writeConfig(d.broker.Connection().Brokers)
	if err != nil {
		return err
	}
	boundMemory(c.Limits.Memory)
	if d.lake, err = p.open(ctx, c); err != nil {
		return err
	}
	defer d.lake.close()
	if err := p.applySpecs(ctx, d.lake); err != nil {
		return err
	}
	d.registry = prometheus.NewRegistry()
	f, err := p.newFeeder(d.lake, log, d.registry)
	if err != nil {
		return err
	}
	defer f.close()
	if d.admin, err = source.OpenAdmin(ctx, d.broker.Connection()); err != nil {
		return err
	}
	defer d.admin.Close()
	d.service = newService(f)
	if err := d.service.start(ctx); err != nil {
		return err
	}
	d.before = d.service.feed.committers[demoTable].Position()
	if o.once {
		return d.cause(d.once(ctx))
	}
	return d.cause(d.live(ctx))
}

// applySpecs makes the tables of the folder's specs what they say; nobody is asked.
func (p *program) applySpecs(ctx context.Context, l *lake) error {
	specs, err := readSpecs(l.config.Tables, nil)
	if err != nil {
		return err
	}
	plans, err := planAll(ctx, p, l, specs)
	if err != nil {
		return err
	}
	if err := refused(plans); err != nil {
		return err
	}
	for _, each := range plans {
		if _, err := p.apply(ctx, l, each); err != nil {
			return err
		}
	}
	return nil
}

// once produces, ingests, verifies and reports.
func (d *demo) once(ctx context.Context) error {
	report := demoReport{Table: demoTable}
	if err := d.work(ctx, &report); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return couldNot(ctx.Err(), "what was produced stays in the topic, and the next run commits it")
	}
	t, err := d.lake.loadTable(context.WithoutCancel(ctx), demoTable)
	if err != nil {
		return err
	}
	proof, err := verifyTable(ctx, d.lake, t, verifyOptions{})
	if err != nil {
		return err
	}
	summary := summarize(t)
	report.RowsInTable, report.DataFiles, report.Snapshots = summary.Rows, summary.DataFiles,
		summary.Snapshots
	report.Ledger = ledgerProof{Gaps: proof.Gaps, Overlaps: proof.Overlaps, Proven: proof.Proven}
	report.Seconds = d.program.now().Sub(d.begun).Seconds()
	took := stage.Used()
	report.CPUSeconds, report.RSSBytesMax = took.CPU.Seconds(), took.RSSBytesMax
	if err := d.program.print(report, report.write); err != nil {
		return err
	}
	if !proof.Proven || report.RowsCommitted < report.RowsProduced {
		return fallsShort(fmt.Errorf("%s is not proven", demoTable),
			"'firth verify "+demoTable+" --deep --dir "+d.options.dir+"' says where it falls short")
	}
	return nil
}

// work produces the rows of this run and ends ingest when it has read them all.
func (d *demo) work(ctx context.Context, report *demoReport) error {
	group, ctx := errgroup.WithContext(ctx)
	running, stop := context.WithCancel(ctx)
	defer stop()
	produced := make(chan error, 1)
	group.Go(func() error { return d.service.run(running) })
	group.Go(func() error { return d.watchDisk(running) })
	group.Go(func() error {
		rows, err := d.produce(running)
		report.RowsProduced = rows
		produced <- err
		return err
	})
	group.Go(func() error {
		defer stop()
		return d.drain(running, produced)
	})
	err := group.Wait()
	for _, t := range d.service.tables() {
		if t.Table == demoTable {
			report.RowsCommitted = t.Committed.Inserted
		}
	}
	return err
}

// drain returns when everything in the topic is read, which the end of ingest then commits.
func (d *demo) drain(ctx context.Context, produced <-chan error) error {
	bar := d.program.progress("rows", d.options.rows)
	defer bar.close()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	var wanted int64 = -1
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-produced:
			if err != nil {
				return nil // the producer reports it
			}
			end, err := d.admin.Resolve(ctx, source.Start{Kind: source.StartLatest}, demoTopic)
			if err != nil {
				return err
			}
			wanted = sum(end) - sum(d.before)
		case <-ticker.C:
		}
		for _, t := range d.service.tables() {
			if t.Table != demoTable {
				continue
			}
			if t.Trouble != "" && t.State != "active" {
				return fallsShort(errors.New(t.Trouble), "")
			}
			bar.at(t.Read.Inserted, "")
			if wanted >= 0 && t.Read.Sum() >= wanted {
				return nil
			}
		}
	}
}

func sum(position commit.Position) int64 {
	var n int64
	for _, next := range position {
		n += int64(next)
	}
	return n
}

// write prints the report for people.
func (r demoReport) write(w io.Writer) error {
	proof := "NOT PROVEN"
	if r.Ledger.Proven {
		proof = "proven"
	}
	_, err := fmt.Fprintf(w,
		"%s: %s rows produced, %s committed (%s in the table), %d snapshots, %d files: %s (%d gaps, %d overlaps)\n"+
			"%.1f s, %.1f CPU-seconds, %s of memory at most\n",
		r.Table, count(r.RowsProduced), count(r.RowsCommitted), count(r.RowsInTable), r.Snapshots,
		r.DataFiles, proof,
		r.Ledger.Gaps, r.Ledger.Overlaps, r.Seconds, r.CPUSeconds, size(r.RSSBytesMax))
	return err
}

// live runs until it is interrupted, and shows what happens.
func (d *demo) live(ctx context.Context) error {
	now, err := d.service.liveCatalog(d.program, nil)
	if err != nil {
		return err
	}
	handler, err := d.service.catalogHandler(d.program, now, vendOff)
	if err != nil {
		return err
	}
	streams, err := d.service.newStreams(d.program, nil)
	if err != nil {
		return err
	}
	if d.service.rows, err = d.service.newRows(d.program); err != nil {
		return err
	}
	catalog, err := d.listen(ctx, withLookups(withStreams(streams, handler), d.service.lookupHandler(nil)))
	if err != nil {
		return err
	}
	if !d.program.json {
		fmt.Fprint(d.program.stdout, d.welcome(catalog.url()))
	}
	upkeep, err := (&compacting{service: d.service}).parts(d.registry)
	if err != nil {
		return err
	}
	// The parts end one after the other: first the generator, then ingest with all it has read.
	lasting, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	group, lasting := errgroup.WithContext(lasting)
	group.Go(func() error { return catalog.serve(lasting) })
	group.Go(func() error { return streams.Run(lasting) })
	group.Go(func() error { return live.NewJanitor(now).Run(lasting) })
	for _, part := range upkeep {
		group.Go(func() error { return part(lasting) })
	}
	group.Go(func() error { return d.service.run(lasting) })
	group.Go(func() error { return d.watchDisk(lasting) })
	group.Go(func() error {
		defer stop()
		return d.generateAndShow(ctx, lasting)
	})
	if err := group.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		return fallsShort(err, remedyOf(err))
	}
	return d.farewell(context.WithoutCancel(ctx))
}

// listen opens the catalog's address, or any free port of it when another process has it.
func (d *demo) listen(ctx context.Context, handler http.Handler) (*server, error) {
	s, err := listen(ctx, d.options.listen, handler)
	if errors.Is(err, syscall.EADDRINUSE) {
		return listen(ctx, "127.0.0.1:0", handler)
	}
	return s, err
}
