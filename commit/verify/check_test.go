package verify

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/table"
)

func TestAWholeTableIsProven(t *testing.T) {
	w := newWorld(t)
	for _, deep := range []bool{false, true} {
		r := w.check(deep)
		require.Empty(t, r.Faults)
		require.Empty(t, r.Notes)
		require.EqualValues(t, 60, r.Files.Rows)
		require.Equal(t, DeadLetters{Table: "db.events__dead_letters", Counted: 4, Rows: 4}, r.DeadLetters)
		if deep {
			require.EqualValues(t, 20, r.Partitions[0].Rows)
			require.EqualValues(t, 40, r.Partitions[1].Rows)
		}
	}
	for range 20 { // snapshots expire and fold
		w.commit(0, 3, 1)
	}
	r := w.check(true)
	require.Empty(t, r.Faults)
	require.Less(t, r.Snapshots, 15)
	require.EqualValues(t, 80, r.Partitions[0].Rows)
}

func TestATableWithoutCommitsIsProvenAndSaysSo(t *testing.T) {
	r := emptyWorld(t, true).check(true)
	require.True(t, r.Proven)
	require.Equal(t, []string{"nothing was committed yet"}, r.Notes)
}

func TestATableOfOthersIsNotProven(t *testing.T) {
	w := emptyWorld(t, true)
	w.foreignAppend(w.write(events, w.ids(), w.rows(events, 0, 0, 5, "x"))...)
	r := w.check(true)
	require.Equal(t, []string{"ledger"}, kinds(r))
	require.Contains(t, r.Faults[0].Text, "firth never committed to it")
}

// damages are what can happen to a table, and what the check must say then without and with files.
var damages = map[string]struct {
	do            func(w *world)
	shallow, deep []string
	at            func(w *world, r *Report)
}{
	"removed data file": {
		do:      func(w *world) { w.remove(w.file(1)) },
		shallow: []string{"missing_file"}, deep: []string{"missing_file", "missing_row"},
		at: func(w *world, r *Report) {
			require.Equal(w.t, w.file(1), r.of(FaultMissingFile).File)
			require.Equal(w.t, w.snapshots()[1].SnapshotID, r.of(FaultMissingFile).SnapshotID)
			f := r.of(FaultMissingRow)
			require.Equal(w.t, at(tp(1), f.Kind, 0, 20).place(), f.place())
			require.Equal(w.t, w.snapshots()[1].SnapshotID, f.SnapshotID)
		},
	},
	"truncated data file": {
		do:      func(w *world) { w.put(w.file(0), w.get(w.file(0))[:100]) },
		shallow: []string{"changed_file"}, deep: []string{"changed_file", "missing_row"},
	},
	"data file of the same size that is none": {
		do:   func(w *world) { w.put(w.file(0), make([]byte, len(w.get(w.file(0))))) },
		deep: []string{"changed_file", "missing_row"},
	},
	"edited value": {
		do: func(w *world) {
			w.put(w.file(2), w.get(w.write(events, w.ids(), w.rows(events, 0, 12, 10, "y"))[0].FilePath()))
		},
		deep: []string{"checksum"},
		at: func(w *world, r *Report) {
			f := r.of(FaultChecksum)
			require.Equal(w.t, at(tp(0), f.Kind, 12, 24).place(), f.place())
			require.Equal(w.t, w.snapshots()[2].SnapshotID, f.SnapshotID)
		},
	},
	"file referenced twice": {
		do:      func(w *world) { w.foreignAppend(w.live()[0]) },
		shallow: []string{"doubled_file"}, deep: []string{"doubled_file"},
	},
	"copy of a file under a forged name": {
		do: func(w *world) {
			w.foreignAppend(w.write(events, w.ids(), w.rows(events, 1, 0, 20, "x"))...)
		},
		deep: []string{"doubled_row", "rows"},
		at: func(w *world, r *Report) {
			f := r.of(FaultDoubledRow)
			require.EqualValues(w.t, 1, f.Partition)
			require.NotEmpty(w.t, f.File)
			require.EqualValues(w.t, 20, r.Files.ForeignRows)
		},
	},
	"copy of a file under a forged commit id": {
		do: func(w *world) {
			files := w.write(events, w.ids(), w.rows(events, 1, 0, 20, "x"))
			w.foreign(events, func(tx *icetable.Transaction) error {
				return tx.AddDataFiles(w.t.Context(), files,
					iceberg.Properties{commit.SummaryCommitID: uuid.NewString()}, icetable.WithoutAutoNameMapping())
			})
		},
		shallow: []string{"ledger", "rows"}, deep: []string{"doubled_row", "ledger", "rows"},
	},
	"edited position": {
		do: func(w *world) { w.edit(commit.PropertyPosition) }, shallow: []string{"gap", "ledger"},
		deep: []string{"gap", "ledger"},
		at: func(w *world, r *Report) {
			f := r.of(FaultGap)
			require.Equal(w.t, at(tp(0), f.Kind, 24, 30).place(), f.place())
		},
	},
	"garbled position": {
		do: func(w *world) {
			w.update(events, icetable.NewSetPropertiesUpdate(iceberg.Properties{commit.PropertyPosition: "???"}))
		},
		shallow: []string{"ledger"}, deep: []string{"ledger"},
	},
	"removed position": {
		do: func(w *world) {
			w.update(events, icetable.NewRemovePropertiesUpdate([]string{commit.PropertyPosition}))
		},
		shallow: []string{"ledger"}, deep: []string{"ledger"},
	},
	"edited folded totals": {
		do:      func(w *world) { w.edit(commit.PropertyFolded) },
		shallow: []string{"dead_letters", "gap", "ledger", "overlap", "rows"},
		deep:    []string{"dead_letters", "gap", "ledger", "overlap", "rows"},
	},
	"garbled folded totals": {
		do: func(w *world) {
			w.update(events, icetable.NewSetPropertiesUpdate(iceberg.Properties{commit.PropertyFolded: "RgE"}))
		},
		shallow: []string{"ledger"}, deep: []string{"ledger"},
	},
	"removed folded totals": {
		do: func(w *world) {
			w.update(events, icetable.NewRemovePropertiesUpdate([]string{commit.PropertyFolded}))
		},
		shallow: []string{"ledger"}, deep: []string{"ledger"},
	},
	"removed folded totals, and others expired snapshots": {
		do: func(w *world) {
			w.expire(0, 1, 2)
			w.update(events, icetable.NewRemovePropertiesUpdate([]string{commit.PropertyFolded}))
		},
		shallow: []string{"dead_letters", "gap", "ledger", "rows"},
		deep:    []string{"dead_letters", "gap", "ledger", "rows"},
	},
	"folded totals of an earlier commit": {
		do: func(w *world) {
			before := w.load(events).Metadata().Properties()[commit.PropertyFolded]
			w.commit(0, 10, 0)
			w.update(events, icetable.NewSetPropertiesUpdate(iceberg.Properties{commit.PropertyFolded: before}))
		},
		shallow: []string{"gap", "ledger", "overlap", "rows"}, deep: []string{"gap", "ledger", "overlap", "rows"},
	},
	"edited ranges of a snapshot": {
		do:      func(w *world) { w.forge(1, 0, 20, 7) },
		shallow: []string{"counts"}, deep: []string{"checksum", "counts"},
		at: func(w *world, r *Report) {
			f := r.of(FaultChecksum)
			require.Equal(w.t, at(tp(1), f.Kind, 0, 20).place(), f.place())
			require.Equal(w.t, w.snapshots()[1].SnapshotID, f.SnapshotID)
		},
	},
	"edited ranges of a snapshot that leave a gap": {
		do:      func(w *world) { w.forge(1, 0, 15, 7) },
		shallow: []string{"gap", "rows"}, deep: []string{"checksum", "gap", "rows"},
		at: func(w *world, r *Report) {
			f := r.of(FaultGap)
			require.Equal(w.t, at(tp(1), f.Kind, 15, 20).place(), f.place())
			require.Equal(w.t, w.snapshots()[3].SnapshotID, f.SnapshotID)
		},
	},
	"garbled counts of others": {
		do: func(w *world) {
			w.update(events, icetable.NewSetPropertiesUpdate(iceberg.Properties{commit.PropertyForeign: "TwE"}))
		},
		shallow: []string{"ledger"}, deep: []string{"ledger"},
		at: func(w *world, r *Report) { require.Len(w.t, r.Faults, 1) },
	},
	"edited pending letters": {
		do: func(w *world) {
			w.update(events, icetable.NewSetPropertiesUpdate(iceberg.Properties{commit.PropertyPending: ""}))
		},
	},
	"garbled pending letters": {
		do: func(w *world) {
			w.update(events, icetable.NewSetPropertiesUpdate(iceberg.Properties{commit.PropertyPending: "RAE"}))
		},
		shallow: []string{"ledger"}, deep: []string{"ledger"},
	},
	"rollback of main": {
		do:      func(w *world) { w.setBack(1) },
		shallow: []string{"gap", "ledger", "rows"}, deep: []string{"dead_letters", "gap", "ledger", "rows"},
		at: func(w *world, r *Report) {
			require.Contains(w.t, r.of(FaultLedger).Text, "main was set back")
			require.Equal(w.t, at(tp(1), FaultGap, 20, 40).place(), r.of(FaultGap).place())
		},
	},
	"rollback of main, and others expired what it left": {
		do: func(w *world) {
			w.setBack(1)
			w.expire(0, 2, 3)
		},
		shallow: []string{"gap", "ledger", "rows"}, deep: []string{"gap", "ledger", "missing_row", "rows"},
	},
	"rollback of main to a snapshot of others, without any of firth's": {
		do: func(w *world) {
			w.foreignAppend(w.renamed(w.write(events, w.ids(), w.rows(events, 9, 0, 7, "theirs"))[0], "a.parquet"))
			w.commit(0, 10, 0)
			w.setBack(4)
			w.expire(0, 1, 2, 3, 5)
			w.foreignAppend(w.renamed(w.write(events, w.ids(), w.rows(events, 9, 7, 7, "theirs"))[0], "b.parquet"))
		},
		shallow: []string{"ledger", "rows"}, deep: []string{"ledger", "missing_row", "rows"},
	},
	"ranges too large for a summary, and gone": {
		do: func(w *world) {
			w.wide()
			w.commit(0, 10, 0)
			w.remove(w.snapshots()[4].Summary.Properties[commit.SummaryRangesBlob])
		},
		shallow: []string{"ledger"}, deep: []string{"ledger"},
		at: func(w *world, r *Report) {
			require.Equal(w.t, w.snapshots()[4].SnapshotID, r.of(FaultLedger).SnapshotID)
			require.Contains(w.t, r.of(FaultLedger).Text, "read ranges blob")
		},
	},
	"missing manifest list": {
		do:      func(w *world) { w.remove(w.load(events).Metadata().CurrentSnapshot().ManifestList) },
		shallow: []string{"missing_file"}, deep: []string{"missing_file"},
	},
	"garbled manifest list": {
		do: func(w *world) {
			w.put(w.load(events).Metadata().CurrentSnapshot().ManifestList, []byte("Obj\x01no"))
		},
		shallow: []string{"changed_file"}, deep: []string{"changed_file"},
	},
	"missing manifest": {
		do:      func(w *world) { w.remove(w.manifest()) },
		shallow: []string{"missing_file"}, deep: []string{"missing_file"},
	},
	"truncated manifest": {
		do:      func(w *world) { w.put(w.manifest(), w.get(w.manifest())[:300]) },
		shallow: []string{"changed_file"}, deep: []string{"changed_file"},
	},
	"dead-letter table dropped": {
		do:      func(w *world) { w.catalog.Drop(commit.DeadLettersIdent(events)) },
		shallow: []string{"dead_letters"}, deep: []string{"dead_letters"},
	},
	"dead-letter file removed": {
		do:      func(w *world) { w.remove(w.changes[0].DeadLetters[0].FilePath()) },
		shallow: []string{"missing_file"}, deep: []string{"missing_file"},
	},
	"removed data file, and others expired its snapshot": {
		do: func(w *world) {
			w.remove(w.file(1))
			w.expire(0, 1, 2)
		},
		shallow: []string{"missing_file"}, deep: []string{"missing_file", "missing_row"},
		at: func(w *world, r *Report) {
			require.Equal(w.t, at(tp(1), FaultMissingRow, 0, 20).place(), r.of(FaultMissingRow).place())
		},
	},
}

// setBack makes main point to the n-th snapshot.
func (w *world) setBack(n int) {
	w.update(events, icetable.NewSetSnapshotRefUpdate("main", w.snapshots()[n].SnapshotID, icetable.BranchRef, 0, 0, 0))
}

// expire takes snapshots out of the table as another engine does.
func (w *world) expire(which ...int) {
	all := w.snapshots()
	var gone []int64
	for _, n := range which {
		gone = append(gone, all[n].SnapshotID)
	}
	w.update(events, icetable.NewRemoveSnapshotsUpdate(gone, false))
}

// forge puts other ranges into the summary of the n-th snapshot: inserted rows of partition 1.
func (w *world) forge(n int, from, next commit.Offset, checksum uint64) {
	donor := emptyWorld(w.t, true)
	change := commit.Change{ID: w.ids()}
	change.Files = donor.write(events, change.ID, donor.rows(events, 1, from, int(next-from), "x"))
	change.Ranges = map[commit.TopicPartition]commit.Range{tp(1): {From: from, Next: next,
		Counts: commit.Counts{Inserted: int64(next - from)}, Checksum: checksum}}
	_, err := donor.committer.Commit(w.t.Context(), change)
	require.NoError(w.t, err)
	was := w.snapshots()[n].Summary.Properties[commit.SummaryRanges]
	forged := donor.snapshots()[0].Summary.Properties[commit.SummaryRanges]
	meta := w.load(events).Metadata()
	text, err := json.Marshal(meta)
	require.NoError(w.t, err)
	require.Equal(w.t, 1, strings.Count(string(text), was))
	meta, err = icetable.ParseMetadataString(strings.Replace(string(text), was, forged, 1))
	require.NoError(w.t, err)
	require.NoError(w.t, w.catalog.Create(events, meta))
}

// wide commits ranges of 900 topic partitions, too many for a summary.
func (w *world) wide() {
	change := commit.Change{ID: w.ids(), Ranges: map[commit.TopicPartition]commit.Range{}}
	for p := range int32(900) {
		from := w.next[p]
		change.Ranges[tp(p)] = commit.Range{From: from, Next: from + 2, Counts: commit.Counts{Filtered: 2}}
		w.next[p] += 2
	}
	_, err := w.committer.Commit(w.t.Context(), change)
	require.NoError(w.t, err)
	w.changes = append(w.changes, change)
}

// manifest is one of the head's.
func (w *world) manifest() string {
	t := w.load(events)
	for e, err := range table.Entries(w.t.Context(), t, w.store, t.Metadata().CurrentSnapshot().SnapshotID) {
		require.NoError(w.t, err)
		return e.Manifest
	}
	return ""
}

// edit puts another value of the right form into a property.
func (w *world) edit(property string) {
	other := emptyWorld(w.t, true)
	if property == commit.PropertyFolded {
		for range 40 {
			other.commit(0, 3, 0)
		}
	} else {
		other.commit(0, 30, 0)
		other.commit(1, 40, 0)
	}
	value := other.load(events).Metadata().Properties()[property]
	require.NotEmpty(w.t, value)
	w.update(events, icetable.NewSetPropertiesUpdate(iceberg.Properties{property: value}))
}

// place is where a fault is, in one value.
func (f Fault) place() [4]any { return [4]any{f.Topic, f.Partition, f.From, f.Next} }

func TestDamageIsFoundWhereItIs(t *testing.T) {
	for i, name := range slices.Sorted(maps.Keys(damages)) {
		if testing.Short() && i%3 > 0 {
			continue
		}
		d := damages[name]
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			w := newWorld(t)
			d.do(w)
			shallow, deep := w.check(false), w.check(true)
			require.Equal(t, d.shallow, kinds(shallow), "%v", shallow.Faults)
			require.Equal(t, d.deep, kinds(deep), "%v", deep.Faults)
			if d.at != nil {
				d.at(w, deep)
			}
		})
	}
}

// TestExpiryByOthersTakesNoProof expires snapshots as other engines do, before and after firth and others
// went on.
func TestExpiryByOthersTakesNoProof(t *testing.T) {
	rounds := 3
	if testing.Short() {
		rounds = 1
	}
	for name, do := range map[string]func(w *world){
		"some":  func(w *world) { w.expire(0, 1) },
		"all":   func(w *world) { w.expire(0, 1, 2) },
		"a gap": func(w *world) { w.expire(1) },
		"all of firth's": func(w *world) {
			w.theirs(5)
			w.expire(0, 1, 2, 3)
		},
		"what others appended": func(w *world) {
			w.theirs(5)
			w.theirs(3)
			w.expire(3, 4)
		},
		"what others deleted": func(w *world) {
			w.foreign(events, func(tx *icetable.Transaction) error {
				return tx.ReplaceDataFiles(w.t.Context(), []string{w.file(0)}, nil, nil)
			})
			w.theirs(3)
			w.expire(0, 1, 2, 3, 4)
		},
		"what others rewrote": func(w *world) {
			w.foreign(events, func(tx *icetable.Transaction) error {
				files := w.write(events, w.ids(), w.rows(events, 0, 0, 10, "x"))
				return tx.NewRewrite(nil).ApplyResult(icetable.CompactionGroupResult{
					OldDataFiles: w.only(w.file(0)), NewDataFiles: files}).Commit(w.t.Context())
			})
			w.theirs(3)
			w.expire(2, 3, 4)
		},
		"ranges in a blob": func(w *world) {
			w.wide()
			w.wide()
			w.remove(w.snapshots()[4].Summary.Properties[commit.SummaryRangesBlob])
			w.expire(4)
		},
	} {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			w := newWorld(t)
			w.foreign(commit.DeadLettersIdent(events), func(tx *icetable.Transaction) error {
				return tx.ReplaceDataFiles(t.Context(), []string{w.changes[0].DeadLetters[0].FilePath()}, nil, nil)
			})
			do(w)
			for range rounds {
				require.Empty(t, w.check(false).Faults)
				r := w.check(true)
				require.Empty(t, r.Faults)
				require.EqualValues(t, w.next[0], r.Partitions[0].Next)
				require.Zero(t, r.Partitions[0].From)
				for range 6 {
					w.commit(0, 2, 1)
				}
				w.expire(1)
			}
		})
	}
}

// theirs lets others append rows that come from no topic.
func (w *world) theirs(rows int) {
	batch := w.rows(events, 9, w.next[9], rows, "theirs")
	w.next[9] += commit.Offset(rows)
	file := w.write(events, w.ids(), batch)[0]
	w.foreignAppend(w.renamed(file, fmt.Sprintf("part-%d.parquet", w.next[9])))
}

func TestWhatOthersDoIsNoBreach(t *testing.T) {
	for name, o := range map[string]struct {
		do   func(w *world)
		note string
	}{
		"append": {do: func(w *world) {
			theirs := w.write(events, w.ids(), w.rows(events, 9, 0, 7, "theirs"))[0]
			w.foreignAppend(w.renamed(theirs, "part-00000.parquet"))
		}},
		"rewrite": {do: func(w *world) {
			w.foreign(events, func(tx *icetable.Transaction) error {
				files := w.write(events, w.ids(), w.rows(events, 0, 0, 10, "x"))
				return tx.NewRewrite(nil).ApplyResult(icetable.CompactionGroupResult{
					OldDataFiles: w.only(w.file(0)), NewDataFiles: files}).Commit(w.t.Context())
			})
		}},
		"delete by position": {note: "5 rows were removed by others", do: func(w *world) {
			w.foreign(events, func(tx *icetable.Transaction) error {
				return tx.Delete(w.t.Context(), iceberg.NewAnd(
					iceberg.EqualTo(iceberg.Reference("_kafka_partition"), int32(1)),
					iceberg.LessThan(iceberg.Reference("id"), int64(5))), nil)
			})
		}},
		"delete of a file": {note: "10 rows were removed by others", do: func(w *world) {
			w.foreign(events, func(tx *icetable.Transaction) error {
				return tx.ReplaceDataFiles(w.t.Context(), []string{w.file(0)}, nil, nil)
			})
		}},
	} {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			w := newWorld(t)
			o.do(w)
			rounds := 2 // before and after firth goes on and folds their snapshot
			if testing.Short() {
				rounds = 1
			}
			for range rounds {
				require.Empty(t, w.check(false).Faults)
				r := w.check(true)
				require.Empty(t, r.Faults)
				require.Contains(t, strings.Join(r.Notes, "\n"), o.note)
				require.EqualValues(t, 1, r.Foreign.Snapshots)
				for range 15 {
					w.commit(0, 2, 0)
				}
			}
		})
	}
}

// only are the live files of a name.
func (w *world) only(name string) []iceberg.DataFile {
	var out []iceberg.DataFile
	for _, f := range w.live() {
		if f.FilePath() == name {
			out = append(out, f)
		}
	}
	return out
}

// renamed is a copy of a file under another name.
func (w *world) renamed(file iceberg.DataFile, name string) iceberg.DataFile {
	content := w.get(file.FilePath())
	location := w.load(events).Metadata().Location() + "/data/" + name
	w.put(location, content)
	b, err := iceberg.NewDataFileBuilder(*iceberg.UnpartitionedSpec, iceberg.EntryContentData, location,
		iceberg.ParquetFile, nil, nil, nil, file.Count(), int64(len(content)))
	require.NoError(w.t, err)
	return b.Build()
}
