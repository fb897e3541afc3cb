package main

import (
	"context"
	"fmt"
	"time"

	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"

	"github.com/firthlake/firth/catalog"
	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/ingest"
	"github.com/firthlake/firth/ingest/spec"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/keyed"
	"github.com/firthlake/firth/table/keyindex/disktest"
)

// keyedSeeds is where the seeds begin whose worlds have a keyed table: records are versions of a few rows,
// tombstones delete, and the last version of each key has to be there and no other.
const keyedSeeds = 1 << 32

// keyed says whether the world's table is.
func (w *world) keyed() bool { return w.seed >= keyedSeeds }

// keeping is what goes on beside the ingest of a keyed table, and how its records look.
type keeping struct {
	compacts  bool
	zorder    []string
	expires   time.Duration // the age at which rows leave; 0 is never
	changelog bool
	// deletes says that records may delete by a column, clock is what the sequence of records has come to.
	deletes bool
	clock   int64
	// layout and sorted are how the table begins.
	layout int
	sorted bool
	// slow is in how many steps records come once, so that others have their turns between them.
	slow int
}

// regions is how many there are.
const regions = 3

// drawKeyed makes the one feed of a keyed world.
func (w *world) drawKeyed() {
	f := newFeed("rows", "signal", w.feeds[0].follows)
	f.keyed, f.seen, f.engine = true, newObserved(), w.drawEngine()
	w.feeds = []*feed{f}
	w.keys, w.indexBytes = 1+w.rng.Int64N(30), []int64{1 << 10, 1 << 20}[w.rng.IntN(2)]
	w.home = map[int64]int32{}
	w.load.version = []string{"2", "3"}[w.rng.IntN(2)]
	w.keeping = keeping{compacts: w.rng.IntN(3) > 0, changelog: w.rng.IntN(3) == 0, deletes: w.rng.IntN(2) == 0,
		layout: w.rng.IntN(3), sorted: w.rng.IntN(4) == 0, slow: 1 + w.rng.IntN(20)}
	if w.rng.IntN(3) == 0 {
		w.keeping.zorder = []string{columnNames[colAmount], columnNames[colNote]}
	}
	if w.rng.IntN(4) == 0 {
		w.keeping.expires = time.Hour + time.Duration(w.rng.Int64N(int64(3*time.Hour)))
		// Tables are made by the machine's clock, whatever the world's is, and rows do not expire when the two are
		// an hour apart. Nothing else depends on what time it is.
		w.now, w.hazards.jump = time.Now().Truncate(time.Second).Add(-30*time.Minute), 0
	}
}

func (w *world) drawEngine() engine {
	e := engine{sequenced: w.rng.IntN(2) == 0,
		merge: []spec.Merge{spec.MergeLast, spec.MergeFirst, spec.MergePartial, spec.MergeAggregate}[w.rng.IntN(4)]}
	switch e.merge {
	case spec.MergeFirst:
		e.sequenced = false
	case spec.MergePartial:
		e.grouped = w.rng.IntN(2) == 0
	case spec.MergeAggregate:
		functions := []spec.Function{spec.FunctionSum, spec.FunctionMin, spec.FunctionMax, spec.FunctionCount,
			spec.FunctionFirst, spec.FunctionLast}
		e.functions = map[int]spec.Function{}
		for _, column := range []int{colAmount, colNote, colGroup} {
			e.functions[column] = functions[w.rng.IntN(len(functions))]
		}
	}
	return e
}

// keyedFields are the columns of a keyed table beside those of others.
func keyedFields() []iceberg.NestedField {
	long := iceberg.PrimitiveTypes.Int64
	fields := []iceberg.NestedField{{Name: columnNames[colRegion], Type: iceberg.PrimitiveTypes.String}}
	for column := colSeq; column <= colGroup; column++ {
		fields = append(fields, iceberg.NestedField{Name: columnNames[column], Type: long})
	}
	fields = append(fields, iceberg.NestedField{Name: columnNames[colBorn], Type: iceberg.PrimitiveTypes.TimestampTz},
		iceberg.NestedField{Name: columnNames[colGone], Type: iceberg.PrimitiveTypes.Bool})
	for i := range fields {
		fields[i].ID = keyedFieldsFrom + i
	}
	return fields
}

// keyedFieldsFrom is the first field id of keyedFields, in the order of columnNames.
const keyedFieldsFrom = 6

func fieldIDOf(column int) int { return keyedFieldsFrom + column - colRegion }

// partitionSpecs are the partitionings of keyed tables: none, by key, and one in which rows move.
func partitionSpecs() [3]*iceberg.PartitionSpec {
	byKey := iceberg.NewPartitionSpec(iceberg.PartitionField{SourceIDs: []int{1}, FieldID: 1000, Name: "id_bucket",
		Transform: iceberg.BucketTransform{NumBuckets: 4}})
	byRegion := iceberg.NewPartitionSpec(iceberg.PartitionField{SourceIDs: []int{fieldIDOf(colRegion)}, FieldID: 1001,
		Name: "region", Transform: iceberg.IdentityTransform{}})
	return [3]*iceberg.PartitionSpec{nil, &byKey, &byRegion}
}

// shapeKeyed says how the keyed table is made.
func (w *world) shapeKeyed(s *catalog.TableSpec) {
	s.PartitionSpec = partitionSpecs()[w.keeping.layout]
	if w.keeping.sorted {
		order, err := icetable.NewSortOrder(1, []icetable.SortField{{SourceIDs: []int{fieldIDOf(colAmount)},
			Transform: iceberg.IdentityTransform{}, Direction: icetable.SortDESC, NullOrder: icetable.NullsLast}})
		if err != nil {
			panic(fmt.Sprintf("BUG: sort order: %v", err))
		}
		s.SortOrder = &order
	}
	if w.keeping.changelog {
		s.Properties[commit.PropertyChangelog] = table.FormatIdent(changesIdent())
	}
}

// drawKey draws the key of a record. A key stays in its partition when the topic grows, as it does where
// versions have to stay in order.
func (w *world) drawKey() (key int64, partition int32) {
	key = w.rng.Int64N(w.keys)
	if _, known := w.home[key]; !known {
		w.home[key] = int32(key) % w.load.partitions
	}
	return key, w.home[key]
}

// drawVersion draws what a record of a keyed table says.
func (w *world) drawVersion(fate recordFate) *version {
	row := &version{id: fate.id}
	w.keeping.clock++
	kind := int64(signalKind)
	if fate.kind == isNoise {
		kind = signalKind + 1
	}
	row.cells[colKind] = cellOf(kind)
	row.cells[colRegion] = cellOf(w.rng.Int64N(regions))
	row.cells[colSeq] = cellOf(max(0, w.keeping.clock-w.rng.Int64N(8)))
	row.cells[colBorn] = cellOf(w.now.UnixMicro() - w.rng.Int64N(1e10))
	for _, column := range []int{colAmount, colNote, colGroup} {
		if w.rng.IntN(3) > 0 {
			row.cells[column] = cellOf(w.rng.Int64N(100))
		}
	}
	if w.rng.IntN(3) > 0 {
		row.cells[colGroupSeq] = cellOf(max(0, w.keeping.clock-w.rng.Int64N(8)))
	}
	if w.keeping.deletes && w.rng.IntN(3) == 0 {
		row.cells[colGone] = cellOf(w.rng.Int64N(2))
	}
	if fate.extra {
		row.cells[colExtra] = cellOf(extraOf(fate.id))
	}
	return row
}

// json is the record of a version.
func (v *version) json() []byte {
	text := fmt.Appendf(nil, `{"id":%d`, v.id)
	for column, c := range v.cells {
		if !c.set {
			continue
		}
		text = fmt.Appendf(text, `,"%s":`, columnNames[column])
		switch column {
		case colKind, colRegion:
			text = fmt.Appendf(text, "%q", textOf(columnNames[column], c.value))
		case colBorn:
			text = time.UnixMicro(c.value).UTC().AppendFormat(text, `"2006-01-02T15:04:05.000000Z"`)
		case colGone:
			text = fmt.Append(text, c.value == 1)
		default:
			text = fmt.Append(text, c.value)
		}
	}
	return append(text, '}')
}

// textOf is the value of a text column that a number stands for in the model.
func textOf(column string, value int64) string {
	switch {
	case column == columnNames[colRegion]:
		return fmt.Sprint("r", value)
	case value == signalKind:
		return "signal"
	}
	return "noise"
}

// takeDisk gives a process a disk: that of one that is dead, as it was left or damaged, or a new one.
func (w *world) takeDisk() *disktest.Memory {
	if len(w.disks) == 0 {
		return disktest.NewMemory()
	}
	disk := w.disks[len(w.disks)-1]
	w.disks = w.disks[:len(w.disks)-1]
	names := disk.Names()
	if len(names) == 0 || w.rng.IntN(4) > 0 {
		return disk
	}
	if text := disk.Text(names[w.rng.IntN(len(names))]); len(text) > 0 {
		text[w.rng.IntN(len(text))] ^= 1 << w.rng.IntN(8)
		w.tracef("a file of an index is damaged")
	}
	return disk
}

// keysOn is the key index of a process.
func (w *world) keysOn(p *process) *ingest.Keys {
	return ingest.NewKeys(func(ctx context.Context, t *table.Table) (ingest.KeyIndex, error) {
		return keyed.Open(ctx, w.objectsOf(p), t, keyed.Options{Dir: "index", MemoryBytes: w.indexBytes,
			Parallel: 1, Reads: 1, Salt: w.random, Disk: p.disk})
	})
}
