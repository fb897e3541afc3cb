package stage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/google/uuid"

	"github.com/firthlake/firth/table/objstore"
)

// UploadOptions say where Upload puts files.
type UploadOptions struct {
	Options
	Store objstore.Store
	// Location is the folder or the prefix under which the files lie until they are removed at the end.
	Location string
}

// Upload measures how data files reach a store, one after the other. A file of the feed's rows is made ready
// in memory and put under one name after the other.
func Upload(ctx context.Context, o UploadOptions) (_ Result, err error) {
	result := Result{Stage: "upload", Workload: o.Workload, Format: o.Format}
	file, rows, err := o.file(ctx)
	if err != nil {
		return result, err
	}
	var locations []string
	defer func() { // also when interrupted
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), removeTimeout)
		defer cancel()
		err = errors.Join(err, o.Store.Remove(ctx, locations...))
	}()
	meter, err := StartMeter(o.Now)
	if err != nil {
		return result, err
	}
	defer meter.Cancel()
	for result.Rows < o.Rows {
		location := fmt.Sprintf("%s/firth-bench-%s.parquet", o.Location, uuid.New())
		locations = append(locations, location)
		upload := objstore.Create(ctx, o.Store, location)
		if _, err := upload.Write(file); err != nil {
			upload.Abort()
			return result, err
		}
		if err := upload.Close(); err != nil {
			return result, err
		}
		result.Rows += rows
		result.Files++
		result.BytesWritten += int64(len(file))
		o.Progress(result.Rows)
	}
	if err := meter.Stop(&result, o.CPUProfile); err != nil {
		return result, err
	}
	result.Rate()
	return result, nil
}

// removeTimeout bounds the removal of what was uploaded.
const removeTimeout = 30 * time.Second

// file makes one data file of the feed ready, and says how many rows it holds.
func (o UploadOptions) file(ctx context.Context) ([]byte, int64, error) {
	pool, err := o.batches(ctx)
	if err != nil {
		return nil, 0, err
	}
	defer pool.release()
	var made Result
	for _, b := range pool.batches {
		made.Rows += b.NumRows()
	}
	rows := made.Rows
	made.Rows = 0
	kept := &keep{}
	_, err = pool.write(ctx, kept, writing{location: "memory://bench", rows: rows,
		progress: func(int64) {}, result: &made})
	return kept.file.Bytes(), rows, err
}

// keep is a store that holds the last object.
type keep struct {
	objstore.Store
	file bytes.Buffer
}

// Put implements objstore.Store.
func (k *keep) Put(
	_ context.Context, location string, body io.Reader, _ int64, _ objstore.PutOptions,
) (objstore.Object, error) {
	k.file.Reset()
	n, err := io.Copy(&k.file, body)
	return objstore.Object{Location: location, Size: n}, err
}
