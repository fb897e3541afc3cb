package table

import (
	"bytes"
	"maps"
	"slices"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/iceberg-go"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/table/objstore"
)

// TestPropertiesGiveColumnsBloomFilters asks for filters of columns of all depths, in a partitioned table
// too, where files are written at the end.
func TestPropertiesGiveColumnsBloomFilters(t *testing.T) {
	properties := iceberg.Properties{
		propertyFilterEnabled + "id":           "true",
		propertyFilterEnabled + "text":         "TRUE",
		propertyFilterPasses + "text":          "0.2",
		propertyFilterEnabled + "small":        "false",
		propertyFilterEnabled + "flag":         "true", // booleans have none
		propertyFilterEnabled + "bytes":        "true", // nor have binaries
		propertyFilterEnabled + "fixed":        "true",
		propertyFilterEnabled + "place.city":   "true",
		propertyFilterEnabled + "tags.element": "true",
		propertyFilterEnabled + "gone":         "true", // others set what they like
		propertyFilterBytes:                    "65536",
	}
	batch := newDice(3, memory.DefaultAllocator).batch(t, everyType(), 5000)
	defer batch.Release()
	for _, spec := range []iceberg.PartitionSpec{*iceberg.UnpartitionedSpec,
		iceberg.NewPartitionSpec(iceberg.PartitionField{SourceIDs: []int{2}, FieldID: 1000, Name: "flag",
			Transform: iceberg.IdentityTransform{}})} {
		store := newStore()
		w := testWriter(t, store, WriterOptions{Schema: everyType(), Spec: spec, Properties: properties})
		for _, written := range write(t, w, batch) {
			sizes := filterSizes(t, store, written.FilePath())
			require.ElementsMatch(t, []string{"id", "text", "place.city", "tags.list.element"},
				slices.Collect(maps.Keys(sizes)))
			require.LessOrEqual(t, sizes["id"], int32(65536+20))
			require.Greater(t, sizes["id"], sizes["text"])
		}
	}
}

// filterSizes are the lengths of the filters of a file by the path of the column.
func filterSizes(t testing.TB, store objstore.Store, location string) map[string]int32 {
	t.Helper()
	reader, err := file.NewParquetReader(bytes.NewReader(objectBytes(t, store, location)))
	require.NoError(t, err)
	defer reader.Close()
	sizes := map[string]int32{}
	for i := range reader.MetaData().Schema.NumColumns() {
		chunk, err := reader.MetaData().RowGroup(0).ColumnChunk(i)
		require.NoError(t, err)
		if size := chunk.BloomFilterLength(); size > 0 {
			sizes[reader.MetaData().Schema.Column(i).Path()] = size
		}
	}
	return sizes
}

func TestPropertiesThatMakeNoSenseAreTold(t *testing.T) {
	for property, wrong := range map[string]string{
		propertyFilterEnabled + "id":       "maybe",
		propertyFilterPasses + "id":        "1",
		propertyFilterBytes:                "1KB",
		propertyFilterEnabled + "gone":     "true",
		propertyFilterEnabled + "flag":     "true",
		propertyFilterEnabled + "bytes":    "true",
		propertyFilterEnabled + "fixed":    "true",
		propertyFilterPasses + "place":     "0.1",
		"write.parquet.bloom-filter-other": "",
	} {
		properties := iceberg.Properties{property: wrong}
		faults := CheckProperties(everyType(), properties)
		if property == "write.parquet.bloom-filter-other" {
			require.Empty(t, faults)
			continue
		}
		require.Error(t, faults[property], property)
	}
	_, err := NewWriter(newStore(), WriterOptions{Schema: everyType(), Location: "mem://lake/t", ChangeID: testChange,
		Properties: iceberg.Properties{propertyFilterEnabled + "id": "true", propertyFilterBytes: "0"}})
	require.ErrorContains(t, err, `property write.parquet.bloom-filter-max-bytes: "0" is not a number of bytes`)
}
