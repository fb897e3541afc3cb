package point

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/objstore"
)

// written is a table and one of its data files, with rows of ids from 0 on and names of 40 bytes.
func written(t testing.TB, store objstore.Store, rows int) (*table.Table, string) {
	t.Helper()
	schema := iceberg.NewSchemaWithIdentifiers(0, []int{1},
		iceberg.NestedField{ID: 1, Name: "id", Type: iceberg.PrimitiveTypes.Int64, Required: true},
		iceberg.NestedField{ID: 2, Name: "name", Type: iceberg.PrimitiveTypes.String},
		iceberg.NestedField{ID: 3, Name: "ts", Type: iceberg.PrimitiveTypes.TimestampTz},
		iceberg.NestedField{ID: 4, Name: "amount", Type: iceberg.PrimitiveTypes.Float64},
		iceberg.NestedField{ID: 5, Name: "quantity", Type: iceberg.PrimitiveTypes.Int32},
		iceberg.NestedField{ID: 6, Name: "is_mobile", Type: iceberg.PrimitiveTypes.Bool},
		iceberg.NestedField{ID: 7, Name: "tags", Type: &iceberg.ListType{ElementID: 8,
			Element: iceberg.PrimitiveTypes.String}})
	meta, err := icetable.NewMetadataWithUUID(schema, iceberg.UnpartitionedSpec, icetable.UnsortedSortOrder, "mem://t",
		iceberg.Properties{"format-version": "2"}, uuid.New())
	require.NoError(t, err)
	w, err := table.NewWriter(store, table.WriterOptions{Schema: schema, Spec: *iceberg.UnpartitionedSpec,
		Location: "mem://t", ChangeID: uuid.New()})
	require.NoError(t, err)
	form, err := table.ArrowSchema(schema)
	require.NoError(t, err)
	b := array.NewRecordBuilder(memory.DefaultAllocator, form)
	defer b.Release()
	for i := range rows {
		b.Field(0).(*array.Int64Builder).Append(int64(i))
		b.Field(1).(*array.StringBuilder).Append(name(i))
		b.Field(2).(*array.TimestampBuilder).Append(arrow.Timestamp(i))
		b.Field(3).(*array.Float64Builder).Append(float64(i) / 2)
		b.Field(4).(*array.Int32Builder).Append(int32(i % 7))
		if i%3 == 0 {
			b.Field(5).AppendNull()
		} else {
			b.Field(5).(*array.BooleanBuilder).Append(i%3 == 1)
		}
		tags := b.Field(6).(*array.ListBuilder)
		tags.Append(true)
		for tag := range i % 3 {
			tags.ValueBuilder().(*array.StringBuilder).Append(name(i + tag))
		}
	}
	batch := b.NewRecordBatch()
	defer batch.Release()
	require.NoError(t, w.Write(t.Context(), batch))
	files, err := w.Close(t.Context())
	require.NoError(t, err)
	require.Len(t, files, 1)
	ident, err := table.ParseIdent("db.users")
	require.NoError(t, err)
	return table.New(ident, meta, "mem://t/metadata.json"), files[0].FilePath()
}

func name(i int) string { return "the name of the user with the id " + string(rune('a'+i%26)) }

func TestAnyRowOfAFileIsRead(t *testing.T) {
	const rows = copyBatchRows + 2*runRows + 17
	for _, bytesMax := range []int64{1, 1 << 30} { // no copy, and one
		store := objstore.NewMemory(time.Now)
		of, location := written(t, store, rows)
		r := NewReader(store, t.TempDir(), bytesMax)
		var readers sync.WaitGroup
		for _, row := range []uint32{0, runRows - 1, runRows, copyBatchRows, rows - 1, 1} {
			read := func() {
				out, err := r.Row(t.Context(), of, location, row)
				if err != nil {
					t.Errorf("row %d: %v", row, err)
					return
				}
				defer out.Release()
				tags := ""
				for tag := range int(row) % 3 {
					tags += fmt.Sprintf("%q ", name(int(row)+tag))
				}
				want := fmt.Sprintf("[%d] [%q] [[%s]]", row, name(int(row)), strings.TrimSpace(tags))
				if got := fmt.Sprint(out.Column(0), out.Column(1), out.Column(6)); got != want || out.NumRows() != 1 {
					t.Errorf("row %d is %s, not %s", row, got, want)
				}
				if mobile := out.Column(5).(*array.Boolean); mobile.IsNull(0) != (row%3 == 0) ||
					!mobile.IsNull(0) && mobile.Value(0) != (row%3 == 1) {
					t.Errorf("row %d has is_mobile %v", row, mobile)
				}
			}
			readers.Go(read)
		}
		readers.Wait()
		_, err := r.Row(t.Context(), of, location, rows)
		require.ErrorIs(t, err, table.ErrNoRow)
		_, err = r.Row(t.Context(), of, location+"x", 0)
		require.ErrorIs(t, err, objstore.ErrNotFound)
		require.LessOrEqual(t, r.bytes, max(bytesMax, entryBytes))
		if bytesMax > 1 { // what was read stays, whatever becomes of the file
			require.NoError(t, store.Remove(t.Context(), location))
			out, err := r.Row(t.Context(), of, location, 5)
			require.NoError(t, err)
			out.Release()
		}
	}
}
