package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/cmd/firth/stage"
)

// keyedTopic is topic partition 3 of a topic: versions of keys 3 and 11, and tombstones.
func keyedTopic(t *testing.T) *lookupLog {
	log, err := newLookupLog(lookupOptions{keys: 16, distribution: stage.Uniform}, time.Now)
	require.NoError(t, err)
	for offset, key := range []int{3, 11, 3, 11, 3, 3} {
		row := int64(offset)
		if offset == 3 || offset == 4 {
			row = -1
		}
		log.add(row, key)
	}
	return log
}

func TestRowsOfAKeyedTableAreHeldAgainstTheTopic(t *testing.T) {
	log := keyedTopic(t)
	type row struct {
		key     int
		version int64
	}
	for _, c := range []struct {
		name             string
		rows             []row
		cut              int64 // -1 is not known
		seen             int64
		at               int64
		gaps, duplicates int64
	}{
		{name: "nothing", cut: 0},
		{name: "one row", rows: []row{{3, 0}}, cut: 1, at: 1},
		{name: "two keys", rows: []row{{3, 0}, {11, 1}}, cut: 2, at: 2},
		{name: "a key is missing", rows: []row{{3, 0}}, cut: 2, at: 2, gaps: 1},
		{name: "a key is too old", rows: []row{{3, 0}, {11, 1}}, cut: 3, at: 3, gaps: 1},
		{name: "a key is too new", rows: []row{{3, 2}, {11, 1}}, cut: 2, at: 2, gaps: 1},
		{name: "a deleted row is there", rows: []row{{3, 2}, {11, 1}}, cut: 4, at: 4, gaps: 1},
		{name: "a key is there twice", rows: []row{{3, 0}, {3, 2}, {11, 1}}, cut: 3, at: 3, duplicates: 1},
		{name: "a key of elsewhere", rows: []row{{4, 0}}, cut: 0, gaps: 1},
		{name: "the cut follows from the rows", rows: []row{{3, 2}, {11, 1}}, cut: -1, at: 3},
		{name: "behind a tombstone", rows: []row{{3, 2}}, cut: -1, at: 4},
		{name: "nothing is left", cut: -1, at: 0},
		{name: "nothing is left any more", cut: -1, seen: 4, at: 5},
		{name: "the first cut that was not seen", rows: []row{{3, 5}}, cut: -1, seen: 6, at: 6},
		{name: "a cut before the one that was seen", rows: []row{{3, 2}, {11, 1}}, cut: -1, seen: 5, at: 3},
		{name: "rows of no cut", rows: []row{{11, 1}, {3, 5}}, cut: -1, at: 6, gaps: 1},
	} {
		found := log.found(3)
		for _, r := range c.rows {
			found.take(stage.KeyText(r.key), stage.VersionBegin+r.version, 1)
		}
		if c.cut >= 0 {
			found.holdAt(c.cut, log.keysOf(3))
		} else {
			found.hold(c.seen)
		}
		require.Equal(t, []int64{c.at, c.gaps, c.duplicates}, []int64{found.cut, found.gaps, found.duplicates}, c.name)
		require.Equal(t, c.gaps+c.duplicates > 0, found.wrong != "", c.name)
	}
}

func TestFoldedChangesAreHeldAgainstTheTopic(t *testing.T) {
	log := keyedTopic(t)
	image := func(key int, version int64) *streamRow {
		return &streamRow{Key: stage.KeyText(key), Version: stage.VersionBegin + version}
	}
	whole := []streamChange{{After: image(3, 0), Snapshot: 1}, {After: image(11, 1), Snapshot: 1},
		{Before: image(3, 0), After: image(3, 2), Snapshot: 2}, {Before: image(3, 2), Snapshot: 3},
		{Before: image(11, 1), Snapshot: 3}, {After: image(3, 5), Snapshot: 4}}
	for name, c := range map[string]struct {
		changes []streamChange
		wrong   bool
	}{
		"all":                      {whole, false},
		"a commit is left out":     {append(append([]streamChange{}, whole[:2]...), whole[3:]...), true},
		"a change is left out":     {append(append([]streamChange{}, whole[:4]...), whole[5:]...), true},
		"a change is told twice":   {append(append([]streamChange{}, whole[:2]...), whole[1:]...), true},
		"a row is told of no cut":  {append(append([]streamChange{}, whole[1:2]...), whole[5:]...), true},
		"changes in another order": {append(append([]streamChange{}, whole[2:3]...), whole...), true},
	} {
		way := &streamKeys{log: log, rows: map[int]int64{}, streamDoor: streamDoor{partition: 3}}
		found := way.fold(c.changes)
		require.Equal(t, c.wrong, found.gaps+found.duplicates > 0, "%s: %+v", name, found)
	}
}
