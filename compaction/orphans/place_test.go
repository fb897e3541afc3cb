package orphans

import (
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

func TestLocationsOfOneObjectCompareAlike(t *testing.T) {
	for _, same := range [][]string{
		{"s3://b/t/data/x", "s3a://b/t/data/x", "s3n://b//t/data//x", "s3://b/t/data/x/"},
		{"file:///w/t/x", "file:/w/t/x", "/w/t/x", "//w/t/x"},
		{"s3://b/t/k=a b/x", "s3://b/t/k=a%20b/x", "s3://b/t/k=a%2520b/x"},
		{"s3://b/t/k=a/b/x", "s3://b/t/k=a%2Fb/x", "s3a://b/t/k=a%252Fb/x"},
	} {
		for _, location := range same {
			require.Equal(t, key(same[0]), key(location), location)
		}
	}
	for _, other := range [][2]string{
		{"s3://b/t/x", "s3://c/t/x"}, {"s3://b/t/x", "s3://b/t/X"}, {"s3://b/t/x", "/b/t/x"},
		{"s3://b/t/100%", "s3://b/t/100"}, {"s3://b/t/a+b", "s3://b/t/a b"},
	} {
		require.NotEqual(t, key(other[0]), key(other[1]), other)
	}
}

func TestOnlyFilesOfTablesAreRemovable(t *testing.T) {
	for name, want := range map[string]bool{
		"data/x.parquet": true, "data/k=1/x.orc": true, "metadata/x.avro": true, "metadata/1.metadata.json": true,
		"metadata/1.metadata.json.gz": true, "metadata/1.gz.metadata.json": true, "data/x.puffin": true,
		"metadata/version-hint.text": false, "x": false, "data/../x.parquet": false, "data//x.parquet": false,
		"./x.parquet": false, "data/x.parquet/": false,
		"_live/x.parquet": false, "data/_live/x.parquet": true,
		"notes.json": false, quarantineName: false, clockName: false,
	} {
		require.Equal(t, want, removable("s3://b/t/"+name, "s3://b/t/"), name)
		require.False(t, removable("s3://b/tt/"+name, "s3://b/t/"), name)
	}
}

func TestChangesAreToldByNames(t *testing.T) {
	id := uuid.MustParse("11111111-2222-3333-4444-555555555555")
	for name, want := range map[string]uuid.UUID{
		"data/firth-" + id.String() + "-3.parquet":                      id,
		"data/firth-" + id.String() + "-deletes.puffin":                 id,
		"metadata/firth-" + id.String() + "-0000000000000001-list.avro": id,
		"metadata/snap-1.avro":                                          uuid.Nil, "data/firth-x.parquet": uuid.Nil,
		"data/firth-11111111-2222-3333-4444-55555555555g-3.parquet": uuid.Nil,
	} {
		require.Equal(t, want, changeOf("s3://b/t/"+name), name)
	}
}
