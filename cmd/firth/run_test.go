package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/commit/verify"
	"github.com/firthlake/firth/ingest/gen"
	"github.com/firthlake/firth/ingest/source"
)

// lakeFolder is a configuration with an embedded broker.
type lakeFolder struct {
	dir, config string
	broker      *source.Embedded
	produced    int64
}

func newLakeFolder(t *testing.T) *lakeFolder {
	t.Helper()
	broker, err := source.StartEmbedded(source.EmbeddedOptions{Topics: map[string]int32{"events": 4}})
	require.NoError(t, err)
	t.Cleanup(broker.Close)
	f := &lakeFolder{dir: t.TempDir(), broker: broker}
	f.listen(t, "127.0.0.1:0")
	return f
}

// newIngestedFolder is a folder whose table holds the 1,000 records of its topic. Nothing runs.
func newIngestedFolder(t *testing.T) *lakeFolder {
	t.Helper()
	f := newLakeFolder(t)
	f.spec(t, "", "")
	require.Zero(t, f.firth(t, "apply", "--yes").code)
	f.produce(t, 1000)
	r := f.run(t)
	f.committed(t, 1000)
	r.end(t)
	return f
}

// listen writes the configuration with an address for the admin listener.
func (f *lakeFolder) listen(t *testing.T, admin string) {
	t.Helper()
	f.config = write(t, f.dir, "firth.yaml", `
clusters: {default: {brokers: ["`+f.broker.Connection().Brokers[0]+`"]}}
listen: {catalog: "127.0.0.1:0", admin: "`+admin+`"}
`)
}

func (f *lakeFolder) spec(t *testing.T, columns, more string) {
	t.Helper()
	write(t, f.dir, "tables/events.yaml", `
name: db.events
schema: {columns: [{name: user_id, type: long}, {name: amount, type: float}`+columns+`]}
sources: [{topics: [events]`+more+`}]
freshness: {interval: 200ms}
`)
}

func (f *lakeFolder) produce(t *testing.T, rows int64) {
	t.Helper()
	g, err := gen.New(gen.Options{Workload: "events10", Format: gen.JSON, Seed: 1})
	require.NoError(t, err)
	_, err = gen.Produce(t.Context(), f.broker.Connection(), "events", g, gen.Run{From: f.produced,
		Rows: rows})
	require.NoError(t, err)
	f.produced += rows
}

// firth runs a command with the folder's configuration.
func (f *lakeFolder) firth(t *testing.T, args ...string) outcome {
	t.Helper()
	return firth(t, append(args, "-c", f.config)...)
}

// report is what verify says of the table.
func (f *lakeFolder) report(t *testing.T, flags ...string) verify.Report {
	t.Helper()
	out := f.firth(t, append([]string{"verify", "db.events", "--deep", "--json"}, flags...)...)
	var report verify.Report
	require.NoError(t, json.Unmarshal([]byte(out.stdout), &report), out.stderr)
	return report
}

// lockedBuffer is a log that is read while it is written.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// patience is how long tests wait for what a process does within a second, unless the machine is busy.
const patience = 2 * time.Minute

// running is a 'firth run' in this process.
type running struct {
	log  *lockedBuffer
	stop context.CancelFunc
	done chan int
}

func (f *lakeFolder) run(t *testing.T, flags ...string) *running {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	r := &running{log: &lockedBuffer{}, stop: stop, done: make(chan int, 1)}
	p := &program{self: "firth", stdin: strings.NewReader(""), stdout: io.Discard, stderr: r.log,
		getenv: os.LookupEnv, now: time.Now}
	go func() { r.done <- p.run(ctx, append([]string{"run", "-c", f.config}, flags...)) }()
	t.Cleanup(stop)
	return r
}

// url is where a listener of the process is, from its log.
func (r *running) url(t *testing.T, listener string) string {
	t.Helper()
	pattern := regexp.MustCompile(`msg=listening listener=` + listener + ` url=(\S+)`)
	var found []string
	require.Eventually(t, func() bool {
		found = pattern.FindStringSubmatch(r.log.String())
		return found != nil
	}, patience, 10*time.Millisecond, r.log)
	return found[1]
}

func (r *running) end(t *testing.T) {
	t.Helper()
	r.stop()
	select {
	case code := <-r.done:
		require.Zero(t, code, r.log)
	case <-time.After(60 * time.Second):
		t.Fatalf("run does not end:\n%s", r.log)
	}
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	response, err := http.Get(url)
	require.NoError(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response.StatusCode, string(body)
}

func TestRunTakesAppliedSpecsWithoutRestart(t *testing.T) {
	f := newLakeFolder(t)
	f.spec(t, "", "")

	refused := f.firth(t, "run")
	require.Equal(t, exitCouldNot, refused.code)
	require.Contains(t, refused.stderr, "does not match table db.events yet")
	require.Contains(t, refused.stderr, "firth apply")

	no := firthWith(t.Context(), strings.NewReader("n\n"), "apply", "-c", f.config)
	require.Equal(t, exitFallsShort, no.code)
	applied := f.firth(t, "apply", "--yes", "--json")
	require.Zero(t, applied.code, applied.stderr)
	require.Contains(t, applied.stdout, `"created"`)
	require.Contains(t, f.firth(t, "plan").stdout, "as specified")

	r := f.run(t)
	admin := r.url(t, "admin")
	for _, path := range []string{"/healthz", "/readyz", "/tables"} {
		code, body := get(t, admin+path)
		require.Equal(t, http.StatusOK, code, body)
	}
	f.produce(t, 3000)
	f.committed(t, 3000)
	require.Eventually(t, func() bool { // they follow the commit
		_, metrics := get(t, admin+"/metrics")
		return strings.Contains(metrics, `firth_ingest_rows_committed_total{table="db.events"} 3000`)
	}, patience, 20*time.Millisecond)
	code, body := get(t, r.url(t, "catalog")+"/v1/main/namespaces/db/tables/events")
	require.Equal(t, http.StatusOK, code, body)
	external := write(t, t.TempDir(), "firth.yaml", "catalog: {uri: '"+r.url(t, "catalog")+"'}\n")
	listed := firth(t, "tables", "-c", external)
	require.Zero(t, listed.code, listed.stderr)
	require.Contains(t, listed.stdout, "db.events ")

	f.spec(t, ", {name: country, type: string}", `, filter: "country = 'DE'"`)
	planned := f.firth(t, "plan")
	require.Zero(t, planned.code, planned.stderr)
	require.Contains(t, planned.stdout, "evolve column country")
	require.Zero(t, f.firth(t, "apply", "--yes").code)
	require.Eventually(t, func() bool { return strings.Contains(r.log.String(), "taking changed specs") },
		patience, 20*time.Millisecond, r.log)
	f.produce(t, 3000)
	f.committed(t, 6000)
	r.end(t)

	report := f.report(t, "--files-only")
	require.True(t, report.Proven, report.Faults)
	require.Positive(t, report.Counts.Filtered)
	require.EqualValues(t, 6000, report.Counts.Inserted+report.Counts.Filtered)
	require.EqualValues(t, report.Counts.Inserted, report.Files.Rows)

	topics := f.firth(t, "topics", "--json")
	require.Zero(t, topics.code, topics.stderr)
	var reports []topicReport
	require.NoError(t, json.Unmarshal([]byte(topics.stdout), &reports))
	require.Equal(t, []string{"db.events"}, reports[0].Tables)
	require.EqualValues(t, 6000, reports[0].Records)
	lag := f.firth(t, "describe", "db.events", "--lag", "--json")
	require.Zero(t, lag.code, lag.stderr)
	require.Contains(t, lag.stdout, `"lag": 0`)
}

// committed waits until the table accounts for so many records.
func (f *lakeFolder) committed(t *testing.T, records int64) {
	t.Helper()
	require.Eventually(t, func() bool {
		out := f.firth(t, "describe", "db.events", "--json")
		var described tableReport
		if json.Unmarshal([]byte(out.stdout), &described) != nil {
			return false
		}
		var n int64
		for _, o := range described.Offsets {
			n += int64(o.Next)
		}
		return n == records
	}, patience, 100*time.Millisecond) // each look costs as much as some commits
}

func TestTableFollowsItsRegistrySubject(t *testing.T) {
	g, err := gen.New(gen.Options{Workload: "events10", Format: gen.Avro, Seed: 1, SchemaID: 7})
	require.NoError(t, err)
	registry := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		known := map[string]bool{"/schemas/ids/7": true, "/subjects/events-value/versions/latest": true}
		if !known[r.URL.Path] {
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, `{"error_code": 40401, "message": "Subject not found."}`)
			return
		}
		text, err := json.Marshal(map[string]any{"id": 7, "version": 1, "subject": "events-value",
			"schema": g.SchemaText()})
		if err == nil {
			_, err = w.Write(text)
		}
		if err != nil {
			t.Error(err)
		}
	}))
	defer registry.Close()
	f := newLakeFolder(t)
	config, err := os.ReadFile(f.config)
	require.NoError(t, err)
	write(t, f.dir, "firth.yaml", string(config)+"registry: {urls: ['"+registry.URL+"']}\n")
	_, err = gen.Produce(t.Context(), f.broker.Connection(), "events", g, gen.Run{Rows: 1000})
	require.NoError(t, err)

	inferred := f.firth(t, "infer", "events", "--json")
	require.Zero(t, inferred.code, inferred.stderr)
	var report inferReport
	require.NoError(t, json.Unmarshal([]byte(inferred.stdout), &report))
	require.Equal(t, "avro", report.Format)
	require.Equal(t, "events-value", report.Subject)

	write(t, f.dir, "tables/events.yaml", "name: db.events\nschema: {subject: events-value}\n"+
		"sources: [{topics: [events], format: avro}]\nfreshness: {interval: 200ms}\n")
	require.Zero(t, f.firth(t, "apply", "--yes").code)
	require.Contains(t, f.firth(t, "topics").stdout, "AVRO events-value v1")
	r := f.run(t)
	f.committed(t, 1000)
	r.end(t)
	proof := f.report(t)
	require.True(t, proof.Proven, proof.Faults)
	require.EqualValues(t, 1000, proof.Counts.Inserted)
}

func TestTableOfTwoSourcesIsProven(t *testing.T) {
	f := newLakeFolder(t)
	write(t, f.dir, "tables/events.yaml", `
name: db.events
schema: {columns: [{name: user_id, type: long}, {name: amount, type: float}]}
sources: [{topics: [events]}, {pattern: "more-.*", filter: "user_id > 1000"}]
freshness: {interval: 100ms}
`)
	require.Zero(t, f.firth(t, "apply", "--yes").code)
	r := f.run(t)
	r.url(t, "admin") // it has started
	admin, err := source.OpenAdmin(t.Context(), f.broker.Connection())
	require.NoError(t, err)
	defer admin.Close()
	require.NoError(t, admin.CreateTopic(t.Context(), "more-events", 2))
	g, err := gen.New(gen.Options{Workload: "events10", Format: gen.JSON, Seed: 2})
	require.NoError(t, err)
	for range 4 {
		f.produce(t, 1000)
		_, err = gen.Produce(t.Context(), f.broker.Connection(), "more-events", g, gen.Run{Rows: 500})
		require.NoError(t, err)
	}
	r.end(t)
	r = f.run(t) // finds the topic at its start, if the first did not find it while it ran
	f.committed(t, 6000)
	r.end(t)
	proof := f.report(t)
	require.True(t, proof.Proven, proof.Faults)
	require.EqualValues(t, 6000, proof.Counts.Sum())
	require.Positive(t, proof.Counts.Filtered)
}

func TestLostOffsetsStopTheTableUntilTheLossIsAccepted(t *testing.T) {
	f := newIngestedFolder(t)

	f.produce(t, 1000)
	admin, err := source.OpenAdmin(t.Context(), f.broker.Connection())
	require.NoError(t, err)
	defer admin.Close()
	end, err := admin.Resolve(t.Context(), source.Start{Kind: source.StartLatest}, "events")
	require.NoError(t, err)
	for tp := range end {
		if tp.Partition != 2 {
			delete(end, tp)
		}
	}
	require.NoError(t, admin.Truncate(t.Context(), end))

	r := f.run(t)
	url := r.url(t, "admin")
	var trouble string
	require.Eventually(t, func() bool {
		code, body := get(t, url+"/readyz")
		trouble = body
		return code == http.StatusServiceUnavailable
	}, patience, 20*time.Millisecond)
	require.Contains(t, trouble, "accept-loss")

	var first int64
	for _, at := range end {
		first = int64(at)
	}
	out := f.firth(t, "accept-loss", "db.events", "--topic", "events", "--partition", "2", "--to",
		jsonInt(first+1), "--yes")
	require.Equal(t, exitCouldNot, out.code, "the topic still has the record")
	require.Contains(t, out.stderr, "give --to "+jsonInt(first))
	out = f.firth(t, "accept-loss", "db.events", "--topic", "events", "--partition", "2", "--to",
		jsonInt(first), "--yes", "--json")
	require.Zero(t, out.code, out.stderr)
	f.committed(t, 2000)
	r.end(t)

	report := f.report(t)
	require.True(t, report.Proven, report.Faults)
	require.Positive(t, report.Counts.Lost)
	require.EqualValues(t, 2000, report.Counts.Lost+report.Counts.Inserted)
}

func TestALossIsAcceptedOnlyWhenTheTopicSaysSo(t *testing.T) {
	f := newIngestedFolder(t)
	f.produce(t, 1000)

	accept := []string{"accept-loss", "db.events", "--topic", "events", "--partition", "2", "--to", "1000000",
		"--yes"}
	out := f.firth(t, accept...)
	require.Equal(t, exitCouldNot, out.code)
	require.Contains(t, out.stderr, "nothing is lost")

	f.broker.Close()
	out = f.firth(t, accept...)
	require.Equal(t, exitCouldNot, out.code)
	require.Contains(t, out.stderr, "broker unreachable")
	require.Zero(t, f.report(t, "--files-only").Counts.Lost)
}

func TestDeepVerifyReadsTheTopicAgain(t *testing.T) {
	f := newLakeFolder(t)
	f.spec(t, ", {name: country, type: string}", `, filter: "country <> 'DE'"`)
	require.Zero(t, f.firth(t, "apply", "--yes").code)
	f.produce(t, 2000)
	r := f.run(t)
	f.committed(t, 2000)
	r.end(t)
	report := f.report(t)
	require.True(t, report.Proven, report.Faults)
	var retained int64
	for _, p := range report.Partitions {
		retained += p.Retained
	}
	require.EqualValues(t, 2000, retained)

	// With another filter the topic gives other rows than the table has.
	f.spec(t, ", {name: country, type: string}", `, filter: "country <> 'FR'"`)
	report = f.report(t)
	require.False(t, report.Proven)
	require.Equal(t, verify.FaultLog, report.Faults[0].Kind)
	require.True(t, f.report(t, "--files-only").Proven)
}

func TestSpecThatContradictsItsTableIsRefused(t *testing.T) {
	f := newLakeFolder(t)
	f.spec(t, "", "")
	require.Zero(t, f.firth(t, "apply", "--yes").code)
	f.spec(t, ", {name: more, type: int, required: true}", "")
	for _, command := range []string{"plan", "apply"} {
		out := f.firth(t, command)
		require.Equal(t, exitFallsShort, out.code, command)
		require.Contains(t, out.stderr, "contradicts table db.events", command)
	}
	require.Equal(t, exitCouldNot, f.firth(t, "run").code)
}

func TestInferredSpecCanBeApplied(t *testing.T) {
	f := newLakeFolder(t)
	f.produce(t, 500)
	out := f.firth(t, "infer", "events", "--records", "200")
	require.Zero(t, out.code, out.stderr)
	require.NotContains(t, out.stdout, "needs a hand")
	write(t, f.dir, "tables/events.yaml", out.stdout)
	require.Zero(t, f.firth(t, "apply", "--yes").code)
	described := f.firth(t, "describe", "db.events").stdout
	for _, column := range []string{"user_id", "event_type", "timestamptz", "_kafka_offset"} {
		require.Contains(t, described, column)
	}
}

func TestBadSurroundingsAreToldWithTheirRemedy(t *testing.T) {
	f := newLakeFolder(t)
	f.spec(t, "", "")
	require.Zero(t, f.firth(t, "apply", "--yes").code)
	for name, c := range map[string]struct {
		config, spec string
		want         []string
	}{
		"unreachable broker": {
			config: `clusters: {default: {brokers: ["127.0.0.1:1"]}}`,
			want:   []string{"broker", "clusters"},
		},
		"no such cluster": {config: "clusters: {}", want: []string{`no cluster "default"`,
			"clusters.default.brokers"}},
		"missing topic": {
			spec: "name: db.events\nschema: {columns: [{name: user_id, type: long}, {name: amount, type: float}]}\n" +
				"sources: [{topics: [nothing]}]\n",
			want: []string{"nothing", "create it"},
		},
		"no registry": {
			spec: "name: db.events\nschema: {columns: [{name: user_id, type: long}, {name: amount, type: float}]}\n" +
				"sources: [{topics: [events], format: avro}]\n",
			want: []string{"needs a schema registry", "registry.urls"},
		},
		"unreadable spec": {spec: "name: [", want: []string{"events.yaml:1"}},
		"unknown key": {spec: "name: db.events\nsauces: []\n",
			want: []string{"events.yaml:2: sauces: unknown key"}},
		"no specs": {config: "tables: elsewhere", want: []string{"elsewhere", "firth infer"}},
	} {
		t.Run(name, func(t *testing.T) {
			text := c.config
			if text == "" {
				text = `clusters: {default: {brokers: ["` + f.broker.Connection().Brokers[0] + `"]}}`
			}
			dir := t.TempDir()
			require.NoError(t, os.CopyFS(filepath.Join(dir, "tables"), os.DirFS(filepath.Join(f.dir, "tables"))))
			path := write(t, dir, "firth.yaml", text+"\ncatalog: {store: "+filepath.Join(f.dir, "catalog.db")+
				"}\nwarehouse: {location: "+filepath.Join(f.dir, "warehouse")+"}\n")
			if c.spec != "" {
				write(t, dir, "tables/events.yaml", c.spec)
			}
			out := firth(t, "run", "-c", path)
			require.Equal(t, exitCouldNot, out.code, out.stderr)
			for _, want := range c.want {
				require.Contains(t, out.stderr, want)
			}
		})
	}
}
