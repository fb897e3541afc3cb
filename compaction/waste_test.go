package compaction

import (
	"fmt"
	"testing"
	"time"

	"github.com/apache/iceberg-go"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/table"
)

// played is a table under updates in a clock of its own: every checkpoint brings a file and deletes as many rows,
// spread over all files alike, and compaction rewrites what the policy wants, as fast as its share of a core allows.
type played struct {
	policy Policy
	files  []*playedFile
	now    time.Duration
	next   time.Duration // checkpoint
	rate   float64       // updates a second
	number int64

	worked  time.Duration // of compaction, without rests
	written float64       // rows
	turn    int
	over    []float64 // overhead right after each checkpoint
	due     int       // files, at the last plan
}

// playedFile is a data file of a played table.
type playedFile struct {
	number        int64
	rows, deleted float64
}

const (
	playedRowBytes   = 50
	playedCheckpoint = 10 * time.Second
	// playedSpeed is rows that one core rewrites in a second, playedFixed what a rewrite takes besides.
	playedSpeed = 1e6
	playedFixed = 50 * time.Millisecond
)

func newPlayed(rows, perFile, rate float64) *played {
	p := &played{policy: automaticPolicy(nil), rate: rate, next: playedCheckpoint}
	for ; rows > 0; rows -= perFile {
		p.add(min(rows, perFile), 0)
	}
	return p
}

func (p *played) add(rows, deleted float64) {
	p.number++
	p.files = append(p.files, &playedFile{p.number, rows, deleted})
}

// tasks are the files as compaction sees them.
func (p *played) tasks() []table.Task {
	tasks := make([]table.Task, len(p.files))
	for i, f := range p.files {
		path := fmt.Sprintf("mem://lake/db/t/data/%d.parquet", f.number)
		build := func(content iceberg.ManifestEntryContent, path string, rows, bytes float64) *iceberg.DataFileBuilder {
			b, err := iceberg.NewDataFileBuilder(*iceberg.UnpartitionedSpec, content, path, iceberg.ParquetFile, nil,
				nil, nil, max(1, int64(rows)), max(1, int64(bytes)))
			if err != nil {
				panic(err)
			}
			return b
		}
		tasks[i] = table.Task{SequenceNumber: f.number, FileSequenceNumber: f.number, Spec: *iceberg.UnpartitionedSpec,
			File: build(iceberg.EntryContentData, path, f.rows, f.rows*playedRowBytes).Build()}
		if f.deleted >= 1 {
			tasks[i].Deletes = []iceberg.DataFile{build(iceberg.EntryContentPosDeletes, path+".d", f.deleted, 100).
				ReferencedDataFile(path).Build()}
		}
	}
	return tasks
}

// pass lets time go by, with the checkpoints in it.
func (p *played) pass(d time.Duration) {
	for end := p.now + d; ; {
		if p.next > end {
			p.now = end
			return
		}
		p.now, p.next = p.next, p.next+playedCheckpoint
		live := 0.0
		for _, f := range p.files {
			live += f.rows - f.deleted
		}
		updates := p.rate * playedCheckpoint.Seconds()
		updates = live * updates / (live + updates) // versions of one key in a checkpoint are one row
		for _, f := range p.files {
			f.deleted += updates * (f.rows - f.deleted) / live
		}
		p.add(updates, 0)
		p.over = append(p.over, p.policy.overhead(p.tasks()))
	}
}

// compact looks at the table once, as Automatic does.
func (p *played) compact() (more bool) {
	tasks := p.tasks()
	p.due = 0
	for _, g := range Plan(tasks, p.policy.due(), false) {
		p.due += len(g.Tasks)
	}
	groups := Plan(tasks, p.policy, false)
	if len(groups) == 0 {
		return false
	}
	g := &groups[firstOf(groups, p.turn)]
	p.turn++
	before, gone, kept := map[int64]float64{}, map[int64]bool{}, 0.0
	for _, t := range g.Tasks {
		gone[t.SequenceNumber] = true
	}
	for _, f := range p.files {
		if gone[f.number] {
			before[f.number] = f.deleted
			kept += f.rows - f.deleted
		}
	}
	work := playedFixed + time.Duration(float64(g.Rows)/playedSpeed*float64(time.Second))
	p.worked += work
	p.pass(time.Duration(float64(work) / shareOf(ShareDefault, p.due)))
	var left []*playedFile
	moved := 0.0
	for _, f := range p.files {
		if gone[f.number] {
			moved += f.deleted - before[f.number]
		} else {
			left = append(left, f)
		}
	}
	p.files = left
	p.add(kept, moved)
	p.written += kept
	return len(groups) > 1
}

// play goes on for so long and returns the mean overhead of its second half.
func (p *played) play(d time.Duration) float64 {
	p.over, p.worked, p.written = nil, 0, 0
	for end := p.now + d; p.now < end; {
		if !p.compact() {
			p.pass(p.next - p.now + EveryDefault) // nothing is looked at before it changes
		}
	}
	sum := 0.0
	half := p.over[len(p.over)/2:]
	for _, o := range half {
		sum += o
	}
	return sum / float64(len(half))
}

func TestReadsStayCheapWithinTheBudget(t *testing.T) {
	for _, c := range []struct {
		rows, perFile, rate float64
		overhead            float64 // mean, at most
		share               float64 // of a core, at most
	}{
		{rows: 1e4, perFile: 1e4, rate: 10, overhead: 0.4, share: 0.02},
		{rows: 1e6, perFile: 1e6, rate: 100, overhead: 0.12, share: 0.02},
		{rows: 1e6, perFile: 1e6, rate: 2_000, overhead: 0.1, share: 0.15},
		{rows: 2e7, perFile: 1e7, rate: 2_000, overhead: 0.06, share: 0.25},
		{rows: 1e8, perFile: 1e7, rate: 2_000, overhead: 0.06, share: 0.25},
	} {
		name := fmt.Sprintf("%.0f rows, %.0f updates a second", c.rows, c.rate)
		p := newPlayed(c.rows, c.perFile, c.rate)
		const span = time.Hour
		got := p.play(span)
		share := p.worked.Seconds() / span.Seconds()
		t.Logf("%s: %.1f %% overhead, %.3f of a core, %d files, %d due, %.0f rows written an update", name, 100*got,
			share, len(p.files), p.due, p.written/(c.rate*span.Seconds()))
		require.Less(t, got, c.overhead, name)
		require.Less(t, share, c.share, name)
		require.Less(t, p.due, debtFiles, name)
	}
}

// TestNothingStarvesBeyondTheBudget plays many more updates than compaction has time to rewrite files for at once: the
// share of deleted rows goes up until rewrites keep up, what is due does not grow, and every file has its turn.
func TestNothingStarvesBeyondTheBudget(t *testing.T) {
	const rows, rate = 2e7, 40_000
	p := newPlayed(rows, rows/4, rate)
	p.play(30 * time.Minute)
	first := p.number
	got := p.play(time.Hour)
	t.Logf("%.1f %% overhead, %d files, %d due, %.1f rows written an update", 100*got, len(p.files), p.due,
		p.written/(rate*time.Hour.Seconds()))
	for n := range first {
		_, still := p.file(n + 1)
		require.False(t, still, "file %d has had no turn for an hour", n+1)
	}
	require.Less(t, got, 0.4)
	require.Equal(t, 1.0, stretchOf(ShareDefault, p.due), "ingest does not wait")
	require.Less(t, p.worked.Seconds(), 0.3*time.Hour.Seconds())
}

func (p *played) file(number int64) (*playedFile, bool) {
	for _, f := range p.files {
		if f.number == number {
			return f, true
		}
	}
	return nil, false
}

func TestTheGroupThatSparesMostForItsCostGoesFirst(t *testing.T) {
	policy := automaticPolicy(iceberg.Properties{propertyTargetBytes: fmt.Sprint(100 << 20)})
	var tasks []table.Task
	for _, f := range []made{
		{mb: 400, sequence: 1, region: "a", deleted: 310},
		{mb: 90, sequence: 2, region: "b", deleted: 90},
		{mb: 20, sequence: 3, region: "c", deleted: 200},
		{mb: 1, sequence: 4, region: "c"},
		{mb: 90, sequence: 5, region: "d", deleted: 40},
		{mb: 5, sequence: 6, region: "e", shared: 1},
	} {
		tasks = append(tasks, f.task())
	}
	groups := Plan(tasks, policy, false)
	require.Equal(t, `region="a": decode 1 (1 files with many deleted rows)
region="b": decode 2 (1 files with many deleted rows)
region="c": decode 3 4 (1 files with many deleted rows)`, shown(groups))
	require.Equal(t, `region="a": decode 1 (1 files with many deleted rows)`, shown(Plan(tasks, policy.due(), false)))
	var order []string
	for turn := range fairTurn {
		first := firstOf(groups, turn)
		order = append(order, groups[first].Partition)
	}
	require.Equal(t, []string{`region="a"`, `region="a"`, `region="a"`, `region="a"`}, order)
	groups = groups[1:]
	require.Equal(t, `region="c"`, groups[firstOf(groups, 0)].Partition)
	require.Equal(t, `region="b"`, groups[firstOf(groups, fairTurn-1)].Partition, "the largest has its turn")
	many := made{mb: 100, sequence: 1, deleted: 500}.task()
	many.EqualityDeletes = []table.EqualityDelete{{}}
	require.Greater(t, wasteOf(many), many.File.FileSizeBytes(), "equality deletes cost most")
}
