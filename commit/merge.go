package commit

import (
	"github.com/apache/iceberg-go"
)

const (
	// mergeFanIn is how many manifests of one size class are merged into one of the next class. An
	// entry is rewritten once a class, so a commit pays for log8(files) entries a file it adds, and
	// a class never holds more than 7 manifests.
	mergeFanIn = 8
	// mergeEntriesMax is the size from which a manifest is left alone: at about 1 KB an entry it is
	// the 8 MB that readers are built for.
	mergeEntriesMax = 8192
)

// planMerges picks the manifests to merge, each group into one, so that size classes stay short; kept
// are the others, without those that hold no live file. A class that overflows takes the smaller ones
// that overflowed with it, so no entry is written twice in one commit.
func planMerges(manifests []iceberg.ManifestFile) (kept []iceberg.ManifestFile, groups [][]iceberg.ManifestFile) {
	classes := map[manifestKind][][]iceberg.ManifestFile{}
	var order []manifestKind
	for _, m := range manifests {
		n := liveEntries(m)
		if n == 0 || n > mergeEntriesMax/2 {
			continue
		}
		kind := kindOf(m)
		if _, ok := classes[kind]; !ok {
			order = append(order, kind)
		}
		c := sizeClass(n)
		for len(classes[kind]) <= c {
			classes[kind] = append(classes[kind], nil)
		}
		classes[kind][c] = append(classes[kind][c], m)
	}
	taken := map[string]bool{}
	for _, kind := range order {
		group := overflow(classes[kind])
		if len(group) == 0 {
			continue
		}
		groups = append(groups, group)
		for _, m := range group {
			taken[m.FilePath()] = true
		}
	}
	for _, m := range manifests {
		if !taken[m.FilePath()] && liveEntries(m) > 0 {
			kept = append(kept, m)
		}
	}
	return kept, groups
}

// overflow returns what to merge of the classes of one kind: every class that is full, counting what
// was merged into it from below.
func overflow(classes [][]iceberg.ManifestFile) (group []iceberg.ManifestFile) {
	entries := 0
	for c, class := range classes {
		size := len(class)
		if entries > 0 && sizeClass(entries) == c {
			size++
		}
		if size < mergeFanIn {
			continue
		}
		for _, m := range class {
			if entries+liveEntries(m) <= mergeEntriesMax {
				group = append(group, m)
				entries += liveEntries(m)
			}
		}
	}
	if len(group) < 2 {
		return nil
	}
	return group
}

// liveEntries is the number of files that a manifest holds.
func liveEntries(m iceberg.ManifestFile) int {
	return int(m.AddedDataFiles()) + int(m.ExistingDataFiles())
}

// sizeClass is the logarithm of n to the base of mergeFanIn, rounded down.
func sizeClass(n int) int {
	c := 0
	for ; n >= mergeFanIn; n /= mergeFanIn {
		c++
	}
	return c
}
