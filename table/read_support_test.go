package table_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/table"
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
