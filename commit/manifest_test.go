package commit

import (
	"bytes"
	"testing"

	"github.com/apache/iceberg-go"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/table"
)

// An empty text is a bound like any other. Without it, readers take all values for null.
func TestBoundsOfEmptyTextSurviveTheManifestList(t *testing.T) {
	spec := iceberg.NewPartitionSpec(iceberg.PartitionField{
		SourceIDs: []int{1}, FieldID: 1000, Name: "s", Transform: iceberg.IdentityTransform{}})
	schema := iceberg.NewSchema(0, iceberg.NestedField{ID: 1, Name: "s", Type: iceberg.PrimitiveTypes.String})
	snapshot, sequence := int64(7), int64(3)
	var raw bytes.Buffer
	w, err := iceberg.NewManifestWriter(2, &raw, spec, schema, snapshot)
	require.NoError(t, err)
	for _, value := range []any{"", nil} {
		file, err := iceberg.NewDataFileBuilder(spec, iceberg.EntryContentData, "f.parquet", iceberg.ParquetFile,
			map[int]any{1000: value}, nil, nil, 5, 100)
		require.NoError(t, err)
		require.NoError(t, w.Add(
			iceberg.NewManifestEntry(iceberg.EntryStatusADDED, &snapshot, nil, nil, file.Build())))
	}
	require.NoError(t, w.Close())
	manifest, err := w.ToManifestFile("m.avro", int64(raw.Len()))
	require.NoError(t, err)
	manifest = table.WithBounds(manifest)

	for range 2 { // as it was made, and as it was read
		var list bytes.Buffer
		require.NoError(t, iceberg.WriteManifestList(2, &list, snapshot, nil, &sequence, 0,
			[]iceberg.ManifestFile{manifest}))
		read, err := iceberg.ReadManifestList(&list)
		require.NoError(t, err)
		manifest = read[0]
		bounds := manifest.Partitions()[0]
		require.True(t, bounds.ContainsNull)
		require.NotNil(t, bounds.LowerBound)
		require.Empty(t, *bounds.LowerBound)
		require.NotNil(t, bounds.UpperBound)
		require.Equal(t, sequence, manifest.SequenceNum())
		require.EqualValues(t, 2, manifest.AddedDataFiles())
		require.EqualValues(t, 10, manifest.AddedRows())
	}
}
