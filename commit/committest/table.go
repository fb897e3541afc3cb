package committest

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"
	"github.com/google/uuid"

	"github.com/firthlake/firth/table/objstore"
)

// Metadata is a new table of format version 2 or 3 at location: a long "id", a string "region".
// Partitioned, its spec is the identity of region.
func Metadata(version int, location string, partitioned bool) (icetable.Metadata, error) {
	schema := iceberg.NewSchema(0,
		iceberg.NestedField{ID: 1, Name: "id", Type: iceberg.PrimitiveTypes.Int64},
		iceberg.NestedField{ID: 2, Name: "region", Type: iceberg.PrimitiveTypes.String},
	)
	spec := iceberg.UnpartitionedSpec
	if partitioned {
		s := iceberg.NewPartitionSpec(iceberg.PartitionField{
			SourceIDs: []int{2}, FieldID: 1000, Name: "region", Transform: iceberg.IdentityTransform{}})
		spec = &s
	}
	meta, err := icetable.NewMetadataWithUUID(schema, spec, icetable.UnsortedSortOrder, location,
		iceberg.Properties{"format-version": strconv.Itoa(version)}, uuid.NewSHA1(uuid.Nil, []byte(location)))
	if err != nil {
		return nil, err
	}
	return made(meta, 1_600_000_000_000)
}

// made sets when the table was made, which the library takes from the clock.
func made(meta icetable.Metadata, ms int64) (icetable.Metadata, error) {
	data, err := json.Marshal(meta)
	if err != nil {
		return nil, err
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(data, &fields); err != nil {
		return nil, err
	}
	fields["last-updated-ms"] = json.RawMessage(strconv.FormatInt(ms, 10))
	if data, err = json.Marshal(fields); err != nil {
		return nil, err
	}
	return icetable.ParseMetadataBytes(data)
}

// DataFile puts an object where data file n of a change lies and returns its description. region is
// the partition value of a partitioned table.
func DataFile(ctx context.Context, store objstore.Store, meta icetable.Metadata, file File) (iceberg.DataFile, error) {
	location := fmt.Sprintf("%s/data/firth-%s-%d.parquet", meta.Location(), file.Change, file.N)
	body := fmt.Sprintf("%d rows", file.Rows)
	_, err := store.Put(ctx, location, strings.NewReader(body), int64(len(body)), objstore.PutOptions{})
	if err != nil {
		return nil, err
	}
	spec := meta.PartitionSpec()
	partition := map[int]any{}
	for _, field := range spec.Fields() {
		partition[field.FieldID] = file.Region
	}
	b, err := iceberg.NewDataFileBuilder(spec, iceberg.EntryContentData, location, iceberg.ParquetFile,
		partition, nil, nil, file.Rows, int64(len(body)))
	if err != nil {
		return nil, err
	}
	return b.ValueCounts(map[int]int64{1: file.Rows}).Build(), nil
}

// File says which file DataFile makes.
type File struct {
	Change uuid.UUID
	N      int
	Rows   int64
	Region string
}
