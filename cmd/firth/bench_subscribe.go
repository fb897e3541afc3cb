package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/firthlake/firth/cmd/firth/stage"
)

// subscribeOptions are the flags of bench subscribe.
type subscribeOptions struct {
	seconds, rate        int64
	subscribers, resumes int
	format               string
	columns              []string
	checkpoint           time.Duration
	dir                  string
}

// subscribeResult is what subscribers have got while a service wrote.
type subscribeResult struct {
	Subscribers int    `json:"subscribers"`
	Format      string `json:"format"`
	Produced    int64  `json:"rows_produced"`
	// Rows are those of all subscribers, who shall have all that were produced, each once.
	Rows       int64 `json:"rows"`
	Gaps       int64 `json:"gaps"`
	Duplicates int64 `json:"duplicates"`
	// Breaks are streams that ended unasked.
	Breaks         int64   `json:"breaks"`
	Seconds        float64 `json:"seconds"`
	RowsPerSecond  float64 `json:"rows_per_s"`
	BytesPerSecond float64 `json:"bytes_per_s"`
	// Lag is the time from the newest record's timestamp until its batch was read. LagP99Worst is of the subscriber
	// for whom it is greatest.
	LagP50      float64 `json:"lag_ms_p50"`
	LagP99      float64 `json:"lag_ms_p99"`
	LagP99Worst float64 `json:"lag_ms_p99_worst"`
	// Drain is how long the last subscriber took for what was there when the last record was produced.
	Drain float64 `json:"drain_ms"`
	// Resumes are streams that were broken off at any place and went on, ResumesExact those without gap and repetition.
	Resumes      int64 `json:"resumes"`
	ResumesExact int64 `json:"resumes_exact"`
	// CPUSeconds and RSSBytesMax are of the service.
	CPUSeconds  float64 `json:"cpu_seconds"`
	RSSBytesMax int64   `json:"rss_bytes_max"`
	Fault       string  `json:"fault,omitempty"`
}

const (
	// resumersMax are the subscribers that break off and go on.
	resumersMax = 4
	// drainMax is how long subscribers may take for the last rows.
	drainMax = time.Minute
)

func (p *program) benchSubscribeCommand() *cobra.Command {
	var o subscribeOptions
	cmd := &cobra.Command{
		Use:   "subscribe",
		Short: "Follow a table with many streams at once while it is written",
		Long: "Starts a broker, a generator and 'firth run', and subscribers who follow the table from its\n" +
			"beginning, each row of each topic partition. Every record must come to each of them once and in\n" +
			"order. The lag of a batch is the time from its newest record's timestamp until it has been read.\n" +
			"Other streams meanwhile break off at any place, again and again, and go on by their tokens, which\n" +
			"must be exact. Broker, generator and subscribers share the machine with the service." +
			exitCodes("all streams were exact", "some were not", "could not measure"),
		Example: example("firth bench subscribe --json", "firth bench subscribe --subscribers 1000 --rate 2000",
			"firth bench subscribe --format ndjson --columns event_id,amount"),
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error { return p.benchSubscribe(cmd.Context(), o) },
	}
	flags := cmd.Flags()
	flags.Int64Var(&o.seconds, "seconds", 30, "how long records are produced; longer until all has been resumed")
	flags.Int64Var(&o.rate, "rate", 20_000, "records a second")
	flags.IntVar(&o.subscribers, "subscribers", 200, "streams that are followed")
	flags.IntVar(&o.resumes, "resumes", 500, "how often other streams are broken off and gone on with; 0 is never")
	flags.StringVar(&o.format, "format", subscribeFormats()[0], strings.Join(subscribeFormats(), ", "))
	flags.StringSliceVar(&o.columns, "columns", nil, "columns that subscribers ask for besides those that tell the"+
		" place of a row (default all)")
	flags.DurationVar(&o.checkpoint, "checkpoint", 10*time.Second, "commit interval")
	completions(cmd, "format", subscribeFormats())
	addBenchDir(cmd, &o.dir)
	return cmd
}

func (o *subscribeOptions) validate() error {
	if o.seconds < 1 || o.rate < 1 || o.subscribers < 1 || o.resumes < 0 {
		return couldNot(errors.New("--seconds, --rate and --subscribers must be 1 or more, --resumes 0 or more"),
			"see 'firth bench subscribe --help'")
	}
	if !slices.Contains(subscribeFormats(), o.format) {
		return couldNot(fmt.Errorf("--format %q must be one of %s", o.format,
			strings.Join(subscribeFormats(), ", ")), "")
	}
	return nil
}

func (p *program) benchSubscribe(ctx context.Context, o subscribeOptions) error {
	if err := o.validate(); err != nil {
		return err
	}
	return p.measured(o.dir, func(dir string) (benched, error) {
		o.dir = dir
		return p.measureSubscribe(ctx, o)
	})
}

func (r *subscribeResult) fault() error {
	if r.Fault != "" {
		return fallsShort(errors.New(r.Fault), "")
	}
	return nil
}

func (r *subscribeResult) write(w io.Writer) error {
	_, err := fmt.Fprintf(w, "%d subscribers (%s) got %s rows of %s produced, %s rows and %s a second\n"+
		"%d gaps, %d duplicates, %d streams broken off; %d of %d resumed streams exact\n"+
		"lag %.0f ms, 99 of 100 within %.0f ms, those of the slowest within %.0f ms; the last rows took %.0f ms\n"+
		"the service took %.1f CPU-s and %s of memory\n", r.Subscribers, r.Format, count(r.Rows), count(r.Produced),
		count(int64(r.RowsPerSecond)), size(int64(r.BytesPerSecond)), r.Gaps, r.Duplicates, r.Breaks, r.ResumesExact,
		r.Resumes, r.LagP50, r.LagP99, r.LagP99Worst, r.Drain, r.CPUSeconds, size(r.RSSBytesMax))
	return err
}

func (p *program) measureSubscribe(ctx context.Context, o subscribeOptions) (*subscribeResult, error) {
	broker, err := benchBroker(o.dir, demoTopic)
	if err != nil {
		return nil, err
	}
	defer broker.Close()
	s, err := p.startBenchService(ctx, benchServiceOptions{dir: o.dir, brokers: broker.Connection().Brokers,
		spec: strings.Replace(demoSpec, "{interval: 2s}", "{interval: "+o.checkpoint.String()+"}", 1)})
	if err != nil {
		return nil, err
	}
	b := &subscribeBench{opts: o, url: s.url, now: p.now, client: &http.Client{Transport: &http.Transport{
		ReadBufferSize: subscribeBufferBytes}}}
	err = b.run(ctx, func(ctx context.Context) (int64, error) {
		return produceEvents(ctx, broker.Connection(), o.rate)
	})
	peak := stage.PeakOf(s.process.Process.Pid)
	s.close()
	b.client.CloseIdleConnections()
	if err != nil {
		return nil, fmt.Errorf("%w; the log of the service is %s", err, s.log.Name())
	}
	result := b.result()
	state := s.process.ProcessState
	result.CPUSeconds, result.RSSBytesMax = (state.UserTime() + state.SystemTime()).Seconds(), peak
	return result, ctx.Err()
}

// subscribeBench follows the table of a service.
type subscribeBench struct {
	opts   subscribeOptions
	url    string
	client *http.Client
	now    func() time.Time

	subscribers, resumers []*subscriber
	produced              int64
	took                  time.Duration // of producing, and until all subscribers had all
	drain                 time.Duration
}

func (b *subscribeBench) subscriber() *subscriber {
	return &subscriber{url: b.url, format: b.opts.format, columns: b.opts.columns, client: b.client, now: b.now}
}

// run subscribes, then has records produced until the time is over and all has been resumed, and waits until
// the subscribers have them.
func (b *subscribeBench) run(ctx context.Context, produce func(context.Context) (int64, error)) error {
	following, stop := context.WithCancel(ctx)
	defer stop()
	group, following := errgroup.WithContext(following)
	for range b.opts.subscribers {
		s := b.subscriber()
		if err := s.open(following); err != nil {
			return fmt.Errorf("open stream %d: %w", len(b.subscribers)+1, err)
		}
		b.subscribers = append(b.subscribers, s)
		group.Go(func() error { return s.follow(following) })
	}
	began := b.now()
	producing, enough := context.WithCancel(following)
	defer enough()
	group.Go(func() (err error) {
		b.produced, err = produce(producing)
		ended := b.now()
		if err = b.awaitAll(following, err); err != nil {
			return err
		}
		b.took, b.drain = b.now().Sub(began), b.now().Sub(ended)
		stop()
		return nil
	})
	group.Go(func() error {
		defer enough()
		timer := time.NewTimer(time.Duration(b.opts.seconds) * time.Second)
		defer timer.Stop()
		if err := b.resume(following); err != nil {
			return err
		}
		select {
		case <-timer.C:
		case <-following.Done():
		}
		return nil
	})
	if err := group.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return ctx.Err()
}

// awaitAll waits until all subscribers have all rows, or are as far as they come.
func (b *subscribeBench) awaitAll(ctx context.Context, err error) error {
	if err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for until := b.now().Add(drainMax); b.now().Before(until); {
		if !slices.ContainsFunc(b.subscribers, func(s *subscriber) bool { return s.rows.Load() < b.produced }) {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
	return nil
}

// resume has some streams broken off and gone on with, so often as is asked for.
func (b *subscribeBench) resume(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for i := range min(resumersMax, b.opts.resumes) {
		r := b.subscriber()
		b.resumers = append(b.resumers, r)
		times := (b.opts.resumes + i) / resumersMax
		random := rand.New(rand.NewPCG(5, uint64(i)))
		group.Go(func() error { return r.resumeAgain(ctx, times, random) })
	}
	return group.Wait()
}

// result adds up what they have found.
func (b *subscribeBench) result() *subscribeResult {
	r := &subscribeResult{Subscribers: len(b.subscribers), Format: b.opts.format, Produced: b.produced,
		Seconds: b.took.Seconds(), Drain: float64(b.drain.Microseconds()) / 1000}
	var lags []float64
	for i, s := range slices.Concat(b.subscribers, b.resumers) {
		r.Gaps, r.Duplicates, r.Breaks = r.Gaps+s.gaps, r.Duplicates+s.duplicates, r.Breaks+s.breaks
		r.Resumes, r.ResumesExact = r.Resumes+s.resumes, r.ResumesExact+s.exact
		if s.fault != "" && r.Fault == "" {
			r.Fault = fmt.Sprintf("subscriber %d: %s", i+1, s.fault)
		}
		if i >= len(b.subscribers) {
			continue
		}
		if rows := s.rows.Load(); rows != b.produced && r.Fault == "" {
			r.Fault = fmt.Sprintf("subscriber %d has %d rows of %d", i+1, rows, b.produced)
		}
		r.Rows += s.rows.Load()
		r.BytesPerSecond += float64(s.bytes) / r.Seconds
		lags = append(lags, s.lags...)
		r.LagP99Worst = max(r.LagP99Worst, quantileOf(s.lags, 0.99))
	}
	r.RowsPerSecond = float64(r.Rows) / r.Seconds
	r.LagP50, r.LagP99 = quantileOf(lags, 0.5), quantileOf(lags, 0.99)
	return r
}
