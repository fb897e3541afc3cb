package point

import (
	"sync"
	"testing"
	"time"

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
func written(t *testing.T, store objstore.Store, rows int) (*table.Table, string) {
	t.Helper()
	schema := iceberg.NewSchemaWithIdentifiers(0, []int{1},
		iceberg.NestedField{ID: 1, Name: "id", Type: iceberg.PrimitiveTypes.Int64, Required: true},
		iceberg.NestedField{ID: 2, Name: "name", Type: iceberg.PrimitiveTypes.String})
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
	const rows = 2*runRows + 17
	for _, bytesMax := range []int64{1, 1 << 30} { // one run stays in memory at least
		store := objstore.NewMemory(time.Now)
		of, location := written(t, store, rows)
		r := NewReader(store, bytesMax)
		var readers sync.WaitGroup
		for _, row := range []uint32{0, runRows - 1, runRows, 2 * runRows, rows - 1, 1} {
			read := func() {
				out, err := r.Row(t.Context(), of, location, row)
				if err != nil {
					t.Errorf("row %d: %v", row, err)
					return
				}
				defer out.Release()
				if got := out.Column(0).(*array.Int64).Value(0); got != int64(row) || out.NumRows() != 1 ||
					out.Column(1).(*array.String).Value(0) != name(int(row)) {
					t.Errorf("row %d is %v", row, out)
				}
			}
			if bytesMax == 1 { // each drops what the one before has read
				read()
				continue
			}
			readers.Go(read)
		}
		readers.Wait()
		_, err := r.Row(t.Context(), of, location, rows)
		require.ErrorIs(t, err, table.ErrNoRow)
		_, err = r.Row(t.Context(), of, location+"x", 0)
		require.ErrorIs(t, err, objstore.ErrNotFound)
		require.LessOrEqual(t, r.bytes, max(bytesMax, 400<<10))
		if bytesMax > 1 { // what was read stays, whatever becomes of the file
			require.NoError(t, store.Remove(t.Context(), location))
			out, err := r.Row(t.Context(), of, location, 5)
			require.NoError(t, err)
			out.Release()
		}
	}
}
