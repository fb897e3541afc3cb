package table

import (
	"context"
	"errors"
	"fmt"

	"github.com/RoaringBitmap/roaring/v2"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"
	"github.com/apache/iceberg-go/table/dv"

	"github.com/firthlake/firth/table/objstore"
	"github.com/firthlake/firth/table/vector"
)

// loadDeletes returns a bit for each of the rows of the task's file, 1 for those that stay. known are the deleted
// positions when they have been read.
func loadDeletes(ctx context.Context, store objstore.Store, task Task, known *dv.RoaringPositionBitmap, rows int64,
) ([]byte, error) {
	positions := known
	if positions == nil {
		var err error
		if positions, err = ReadDeletes(ctx, store, task.File.FilePath(), task.Deletes); err != nil {
			return nil, err
		}
	}
	if task.Unseen != nil {
		positions = WithUnseen(positions, task.Unseen)
	}
	if positions.IsEmpty() {
		return nil, nil
	}
	return positions.KeepMaskBytes(rows), nil
}

// WithUnseen are the positions that a task's delete files say are deleted, and those that it has besides.
func WithUnseen(deleted *dv.RoaringPositionBitmap, unseen *roaring.Bitmap) *dv.RoaringPositionBitmap {
	all := dv.NewRoaringPositionBitmap()
	all.Or(deleted)
	for each := unseen.Iterator(); each.HasNext(); {
		all.Set(uint64(each.Next()))
	}
	return all
}

// ReadDeletes returns the positions that deletes, vectors and position delete files, say are deleted of the
// data file at location.
func ReadDeletes(
	ctx context.Context, store objstore.Store, location string, deletes []iceberg.DataFile,
) (*dv.RoaringPositionBitmap, error) {
	positions := dv.NewRoaringPositionBitmap()
	for _, file := range deletes {
		var err error
		switch {
		case file.ContentType() == iceberg.EntryContentEqDeletes:
			err = errors.New("equality deletes are not read yet")
		case icetable.IsDeletionVector(file):
			var read *dv.RoaringPositionBitmap
			if read, err = vector.Read(ctx, store, file); err == nil {
				positions.Or(read)
			}
		default:
			err = readPositionDeletes(ctx, store, file, func(path string, pos int64) {
				if path == location && pos >= 0 {
					positions.Set(uint64(pos))
				}
			})
		}
		if err != nil {
			return nil, fmt.Errorf("deletes %s: %w", file.FilePath(), err)
		}
	}
	return positions, nil
}

// readPositionDeletes calls each for every row of a position delete file. The path is valid during
// the call.
func readPositionDeletes(
	ctx context.Context, store objstore.Store, file iceberg.DataFile,
	each func(path string, pos int64),
) error {
	deletes := Task{File: file, Schema: iceberg.PositionalDeleteSchema,
		NameMapping: iceberg.PositionalDeleteSchema.NameMapping()}
	for batch, err := range Read(ctx, store, deletes) {
		if err != nil {
			return err
		}
		paths, pathsOK := batch.Column(0).(*array.String)
		positions, positionsOK := batch.Column(1).(*array.Int64)
		if !pathsOK || !positionsOK {
			return fmt.Errorf("columns are %s and %s", batch.Column(0).DataType(),
				batch.Column(1).DataType())
		}
		for i := range paths.Len() {
			if paths.IsNull(i) || positions.IsNull(i) {
				return fmt.Errorf("row %d is null", i)
			}
			each(paths.Value(i), positions.Value(i))
		}
	}
	return nil
}
