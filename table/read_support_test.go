package table_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/filter"
	"github.com/firthlake/firth/table/objstore"
)

func timeAt(ms int64) time.Time { return time.UnixMilli(ms) }

// idRows is count rows that have an id alone.
func idRows(from, count int) string {
	rows := make([]string, count)
	for i := range rows {
		rows[i] = fmt.Sprintf(`{"id": %d}`, from+i)
	}
	return "[" + strings.Join(rows, ",") + "]"
}

// newStoreOf copies all objects of a lake into a store without faults.
func newStoreOf(t *testing.T, l *lake) objstore.Store {
	t.Helper()
	files := table.FileIO(t.Context(), l.store).(interface {
		ReadFile(string) ([]byte, error)
	})
	fresh := objstore.NewMemory(func() time.Time { return time.Unix(0, 0) })
	for object, err := range l.store.List(t.Context(), "mem://") {
		require.NoError(t, err)
		content, err := files.ReadFile(object.Location)
		require.NoError(t, err)
		_, err = fresh.Put(t.Context(), object.Location, bytes.NewReader(content), object.Size,
			objstore.PutOptions{})
		require.NoError(t, err)
	}
	return fresh
}

// partitionOf is the partition value of an id.
func partitionOf(transform iceberg.Transform, id int, promoted bool) any {
	var source iceberg.Literal = iceberg.NewLiteral(int32(id))
	if promoted {
		source = iceberg.NewLiteral(int64(id))
	}
	applied := transform.Apply(iceberg.Optional[iceberg.Literal]{Val: source, Valid: true})
	if !applied.Valid {
		return nil
	}
	return applied.Val.Any()
}

// countMatches evaluates a filter over rows that read printed.
func countMatches(t *testing.T, rows []string, text string) int {
	t.Helper()
	schema := iceberg.NewSchema(0,
		optionalField(1, "number", iceberg.PrimitiveTypes.Int64),
		optionalField(3, "price", iceberg.PrimitiveTypes.Float64))
	form, err := table.ArrowSchema(schema)
	require.NoError(t, err)
	var json []string
	for _, row := range rows {
		row = strings.NewReplacer("number=", `"number": `, " price=", `, "price": `).Replace(row)
		json = append(json, "{"+row+"}")
	}
	batch, _, err := array.RecordFromJSON(memory.DefaultAllocator, form,
		strings.NewReader("["+strings.Join(json, ",")+"]"))
	require.NoError(t, err)
	defer batch.Release()
	bound, err := filter.ParseAndBind(text, schema)
	require.NoError(t, err)
	selection, err := bound.Evaluator().Select(batch)
	require.NoError(t, err)
	return selection.Count()
}
