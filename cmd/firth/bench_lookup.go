package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/firthlake/firth/cmd/firth/stage"
	"github.com/firthlake/firth/ingest/gen"
	"github.com/firthlake/firth/ingest/source"
	"github.com/firthlake/firth/ingest/spec"
)

// lookupOptions are the flags of bench lookup.
type lookupOptions struct {
	seconds, rate, upserts int64
	keys, askers           int
	distribution           string
	interval               time.Duration
	memory                 spec.Size
	dir                    string
}

// lookupResult is what was measured once all keys had a row.
type lookupResult struct {
	Keys             int     `json:"keys"`
	Distribution     string  `json:"distribution"`
	Seconds          float64 `json:"seconds"`
	Lookups          int64   `json:"lookups"`
	LookupsPerSecond float64 `json:"lookups_per_s"`
	UpsertsPerSecond float64 `json:"upserts_per_s"`
	LatencyP50       float64 `json:"latency_ms_p50"`
	LatencyP99       float64 `json:"latency_ms_p99"`
	LatencyP999      float64 `json:"latency_ms_p999"`
	LatencyMax       float64 `json:"latency_ms_max"`
	// Age is how long the oldest record has been there that an answer does not count.
	AgeP50 float64 `json:"age_ms_p50"`
	AgeP99 float64 `json:"age_ms_p99"`
	// Found are answers with a row, Behind those that were the committed state alone, Mismatches those that were not
	// the newest version at their cut, Regressions those whose cut was before one that the same asker had seen.
	Found       int64  `json:"found"`
	Behind      int64  `json:"behind"`
	Mismatches  int64  `json:"mismatches"`
	Regressions int64  `json:"regressions"`
	Errors      int64  `json:"errors"`
	Fault       string `json:"fault,omitempty"`
}

const (
	lookupTable = "db.users"
	lookupTopic = "users"
	// lookupWarm is how long askers ask before what they find counts: a table that nobody has looked up in for a minute
	// begins with the committed state.
	lookupWarm = 5 * time.Second
)

func (p *program) benchLookupCommand() *cobra.Command {
	o := lookupOptions{memory: memoryDefault}
	cmd := &cobra.Command{
		Use:   "lookup",
		Short: "Look up rows by their keys while the table takes in upserts, and hold each answer against the topic",
		Long: "Starts a broker, a generator and 'firth run', gives every key a row, and then upserts keys, one\n" +
			"record in 50 a tombstone, while rows are looked up over HTTP at a steady rate. Each answer must be\n" +
			"the newest version at its own cut. Latencies begin when a look-up is due, whether or not one before\n" +
			"has ended, and count the client's side. The age of an answer is how long the oldest record that it\n" +
			"does not count has been there. Broker, generator and askers share the machine with the service." +
			exitCodes("all answers were exact", "some were not", "could not measure"),
		Example: example("firth bench lookup --json", "firth bench lookup --rate 500 --keys 10000000 --seconds 60",
			"firth bench lookup --distribution zipf --upserts 50000"),
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error { return p.benchLookup(cmd.Context(), o) },
	}
	flags := cmd.Flags()
	flags.Int64Var(&o.seconds, "seconds", 30, "how long, once every key has a row")
	flags.Int64Var(&o.rate, "rate", 2_000, "look-ups a second")
	flags.Int64Var(&o.upserts, "upserts", 20_000, "upserts a second")
	flags.IntVar(&o.keys, "keys", 200_000, "how many keys")
	flags.IntVar(&o.askers, "askers", 32, "connections that look-ups are asked over")
	flags.StringVar(&o.distribution, "distribution", stage.Uniform, "how keys are drawn: "+
		strings.Join(distributions(), ", "))
	flags.DurationVar(&o.interval, "interval", 10*time.Second, "commit interval")
	flags.Var(sizeFlag{&o.memory}, "memory", "memory limit of the service, as limits.memory")
	completions(cmd, "distribution", distributions())
	addBenchDir(cmd, &o.dir)
	return cmd
}

func (o *lookupOptions) validate() error {
	switch {
	case o.seconds < 1 || o.rate < 1 || o.upserts < 1 || o.askers < 1:
		return couldNot(errors.New("--seconds, --rate, --upserts and --askers must be 1 or more"),
			"see 'firth bench lookup --help'")
	case o.keys < stage.UpsertKeysMin || o.keys > stage.UpsertKeysMax:
		return couldNot(fmt.Errorf("--keys %d must be %d to %d", o.keys, stage.UpsertKeysMin, stage.UpsertKeysMax), "")
	case !slices.Contains(distributions(), o.distribution):
		return couldNot(fmt.Errorf("--distribution %q must be one of %s", o.distribution,
			strings.Join(distributions(), ", ")), "")
	case o.interval <= 0:
		return couldNot(fmt.Errorf("--interval %v must be above 0", o.interval), "")
	case o.memory < memoryMin:
		return couldNot(fmt.Errorf("--memory %s must be %s or more", o.memory, spec.Size(memoryMin)), "")
	}
	return nil
}

func (p *program) benchLookup(ctx context.Context, o lookupOptions) error {
	if err := o.validate(); err != nil {
		return err
	}
	return p.measured(o.dir, func(dir string) (benched, error) {
		o.dir = dir
		return p.measureLookup(ctx, o)
	})
}

func (r *lookupResult) fault() error {
	if r.Fault != "" {
		return fallsShort(errors.New(r.Fault), "")
	}
	return nil
}

func (r *lookupResult) write(w io.Writer) error {
	_, err := fmt.Fprintf(w, "%s look-ups, %.0f a second among %s keys (%s) while %.0f upserts a second came in\n"+
		"latency %.1f ms, 99 of 100 within %.1f ms, 999 of 1,000 within %.1f ms, at most %.1f ms\n"+
		"answers %.0f ms old, 99 of 100 within %.0f ms; %s with a row, %d of the committed state alone\n"+
		"%d mismatches, %d regressions, %d errors\n", count(r.Lookups), r.LookupsPerSecond, count(int64(r.Keys)),
		r.Distribution, r.UpsertsPerSecond, r.LatencyP50, r.LatencyP99, r.LatencyP999, r.LatencyMax, r.AgeP50, r.AgeP99,
		count(r.Found), r.Behind, r.Mismatches, r.Regressions, r.Errors)
	return err
}

func (p *program) measureLookup(ctx context.Context, o lookupOptions) (*lookupResult, error) {
	// The generator shall not keep askers waiting within this process.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(turnsEach * runtime.GOMAXPROCS(0)))
	broker, err := benchBroker(o.dir, lookupTopic)
	if err != nil {
		return nil, err
	}
	defer broker.Close()
	text, err := lookupSpec(o)
	if err != nil {
		return nil, err
	}
	s, err := p.startBenchService(ctx, benchServiceOptions{dir: o.dir, spec: text,
		brokers: broker.Connection().Brokers, config: fmt.Sprintf("limits: {memory: %s}\n", o.memory)})
	if err != nil {
		return nil, err
	}
	defer s.close()
	log, err := newLookupLog(o, p.now)
	if err != nil {
		return nil, err
	}
	if err := gen.ProduceRecords(ctx, broker.Connection(), lookupTopic, gen.Run{Rows: int64(o.keys)},
		log.first); err != nil {
		return nil, err
	}
	b := &lookupBench{opts: o, log: log, now: p.now,
		url:    s.url + "/v1/tables/" + strings.Replace(lookupTable, ".", "/", 1) + "/rows",
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: o.askers}}}
	defer b.client.CloseIdleConnections()
	if err := b.awaitRows(ctx); err != nil {
		return nil, fmt.Errorf("%w; the log of the service is %s", err, s.log.Name())
	}
	return b.run(ctx, broker.Connection())
}

// lookupSpec is the spec of the table.
func lookupSpec(o lookupOptions) (string, error) {
	g, err := stage.Feed{Workload: "events10", Format: "json"}.Generator()
	if err != nil {
		return "", err
	}
	s := stage.KeyedSpec(lookupTable, spec.Source{Topics: []string{lookupTopic}, Format: "json"}, g)
	s.Freshness.Interval = spec.Duration(o.interval)
	text, err := spec.Marshal(&s)
	return string(text), err
}

// lookupBench asks a service.
type lookupBench struct {
	opts   lookupOptions
	log    *lookupLog
	url    string
	client *http.Client
	now    func() time.Time
}

func (b *lookupBench) asker(findings *lookupFindings) *lookupAsker {
	return &lookupAsker{log: b.log, findings: findings, client: b.client, url: b.url, now: b.now}
}

// awaitRows waits until the first version of every key is there to be looked up.
func (b *lookupBench) awaitRows(ctx context.Context) error {
	a := b.asker(&lookupFindings{})
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	until := b.now().Add(readyMax + time.Duration(b.opts.keys)*lookupFillTime)
	for {
		answer, err := a.ask(ctx, 0)
		there := err == nil && answer.Behind == ""
		for partition := range demoPartitions {
			there = there && answer.Position[lookupTopic][fmt.Sprint(partition)] == b.log.end(partition)
		}
		if there {
			return nil
		}
		if b.now().After(until) {
			return fmt.Errorf("not all of %d keys can be looked up: %w", b.opts.keys, errors.Join(errNotThere, err))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
}

// lookupFillTime is how long the row of one key may take: ten times what it does.
const lookupFillTime = 100 * time.Microsecond

var errNotThere = errors.New("the table does not come up to its topic")

// run looks up while keys are upserted. What is found in the first seconds does not count.
func (b *lookupBench) run(ctx context.Context, connection source.Connection) (*lookupResult, error) {
	timed, cancel := context.WithCancel(ctx)
	defer cancel()
	group, timed := errgroup.WithContext(timed)
	group.Go(func() error {
		return gen.ProduceRecords(timed, connection, lookupTopic, gen.Run{Rate: b.opts.upserts}, b.log.upsert)
	})
	warm, stop := context.WithTimeout(timed, lookupWarm)
	defer stop()
	b.ask(warm, &lookupFindings{})
	var findings lookupFindings
	began, before := b.now(), b.records()
	counted, stop := context.WithTimeout(timed, time.Duration(b.opts.seconds)*time.Second)
	defer stop()
	b.ask(counted, &findings)
	seconds, records := b.now().Sub(began).Seconds(), b.records()-before
	cancel()
	if err := group.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		return nil, err
	}
	return findings.result(b.opts, seconds, records), ctx.Err()
}

// records is how many there are.
func (b *lookupBench) records() int64 {
	var sum int64
	for partition := range demoPartitions {
		sum += b.log.end(partition)
	}
	return sum
}

// ask lets all askers ask until ctx ends.
func (b *lookupBench) ask(ctx context.Context, findings *lookupFindings) {
	var group errgroup.Group
	begin, step := b.now(), time.Duration(b.opts.askers)*time.Second/time.Duration(b.opts.rate)
	for i := range b.opts.askers {
		random := rand.New(rand.NewPCG(2, uint64(i)))
		a, draws := b.asker(findings), b.log.draws
		group.Go(func() error {
			a.run(ctx, begin.Add(step*time.Duration(i)/time.Duration(b.opts.askers)), step,
				func() int { return draws.Key(random.Int64()) })
			return nil
		})
	}
	_ = group.Wait() // askers return none
}

func (f *lookupFindings) result(o lookupOptions, seconds float64, records int64) *lookupResult {
	r := &lookupResult{Keys: o.keys, Distribution: o.distribution, Seconds: seconds, Lookups: int64(len(f.took)),
		UpsertsPerSecond: float64(records) / seconds, LatencyP50: quantileOf(f.took, 0.5),
		LatencyP99: quantileOf(f.took, 0.99), LatencyP999: quantileOf(f.took, 0.999), LatencyMax: quantileOf(f.took, 1),
		AgeP50: quantileOf(f.ages, 0.5), AgeP99: quantileOf(f.ages, 0.99), Found: f.found, Behind: f.behind,
		Mismatches: f.mismatches, Regressions: f.regressions, Errors: f.errors, Fault: f.fault}
	r.LookupsPerSecond = float64(r.Lookups) / seconds
	return r
}
