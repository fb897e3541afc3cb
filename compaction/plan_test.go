package compaction

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/apache/iceberg-go"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/table"
)

var byRegion = iceberg.NewPartitionSpec(iceberg.PartitionField{SourceIDs: []int{2}, FieldID: 1000,
	Name: "region", Transform: iceberg.IdentityTransform{}})

// made describes a file for a plan: its megabytes, sequence number, partition, and deletes.
type made struct {
	mb       int64
	sequence int64
	region   any
	deleted  int64 // of 1,000 rows, by a file of its own
	shared   int   // delete files of several data files
	groups   int64 // row groups; 0 is one for 10 MB
}

func (m made) task() table.Task {
	path := fmt.Sprintf("mem://lake/db/t/data/%v-%03d.parquet", m.region, m.sequence)
	build := func(content iceberg.ManifestEntryContent, path string, rows int64) *iceberg.DataFileBuilder {
		b, err := iceberg.NewDataFileBuilder(byRegion, content, path, iceberg.ParquetFile,
			map[int]any{1000: m.region}, nil, nil, rows, m.mb<<20)
		if err != nil {
			panic(err)
		}
		return b
	}
	if m.groups == 0 {
		m.groups = m.mb/10 + 1
	}
	splits := make([]int64, m.groups)
	t := table.Task{SequenceNumber: m.sequence, FileSequenceNumber: m.sequence, Spec: byRegion,
		File: build(iceberg.EntryContentData, path, 1000).SplitOffsets(splits).Build()}
	if m.deleted > 0 {
		t.Deletes = append(t.Deletes, build(iceberg.EntryContentPosDeletes, path+".d", m.deleted).
			ReferencedDataFile(path).Build())
	}
	for i := range m.shared {
		t.Deletes = append(t.Deletes, build(iceberg.EntryContentPosDeletes, fmt.Sprint(path, i), 5).Build())
	}
	return t
}

// shown is a plan as text: partition, sequence numbers, how.
func shown(groups []Group) string {
	var lines []string
	for _, g := range groups {
		var files []string
		for _, t := range g.Tasks {
			files = append(files, fmt.Sprint(t.SequenceNumber))
		}
		how := "decode"
		if g.Copied {
			how = "copy"
		}
		lines = append(lines, fmt.Sprintf("%s: %s %s (%s)", g.Partition, how, strings.Join(files, " "), g.Reason))
	}
	return strings.Join(lines, "\n")
}

func TestPlanPicksFilesThatAreWorthIt(t *testing.T) {
	policy := DefaultPolicy(iceberg.Properties{propertyTargetBytes: fmt.Sprint(100 << 20)})
	require.NoError(t, policy.Validate())
	for name, c := range map[string]struct {
		files  []made
		change func(*Policy)
		sorted bool
		want   string
	}{
		"nothing":              {},
		"one small file stays": {files: []made{{mb: 3, sequence: 1}}},
		"files of the target's size stay": {files: []made{{mb: 80, sequence: 1}, {mb: 99, sequence: 2},
			{mb: 400, sequence: 3}}},
		"small files": {files: []made{{mb: 30, sequence: 1}, {mb: 80, sequence: 2}, {mb: 40, sequence: 3}},
			want: "region=null: copy 1 3 (small files)"},
		"partitions by themselves, in order": {files: []made{{mb: 9, sequence: 1, region: "b"},
			{mb: 9, sequence: 2, region: "a"}, {mb: 9, sequence: 3, region: "b"}, {mb: 9, sequence: 4, region: "a"},
			{mb: 9, sequence: 5, region: "c"}},
			want: "region=\"a\": copy 2 4 (small files)\nregion=\"b\": copy 1 3 (small files)"},
		"at most the target": {files: []made{{mb: 40, sequence: 1}, {mb: 40, sequence: 2}, {mb: 40, sequence: 3},
			{mb: 40, sequence: 4}, {mb: 40, sequence: 5}},
			want: "region=null: copy 1 2 (small files)\nregion=null: copy 3 4 (small files)"},
		"a sorted table is decoded": {files: []made{{mb: 9, sequence: 1}, {mb: 9, sequence: 2}}, sorted: true,
			want: "region=null: decode 1 2 (small files)"},
		"small row groups are decoded": {files: []made{{mb: 9, sequence: 1, groups: 20}, {mb: 9, sequence: 2}},
			want: "region=null: decode 1 2 (small files)"},
		"deletes are applied": {files: []made{{mb: 9, sequence: 1, deleted: 1}, {mb: 9, sequence: 2}},
			want: "region=null: decode 1 2 (small files)"},
		"a large file with many deleted rows": {files: []made{{mb: 200, sequence: 1, deleted: 300},
			{mb: 200, sequence: 2, deleted: 299}},
			want: "region=null: decode 1 (1 files with many deleted rows)"},
		"a large file with many delete files": {files: []made{{mb: 200, sequence: 1, shared: 5},
			{mb: 200, sequence: 2, shared: 4}},
			want: "region=null: decode 1 (1 files with many deleted rows)"},
		"a bound for the run": {files: []made{{mb: 60, sequence: 1}, {mb: 20, sequence: 2}, {mb: 60, sequence: 3},
			{mb: 20, sequence: 4}}, change: func(p *Policy) { p.RunBytesMax = 100 << 20 },
			want: "region=null: copy 1 2 (small files)"},
		"a file that grew waits for more": {files: []made{{mb: 60, sequence: 1}, {mb: 3, sequence: 2},
			{mb: 3, sequence: 3}, {mb: 13, sequence: 4}}, want: "region=null: copy 2 3 4 (small files)"},
		"little waits too": {files: []made{{mb: 60, sequence: 1}, {mb: 3, sequence: 2}}},
		"tiny files do not wait": {files: []made{{mb: 1, sequence: 1}, {mb: 0, sequence: 2}},
			want: "region=null: decode 1 2 (small files)"},
		"more files wanted": {files: []made{{mb: 6, sequence: 1}, {mb: 6, sequence: 2}},
			change: func(p *Policy) { p.FilesMin = 3 }},
	} {
		var tasks []table.Task
		for _, f := range c.files {
			tasks = append(tasks, f.task())
		}
		used := policy
		if c.change != nil {
			c.change(&used)
		}
		require.Equal(t, c.want, shown(Plan(tasks, used, c.sorted)), name)
	}
}

func TestPlanDoesNotDependOnTheOrderOfTasks(t *testing.T) {
	policy := DefaultPolicy(nil)
	r := rand.New(rand.NewPCG(1, 1))
	var tasks []table.Task
	for i := range int64(200) {
		tasks = append(tasks, made{mb: 1 + r.Int64N(500), sequence: i / 3, deleted: r.Int64N(500),
			region: fmt.Sprint(i % 7)}.task())
	}
	want := shown(Plan(tasks, policy, false))
	require.NotEmpty(t, want)
	for range 10 {
		r.Shuffle(len(tasks), func(i, j int) { tasks[i], tasks[j] = tasks[j], tasks[i] })
		before := slices.Clone(tasks)
		require.Equal(t, want, shown(Plan(tasks, policy, false)))
		require.Equal(t, before, tasks)
	}
}
