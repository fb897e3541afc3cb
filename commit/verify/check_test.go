package verify

import (
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
	for range 40 { // snapshots expire and fold
		w.commit(0, 3, 1)
	}
	r := w.check(true)
	require.Empty(t, r.Faults)
	require.Less(t, r.Snapshots, 15)
	require.EqualValues(t, 140, r.Partitions[0].Rows)
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
		shallow: []string{"rows"}, deep: []string{"doubled_row", "rows"},
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
		shallow: []string{"ledger", "overlap", "rows"}, deep: []string{"ledger", "missing_row", "overlap", "rows"},
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
		do: func(w *world) {
			second := w.snapshots()[1].SnapshotID
			w.update(events, icetable.NewSetSnapshotRefUpdate("main", second, icetable.BranchRef, 0, 0, 0))
		},
		shallow: []string{"dead_letters", "gap", "ledger"}, deep: []string{"dead_letters", "gap", "ledger"},
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
	"snapshots expired by others": {
		do: func(w *world) {
			all := w.snapshots()
			w.update(events, icetable.NewRemoveSnapshotsUpdate([]int64{all[0].SnapshotID, all[1].SnapshotID}, false))
		},
		shallow: []string{"expired"}, deep: []string{"expired"},
	},
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
	for name, d := range damages {
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
			for range 2 { // before and after firth goes on and folds their snapshot
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
