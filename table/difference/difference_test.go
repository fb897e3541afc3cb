package difference

import (
	"testing"

	"github.com/apache/iceberg-go"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/table"
)

func TestDifferenceIsOfFilesAndTheirDeletes(t *testing.T) {
	file := func(content iceberg.ManifestEntryContent, name string) iceberg.DataFile {
		b, err := iceberg.NewDataFileBuilder(*iceberg.UnpartitionedSpec, content, name, iceberg.ParquetFile, nil,
			nil, nil, 3, 10)
		require.NoError(t, err)
		return b.Build()
	}
	task := func(name string, age int64, deletes ...string) *table.Task {
		out := &table.Task{File: file(iceberg.EntryContentData, name), SequenceNumber: age}
		for _, d := range deletes {
			out.Deletes = append(out.Deletes, file(iceberg.EntryContentPosDeletes, d))
		}
		return out
	}
	live := func(tasks ...*table.Task) map[string]*table.Task {
		out := map[string]*table.Task{}
		for _, each := range tasks {
			out[each.File.FilePath()] = each
		}
		return out
	}
	equal := task("e", 1)
	equal.EqualityDeletes = []table.EqualityDelete{{File: file(iceberg.EntryContentEqDeletes, "by value")}}
	d := Of(live(task("a", 1), task("b", 1, "old"), task("c", 2, "same"), task("e", 1)),
		live(task("b", 1, "new"), task("c", 2, "same"), task("g", 3), task("f", 4), equal))

	require.Len(t, d.Added, 2)
	require.Equal(t, "g", d.Added[0].File.FilePath(), "in order of age")
	require.Len(t, d.Removed, 1)
	require.Equal(t, "a", d.Removed[0].File.FilePath())
	require.Len(t, d.Changed, 2)
	require.Equal(t, "b", d.Changed[0].After.File.FilePath())
	require.False(t, d.Changed[0].Equality)
	require.Equal(t, "e", d.Changed[1].After.File.FilePath())
	require.True(t, d.Equality())
}
