package rewrite

import (
	"fmt"
	"reflect"

	"github.com/apache/iceberg-go"

	"github.com/firthlake/firth/table"
)

// counted gets the numbers of one kind of a file's columns.
type counted func(iceberg.DataFile) map[int]int64

// sums adds up numbers by field id; a column that a file does not tell of is left out.
func sums(sources []*source, of counted) map[int]int64 {
	total := map[int]int64{}
	for id, n := range of(sources[0].task.File) {
		total[id] = n
	}
	for _, s := range sources[1:] {
		here := of(s.task.File)
		for id := range total {
			n, ok := here[id]
			if !ok {
				delete(total, id)
				continue
			}
			total[id] += n
		}
	}
	return total
}

// boundary is one of the two kinds of bounds.
type boundary struct {
	of   func(iceberg.DataFile) map[int][]byte
	sign int // of a comparison by which another bound is the wider one
}

// bounds are the widest bounds by field id. A column is left out when a file that has values in it does
// not bound them.
func (b boundary) merge(sources []*source, schema *iceberg.Schema) map[int][]byte {
	widest := map[int][]byte{}
	unbounded := map[int]bool{}
	for _, s := range sources {
		for id := range b.of(s.task.File) {
			widest[id] = nil
		}
	}
	for _, s := range sources {
		file := s.task.File
		here := b.of(file)
		for id, known := range widest {
			bound, ok := here[id]
			switch {
			case !ok && !empty(file, id):
				unbounded[id] = true
			case !ok:
			case known == nil:
				widest[id] = bound
			default:
				order, ok := compare(schema, id, bound, known)
				if !ok {
					unbounded[id] = true
				} else if order*b.sign > 0 {
					widest[id] = bound
				}
			}
		}
	}
	for id, bound := range widest {
		if unbounded[id] || bound == nil {
			delete(widest, id)
		}
	}
	return widest
}

// empty says whether a file surely has no value in a column that bounds would have to hold.
func empty(file iceberg.DataFile, id int) bool {
	values, known := file.ValueCounts()[id]
	nulls, counted := file.NullValueCounts()[id]
	return known && counted && nulls+file.NaNValueCounts()[id] == values
}

// compare orders two bounds of a column, or says that it cannot.
func compare(schema *iceberg.Schema, id int, a, b []byte) (int, bool) {
	typ, found := schema.FindTypeByID(id)
	primitive, simple := typ.(iceberg.PrimitiveType)
	if !found || !simple {
		return 0, false
	}
	return table.CompareBounds(primitive, a, b)
}

// describe makes the entry of the copy out of those of its sources and where its row groups are.
func (w *splicer) describe(
	sources []*source, location string, size int64, schema *iceberg.Schema,
) (iceberg.DataFile, error) {
	rows := int64(0)
	for _, s := range sources {
		rows += s.task.File.Count()
	}
	first := sources[0].task
	builder, err := iceberg.NewDataFileBuilder(first.Spec, iceberg.EntryContentData, location,
		iceberg.ParquetFile, first.File.Partition(), nil, nil, rows, size)
	if err != nil {
		return nil, fmt.Errorf("describe %s: %w", location, err)
	}
	values := sums(sources, iceberg.DataFile.ValueCounts)
	nulls := sums(sources, iceberg.DataFile.NullValueCounts)
	if w.lineage != nil {
		for _, id := range []int{iceberg.RowIDFieldID, iceberg.LastUpdatedSequenceNumberFieldID} {
			values[id], nulls[id] = rows, 0
		}
	}
	lower := boundary{of: iceberg.DataFile.LowerBoundValues, sign: -1}
	upper := boundary{of: iceberg.DataFile.UpperBoundValues, sign: 1}
	builder.ColumnSizes(w.columnSizes()).ValueCounts(values).NullValueCounts(nulls).
		NaNValueCounts(sums(sources, iceberg.DataFile.NaNValueCounts)).
		LowerBoundValues(lower.merge(sources, schema)).UpperBoundValues(upper.merge(sources, schema)).
		SplitOffsets(w.splits)
	return builder.Build(), nil
}

// columnSizes are the compressed bytes of the columns by field id.
func (w *splicer) columnSizes() map[int]int64 {
	sizes := map[int]int64{}
	column := 0
	for _, element := range w.footer.FileMetaData.Schema[1:] {
		if element.GetNumChildren() > 0 {
			continue
		}
		for _, group := range w.footer.RowGroups {
			sizes[int(element.GetFieldID())] += group.Columns[column].MetaData.TotalCompressedSize
		}
		column++
	}
	return sizes
}

// samePartition says whether two tasks are of one partition of one spec.
func samePartition(a, b table.Task) bool {
	return a.File.SpecID() == b.File.SpecID() && reflect.DeepEqual(a.File.Partition(), b.File.Partition())
}
