package main

import (
	"encoding/json"
	"regexp"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/serve/live"
	"github.com/firthlake/firth/table"
)

// beside is another process of the same consumer group on the same table.
func (f *lakeFolder) beside(t *testing.T, name string) *lakeFolder {
	t.Helper()
	other := *f
	other.config = write(t, f.dir, name+".yaml", `
clusters: {default: {brokers: ["`+f.broker.Connection().Brokers[0]+`"]}}
listen: {catalog: "127.0.0.1:0", admin: "127.0.0.1:0"}
state: state-`+name+`
`)
	return &other
}

// client reads a table of four topic partitions as of now, at one process.
type client struct {
	url string
	cut map[string]int64 // by partition
}

// read reads all rows: each offset below the cut once, and no cut below the one before.
func (c *client) read(t *testing.T) (elsewhere []int) {
	t.Helper()
	loaded, store, tasks := tasksIn(t, c.url, "live", "_kafka_partition", "_kafka_offset")
	head := loaded.Metadata().CurrentSnapshot()
	if head == nil {
		return nil
	}
	var cut map[string]map[string]int64
	require.NoError(t, json.Unmarshal([]byte(head.Summary.Properties[live.SummaryOffsets]), &cut))
	next := map[string]int64{}
	for id, at := range cut["events"] {
		next[id] = at
	}
	for id, before := range c.cut {
		require.GreaterOrEqual(t, next[id], before, "partition %s goes back", id)
	}
	c.cut = next
	found := map[[2]int64]bool{}
	for _, task := range tasks {
		for batch, err := range table.Read(t.Context(), store, task) {
			require.NoError(t, err)
			partitions := batch.Column(0).(*array.Int32).Int32Values()
			for i, offset := range batch.Column(1).(*array.Int64).Int64Values() {
				row := [2]int64{int64(partitions[i]), offset}
				require.False(t, found[row], "row %v is there twice", row)
				found[row] = true
			}
		}
	}
	require.EqualValues(t, len(found), c.rows(), "rows are missing or beyond the cut %v", next)
	var others map[string][]int
	if text := head.Summary.Properties[live.SummaryElsewhere]; text != "" {
		require.NoError(t, json.Unmarshal([]byte(text), &others))
	}
	return others["events"]
}

// rows are those below the cut.
func (c *client) rows() (sum int64) {
	for _, next := range c.cut {
		sum += next
	}
	return sum
}

// twoAssigned is in the log of a process that reads two topic partitions or more.
var twoAssigned = regexp.MustCompile(`(?s)topic partition assigned.*topic partition assigned`)

func TestSeveralProcessesFeedOneTable(t *testing.T) {
	f := newHourlyFolder(t, 4, byCountry)
	f.produce(t, 500)
	r := f.run(t)
	one := &client{url: r.url(t, "catalog")}
	alone := func() bool { return len(one.read(t)) == 0 && one.rows() == f.produced }
	require.Eventually(t, alone, patience, 50*time.Millisecond)
	g := f.beside(t, "other")
	s := g.run(t)
	two := &client{url: s.url(t, "catalog")}
	require.Eventually(t, func() bool { return twoAssigned.MatchString(s.log.String()) }, patience, 50*time.Millisecond)
	readers := f.beside(t, "readers").run(t, "--roles", "catalog")
	three := &client{url: readers.url(t, "catalog")}
	all := func() bool {
		away := len(one.read(t)) + len(two.read(t)) + len(three.read(t))
		return away == 0 && one.rows() == f.produced && two.rows() == f.produced && three.rows() == f.produced
	}
	for range 4 {
		f.produce(t, 100)
		require.Eventually(t, all, patience, 50*time.Millisecond, "%s\n%s\n%s", r.log, s.log, readers.log)
	}
	require.Less(t, rowsIn(t, one.url, "main"), f.produced-200, "hardly anything is committed within the hour")
	s.end(t)
	f.produce(t, 100)
	require.Eventually(t, alone, patience, 50*time.Millisecond)
	require.Eventually(t, func() bool { return len(three.read(t)) == 0 && three.rows() == f.produced }, patience,
		50*time.Millisecond)
	readers.end(t)
	r.end(t)
	report := f.report(t)
	require.True(t, report.Proven, "%+v", report.Faults)
	require.Equal(t, f.produced, report.Files.Rows)
}

func TestAProcessThatIsKilledLeavesNoGapInWhatOthersShow(t *testing.T) {
	f := newHourlyFolder(t, 4, byCountry)
	r := f.run(t)
	one := &client{url: r.url(t, "catalog")}
	f.produce(t, 200)
	alone := func() bool { return len(one.read(t)) == 0 && one.rows() == f.produced }
	require.Eventually(t, alone, patience, 50*time.Millisecond)
	g := f.beside(t, "other")
	s := &running{log: &lockedBuffer{}}
	killed := process(t.Context(), "run", "-c", g.config)
	killed.Stderr = s.log
	require.NoError(t, killed.Start())
	two := &client{url: s.url(t, "catalog")}
	require.Eventually(t, func() bool { return twoAssigned.MatchString(s.log.String()) }, patience, 50*time.Millisecond)
	for range 3 {
		f.produce(t, 100)
		both := func() bool { return alone() && len(two.read(t)) == 0 && two.rows() == f.produced }
		require.Eventually(t, both, patience, 50*time.Millisecond, "%s\n%s", r.log, s.log)
	}
	require.NoError(t, killed.Process.Kill())
	_ = killed.Wait() // it was killed
	f.produce(t, 100)
	require.Eventually(t, alone, patience, 50*time.Millisecond, "%s", r.log)
	r.end(t)
	report := f.report(t)
	require.True(t, report.Proven, "%+v", report.Faults)
	require.Equal(t, f.produced, report.Files.Rows)
}

func TestRowsAreShownWhereNobodyIngests(t *testing.T) {
	f := newHourlyFolder(t, 4, byCountry)
	r := f.run(t, "--roles", "catalog")
	one := &client{url: r.url(t, "catalog")}
	s := f.beside(t, "other").run(t, "--roles", "ingest")
	for range 3 {
		f.produce(t, 100)
		require.Eventually(t, func() bool { return len(one.read(t)) == 0 && one.rows() == f.produced }, patience,
			50*time.Millisecond, "%s\n%s", r.log, s.log)
	}
	require.Less(t, rowsIn(t, one.url, "main"), f.produced)
	s.end(t)
	r.end(t)
}
