package compaction

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/apache/iceberg-go"

	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/vector"
)

// Group is files of one partition that are rewritten together.
type Group struct {
	// Partition names the partition for people; it is empty in an unpartitioned table.
	Partition string
	// Tasks are the files, oldest first.
	Tasks []table.Task
	// Bytes and Rows are those of the files; of the rows so many are deleted as far as is known.
	Bytes, Rows, Deleted int64
	// Copied says that chunks are copied as they are.
	Copied bool
	// Reason says why the group is worth it.
	Reason string

	key string
}

// Plan finds the groups of files that policy wants rewritten, in the order of their partitions. Sorted
// says that the table has a sort order, which copies would not keep.
func Plan(tasks []table.Task, policy Policy, sorted bool) []Group {
	var groups []Group
	for _, files := range partitions(tasks) {
		groups = append(groups, policy.pack(files, sorted)...)
	}
	total := int64(0)
	for i, g := range groups {
		if total += g.Bytes; i > 0 && policy.RunBytesMax > 0 && total > policy.RunBytesMax {
			return groups[:i]
		}
	}
	return groups
}

// partitions shares tasks out by spec and partition, in order, each oldest first.
func partitions(tasks []table.Task) [][]table.Task {
	byKey := map[string][]table.Task{}
	for _, t := range tasks {
		key := partitionKey(t)
		byKey[key] = append(byKey[key], t)
	}
	keys := make([]string, 0, len(byKey))
	for key := range byKey {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	sorted := make([][]table.Task, len(keys))
	for i, key := range keys {
		sorted[i] = byKey[key]
		slices.SortFunc(sorted[i], func(a, b table.Task) int {
			return cmp.Or(cmp.Compare(a.SequenceNumber, b.SequenceNumber),
				cmp.Compare(a.FileSequenceNumber, b.FileSequenceNumber),
				cmp.Compare(a.File.FilePath(), b.File.FilePath()))
		})
	}
	return sorted
}

// partitionKey tells partitions of all specs apart.
func partitionKey(t table.Task) string {
	return fmt.Sprintf("%05d %s", t.File.SpecID(), partitionName(t))
}

// partitionName is the partition as its path would be.
func partitionName(t table.Task) string {
	values := t.File.Partition()
	var name []string
	for _, field := range t.Spec.Fields() {
		switch v := values[field.FieldID].(type) {
		case nil:
			name = append(name, field.Name+"=null")
		case string:
			name = append(name, fmt.Sprintf("%s=%q", field.Name, v))
		case []byte:
			name = append(name, fmt.Sprintf("%s=%x", field.Name, v))
		default:
			name = append(name, fmt.Sprintf("%s=%v", field.Name, v))
		}
	}
	return strings.Join(name, "/")
}

// pack makes groups of the files of one partition. Files that are next to each other in time stay so.
func (p Policy) pack(files []table.Task, sorted bool) []Group {
	var groups []Group
	var open Group
	bytesMax := p.TargetBytes
	if p.Whole {
		bytesMax = wholeTargets * p.TargetBytes
	}
	end := func() {
		wasteful := p.wasteful(&open)
		if wasteful {
			p.spare(&open)
		} else {
			p.trim(&open)
		}
		if p.worthwhile(&open) || wasteful {
			open.finish(sorted)
			groups = append(groups, open)
		}
		open = Group{}
	}
	for _, t := range files {
		if !p.Whole && !p.small(t) && !p.eroded(t) {
			continue
		}
		size := t.File.FileSizeBytes()
		if len(open.Tasks) > 0 && open.Bytes+size > bytesMax {
			end()
		}
		open.add(t)
	}
	end()
	return groups
}

// trim leaves out files that would be rewritten for the sake of little.
func (p Policy) trim(g *Group) {
	if p.Whole {
		return
	}
	for len(g.Tasks) > 0 {
		largest := -1
		for i, t := range g.Tasks {
			if !p.eroded(t) && (largest < 0 || t.File.FileSizeBytes() > g.Tasks[largest].File.FileSizeBytes()) {
				largest = i
			}
		}
		if largest < 0 {
			return
		}
		size := g.Tasks[largest].File.FileSizeBytes()
		if float64(g.Bytes-size) >= p.GrowthShare*float64(size) || float64(size) <= tinyShare*float64(p.TargetBytes) {
			return
		}
		kept := slices.Delete(slices.Clone(g.Tasks), largest, largest+1)
		*g = Group{}
		for _, t := range kept {
			g.add(t)
		}
	}
}

func (p Policy) small(t table.Task) bool {
	return float64(t.File.FileSizeBytes()) < p.SmallShare*float64(p.TargetBytes)
}

// eroded says whether deletes have made a file dear to read.
func (p Policy) eroded(t table.Task) bool {
	shared := 0
	for _, d := range t.Deletes {
		if vector.DataFile(d) == "" {
			shared++
		}
	}
	if p.wasteful(&Group{Tasks: []table.Task{t}, Bytes: t.File.FileSizeBytes()}) {
		return true
	}
	// Many engines cannot read equality deletes, so these go first.
	return len(t.EqualityDeletes) > 0 || shared >= p.DeleteFilesMax ||
		float64(deletedRows(t)) >= p.DeletedShare*float64(t.File.Count()) && len(t.Deletes) > 0
}

// deletedRows are the rows of a file that are known to be deleted.
func deletedRows(t table.Task) int64 {
	rows := int64(0)
	for _, d := range t.Deletes {
		if vector.DataFile(d) != "" {
			rows += d.Count()
		}
	}
	return min(rows, t.File.Count())
}

// worthwhile says whether a group is worth a rewrite and notes why.
func (p Policy) worthwhile(g *Group) bool {
	eroded, equal := 0, 0
	for _, t := range g.Tasks {
		if p.eroded(t) {
			eroded++
		}
		if len(t.EqualityDeletes) > 0 {
			equal++
		}
	}
	switch {
	case equal > 0:
		g.Reason = fmt.Sprintf("%d files with equality deletes", equal)
		return true
	case eroded > 0:
		g.Reason = fmt.Sprintf("%d files with many deleted rows", eroded)
		return true
	case p.Whole && len(g.Tasks) > 0:
		g.Reason = "all files"
		return true
	case len(g.Tasks) >= p.FilesMin:
		g.Reason = "small files"
		return true
	}
	g.Reason = "small files and deleted rows"
	return false
}

func (g *Group) add(t table.Task) {
	g.Tasks = append(g.Tasks, t)
	g.Bytes += t.File.FileSizeBytes()
	g.Rows += t.File.Count()
	g.Deleted += deletedRows(t)
}

func (g *Group) finish(sorted bool) {
	g.key, g.Partition = partitionKey(g.Tasks[0]), partitionName(g.Tasks[0])
	rowGroups := int64(0)
	g.Copied = !sorted && len(g.Tasks) > 1
	for _, t := range g.Tasks {
		rowGroups += max(1, int64(len(t.File.SplitOffsets())))
		g.Copied = g.Copied && len(t.Deletes)+len(t.EqualityDeletes) == 0 && t.File.FileFormat() == iceberg.ParquetFile
	}
	g.Copied = g.Copied && g.Bytes/rowGroups >= rowGroupBytesMin
}
