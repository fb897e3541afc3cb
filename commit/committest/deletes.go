package committest

import (
	"context"
	"fmt"
	"strings"

	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"
	"github.com/google/uuid"

	"github.com/firthlake/firth/table/objstore"
)

// Deleted says how many rows of a data file are deleted.
type Deleted struct {
	File iceberg.DataFile
	Rows int64
}

// vectorBytes is the size that each vector of Deletes is said to have.
const vectorBytes = 7

// Deletes puts objects where the delete files of a change lie and returns their descriptions: vectors that
// share an object in a table of format version 3, an object each in one of version 2.
func Deletes(ctx context.Context, store objstore.Store, meta icetable.Metadata, change uuid.UUID, list []Deleted,
) ([]iceberg.DataFile, error) {
	prefix := fmt.Sprintf("%s/data/firth-%s-deletes", meta.Location(), change)
	put := func(location string, size int) error {
		body := strings.NewReader(strings.Repeat("v", size))
		_, err := store.Put(ctx, location, body, int64(size), objstore.PutOptions{})
		return err
	}
	vectors := meta.Version() >= 3
	if vectors && len(list) > 0 {
		if err := put(prefix+".puffin", len(list)*vectorBytes); err != nil {
			return nil, err
		}
	}
	var out []iceberg.DataFile
	for i, d := range list {
		location, format, size := prefix+".puffin", iceberg.PuffinFile, len(list)*vectorBytes
		if !vectors {
			location, format, size = fmt.Sprintf("%s-%d.parquet", prefix, i), iceberg.ParquetFile, vectorBytes
			if err := put(location, size); err != nil {
				return nil, err
			}
		}
		b, err := iceberg.NewDataFileBuilder(*meta.PartitionSpecByID(int(d.File.SpecID())),
			iceberg.EntryContentPosDeletes, location, format, d.File.Partition(), nil, nil, d.Rows, int64(size))
		if err != nil {
			return nil, err
		}
		of := []byte(d.File.FilePath())
		b.ReferencedDataFile(d.File.FilePath())
		if vectors {
			b.ContentOffset(int64(i * vectorBytes)).ContentSizeInBytes(vectorBytes)
		} else {
			b.LowerBoundValues(map[int][]byte{2147483546: of}).UpperBoundValues(map[int][]byte{2147483546: of})
		}
		out = append(out, b.Build())
	}
	return out, nil
}
