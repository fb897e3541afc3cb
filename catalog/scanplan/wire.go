package scanplan

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/apache/iceberg-go"
)

// Result is the protocol's answer to a plan, or to the fetching of its tasks, which has no status.
type Result struct {
	Status      string     `json:"status,omitempty"`
	PlanID      string     `json:"plan-id,omitempty"`
	PlanTasks   []string   `json:"plan-tasks,omitempty"`
	Tasks       []fileTask `json:"file-scan-tasks,omitempty"`
	DeleteFiles []file     `json:"delete-files,omitempty"`
}

// fileTask is a data file, with the places of its deletes in the page.
type fileTask struct {
	DataFile file            `json:"data-file"`
	Deletes  []int           `json:"delete-file-references,omitempty"`
	Residual json.RawMessage `json:"residual-filter"`
}

// file is a data or delete file.
type file struct {
	SpecID      int32            `json:"spec-id"`
	Content     string           `json:"content"`
	Path        string           `json:"file-path"`
	Format      string           `json:"file-format"`
	Partition   []any            `json:"partition"`
	Bytes       int64            `json:"file-size-in-bytes"`
	Records     int64            `json:"record-count"`
	ColumnSizes *values[int64]   `json:"column-sizes,omitempty"`
	ValueCounts *values[int64]   `json:"value-counts,omitempty"`
	NullCounts  *values[int64]   `json:"null-value-counts,omitempty"`
	NaNCounts   *values[int64]   `json:"nan-value-counts,omitempty"`
	Lower       *values[hexText] `json:"lower-bounds,omitempty"`
	Upper       *values[hexText] `json:"upper-bounds,omitempty"`
	KeyMetadata hexText          `json:"key-metadata,omitempty"`
	Splits      []int64          `json:"split-offsets,omitempty"`
	EqualityIDs []int            `json:"equality-ids,omitempty"`
	SortOrder   *int             `json:"sort-order-id,omitempty"`
	FirstRowID  *int64           `json:"first-row-id,omitempty"`
	Sequence    *int64           `json:"data-sequence-number,omitempty"`
	Referenced  *string          `json:"referenced-data-file,omitempty"`
	Offset      *int64           `json:"content-offset,omitempty"`
	Size        *int64           `json:"content-size-in-bytes,omitempty"`
}

// hexText is bytes as hexadecimal digits.
type hexText []byte

// MarshalText writes the digits.
func (h hexText) MarshalText() ([]byte, error) { return []byte(hex.EncodeToString(h)), nil }

// values are numbers or bounds of columns by their ids.
type values[T any] struct {
	Keys   []int `json:"keys"`
	Values []T   `json:"values"`
}

// valuesOf are those of the wanted columns; nil when there are none.
func valuesOf[V, T any](all map[int]V, wanted map[int]bool, of func(V) T) *values[T] {
	var out *values[T]
	for _, id := range slices.Sorted(maps.Keys(all)) {
		if !wanted[id] {
			continue
		}
		if out == nil {
			out = &values[T]{}
		}
		out.Keys, out.Values = append(out.Keys, id), append(out.Values, of(all[id]))
	}
	return out
}

var contents = map[iceberg.ManifestEntryContent]string{iceberg.EntryContentData: "data",
	iceberg.EntryContentPosDeletes: "position-deletes", iceberg.EntryContentEqDeletes: "equality-deletes"}

// pageWriter makes the files of one page.
type pageWriter struct {
	specs   func(id int) *iceberg.PartitionSpec
	schemas []*iceberg.Schema // all that the table has had, the current one last
	wanted  map[int]bool      // columns whose statistics are wanted
}

// resultType is the type of a partition field's values; nil when no schema has the column that they are made of.
func (w *pageWriter) resultType(field iceberg.PartitionField) iceberg.Type {
	for _, schema := range slices.Backward(w.schemas) {
		if source, ok := schema.FindFieldByID(field.SourceID()); ok {
			return field.Transform.ResultType(source.Type)
		}
	}
	return nil
}

func (w *pageWriter) file(f iceberg.DataFile) (file, error) {
	out := file{SpecID: f.SpecID(), Content: contents[f.ContentType()], Path: f.FilePath(),
		Format: strings.ToLower(string(f.FileFormat())), Bytes: f.FileSizeBytes(), Records: f.Count(),
		KeyMetadata: f.KeyMetadata(), SortOrder: f.SortOrderID(), Partition: []any{}}
	spec := w.specs(int(f.SpecID()))
	if spec == nil {
		return out, fmt.Errorf("file %s: the table has no partition spec %d", f.FilePath(), f.SpecID())
	}
	partition := f.Partition()
	for _, field := range spec.Fields() {
		value, err := single(w.resultType(field), partition[field.FieldID])
		if err != nil {
			return out, fmt.Errorf("file %s: %w", f.FilePath(), err)
		}
		out.Partition = append(out.Partition, value)
	}
	if f.ContentType() == iceberg.EntryContentData {
		out.Splits, out.FirstRowID = f.SplitOffsets(), f.FirstRowID()
		w.statistics(&out, f)
		return out, nil
	}
	out.EqualityIDs, out.Referenced = f.EqualityFieldIDs(), f.ReferencedDataFile()
	out.Offset, out.Size = f.ContentOffset(), f.ContentSizeInBytes()
	return out, nil
}

func (w *pageWriter) statistics(out *file, f iceberg.DataFile) {
	if len(w.wanted) == 0 {
		return
	}
	number := func(n int64) int64 { return n }
	text := func(b []byte) hexText { return b }
	out.ColumnSizes = valuesOf(f.ColumnSizes(), w.wanted, number)
	out.ValueCounts = valuesOf(f.ValueCounts(), w.wanted, number)
	out.NullCounts = valuesOf(f.NullValueCounts(), w.wanted, number)
	out.NaNCounts = valuesOf(f.NaNValueCounts(), w.wanted, number)
	out.Lower = valuesOf(f.LowerBoundValues(), w.wanted, text)
	out.Upper = valuesOf(f.UpperBoundValues(), w.wanted, text)
}
