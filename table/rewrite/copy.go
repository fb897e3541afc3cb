package rewrite

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/apache/iceberg-go"
	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/objstore"
)

// footersAtOnce is how many sources are opened at a time: enough to hide the latency of a store, and
// at 256 KiB each little memory.
const footersAtOnce = 8

// Options say what files are written.
type Options struct {
	// Schema is the table's schema.
	Schema *iceberg.Schema
	// Location is the table's location; files lie under <Location>/data.
	Location string
	// ChangeID is the commit.Change that the files are for; it stands in their names.
	ChangeID uuid.UUID
	// Profile says which encodings readers know; empty is table.ProfileDeltaInt.
	Profile table.Profile
	// Progress is told the bytes of sources that are done with; nil is told nothing.
	Progress func(bytes int64)
	// Places notes where rows go; nil notes nothing.
	Places *Places
}

// Copy makes one file of the files of tasks, which are of one partition, without decoding them. It
// returns ErrNotCopyable when that cannot be: then nothing is written.
//
// The file appears when Copy returns nil. The sort order of sources is not claimed for it, since rows
// of one file may belong between those of another.
func Copy(
	ctx context.Context, store objstore.Store, tasks []table.Task, opts Options,
) (iceberg.DataFile, error) {
	file, err := copyFiles(ctx, store, tasks, opts)
	if err != nil {
		return nil, fmt.Errorf("copy %d files: %w", len(tasks), err)
	}
	return file, nil
}

func copyFiles(
	ctx context.Context, store objstore.Store, tasks []table.Task, opts Options,
) (iceberg.DataFile, error) {
	sources, inherited, err := openAll(ctx, store, tasks)
	if err != nil {
		return nil, err
	}
	var columns *lineage
	if inherited {
		if columns, err = newLineage(opts.Profile); err != nil {
			return nil, err
		}
	}
	location := strings.TrimSuffix(opts.Location, "/") + "/data/firth-" + opts.ChangeID.String() +
		"-copy.parquet"
	upload := objstore.Create(ctx, store, location)
	file, err := opts.splice(ctx, store, upload, columns, sources)
	if err != nil {
		upload.Abort()
		return nil, err
	}
	described, err := file.describe(sources, location, file.at, opts.Schema)
	if err != nil {
		upload.Abort()
		return nil, err
	}
	if err := upload.Close(); err != nil {
		return nil, fmt.Errorf("write %s: %w", location, err)
	}
	if opts.Places == nil {
		return described, nil
	}
	for i, s := range sources {
		if err := opts.Places.add(location, i, s.task.File.Count()); err != nil {
			return nil, err
		}
	}
	return described, opts.Places.finish()
}

// splice writes the file of the sources.
func (o Options) splice(
	ctx context.Context, store objstore.Store, to *objstore.Upload, columns *lineage, sources []*source,
) (*splicer, error) {
	file, err := newSplicer(store, to, sources[0], columns)
	if err != nil {
		return nil, err
	}
	for _, s := range sources {
		if err := file.add(ctx, s); err != nil {
			return nil, err
		}
		if o.Progress != nil {
			o.Progress(s.size)
		}
	}
	return file, file.finish()
}

// openAll opens the files of tasks and says whether their rows inherit lineage.
func openAll(
	ctx context.Context, store objstore.Store, tasks []table.Task,
) (sources []*source, inherited bool, err error) {
	if len(tasks) == 0 {
		return nil, false, errors.New("no files given")
	}
	for _, task := range tasks {
		switch {
		case task.File.FileFormat() != iceberg.ParquetFile:
			return nil, false, notCopyable("%s is %s", task.File.FilePath(), task.File.FileFormat())
		case len(task.Deletes)+len(task.EqualityDeletes) > 0:
			return nil, false, notCopyable("%s has deleted rows", task.File.FilePath())
		case len(task.File.KeyMetadata()) > 0:
			return nil, false, notCopyable("%s is encrypted", task.File.FilePath())
		case !samePartition(tasks[0], task):
			return nil, false, fmt.Errorf("%s and %s are of two partitions", tasks[0].File.FilePath(),
				task.File.FilePath())
		}
	}
	sources = make([]*source, len(tasks))
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(footersAtOnce)
	for i, task := range tasks {
		group.Go(func() (err error) {
			sources[i], err = openSource(groupCtx, store, task)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, false, err
	}
	for i, s := range sources {
		if err := s.checkSame(sources[0]); err != nil {
			return nil, false, err
		}
		own, err := inherits(s)
		if err != nil {
			return nil, false, err
		}
		if i > 0 && own != inherited {
			return nil, false, notCopyable("rows of %s have lineage by other means than those of %s",
				s.location, sources[0].location)
		}
		inherited = own
	}
	return sources, inherited, nil
}
