package compaction

import (
	"slices"

	"github.com/firthlake/firth/table"
)

// What a scan pays for besides rows that live, in bytes of data files that cost it as much: Spark and Trino have
// been asked, docs/performance.md has their figures.
const (
	// fileWaste is a file: opening it, its footer, its part of the plan.
	fileWaste = 2 << 20
	// vectorWaste is a file of deletes.
	vectorWaste = 512 << 10
	// scanBytes is a scan of nothing, and is no waste: where there is little to read, files count for less.
	scanBytes = 16 << 20
	// wasteMin is the waste that is worth a commit: more than one file and its deletes alone.
	wasteMin = 3 << 20
	// copiedCost is the cost of a copied byte, that of a decoded one being 1.
	copiedCost = 1.0 / 8
)

// wasteOf is what a scan pays for a file beyond its living rows and the file itself.
func wasteOf(t table.Task) int64 {
	waste := int64(len(t.Deletes)) * vectorWaste
	if len(t.EqualityDeletes) > 0 {
		return waste + t.File.FileSizeBytes() // each row is looked up, and many engines cannot
	}
	if rows := t.File.Count(); rows > 0 {
		waste += int64(float64(t.File.FileSizeBytes()) * float64(deletedRows(t)) / float64(rows))
	}
	return waste
}

// waste is what a scan pays for the group as it is beyond what it would pay for it as one file.
func (g *Group) waste() int64 {
	waste := int64(len(g.Tasks)-1) * fileWaste
	for _, t := range g.Tasks {
		waste += wasteOf(t)
	}
	return waste
}

// gain is what a rewrite of the group spares a scan, for what the rewrite costs.
func (g *Group) gain() float64 {
	cost := float64(g.Bytes)
	if g.Copied {
		cost *= copiedCost
	}
	return float64(g.waste()) / (cost + scanBytes)
}

// pays says whether waste of a group of so many bytes is worth a rewrite.
func (p Policy) pays(waste, bytes int64) bool {
	return waste >= wasteMin && float64(waste) >= p.WasteShare*float64(bytes+scanBytes)
}

// wasteful says whether a scan pays so much for deletes that the group is rewritten before the shares of deleted
// rows and the numbers of files ask for it. Files that only grow in number wait for each other.
func (p Policy) wasteful(g *Group) bool {
	if p.WasteShare == 0 {
		return false
	}
	return g.hasDeletes() && p.pays(g.waste(), g.Bytes)
}

func (g *Group) hasDeletes() bool {
	return slices.ContainsFunc(g.Tasks, func(t table.Task) bool {
		return len(t.Deletes)+len(t.EqualityDeletes) > 0
	})
}

// spare leaves the largest files out of a wasteful group when that is enough: a large file is not rewritten for
// the sake of small ones.
func (p Policy) spare(g *Group) {
	small := *g
	p.trim(&small)
	if len(small.Tasks) > 1 && !p.pays(g.waste()-small.waste(), g.Bytes) {
		*g = small
	}
}

// overhead is what a scan of tasks pays for deleted rows, for deletes and for files that compaction would make
// fewer, as a share of what it would pay without.
func (p Policy) overhead(tasks []table.Task) float64 {
	waste, bytes := int64(0), int64(0)
	for _, files := range partitions(tasks) {
		inside := int64(0)
		for _, t := range files {
			waste += wasteOf(t)
			inside += t.File.FileSizeBytes()
		}
		bytes += inside
		waste += max(0, int64(len(files))-(inside+p.TargetBytes-1)/p.TargetBytes) * fileWaste
	}
	return float64(waste) / float64(max(0, bytes-waste)+scanBytes)
}
