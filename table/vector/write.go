package vector

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/puffin"
	icetable "github.com/apache/iceberg-go/table"
	"github.com/apache/iceberg-go/table/dv"
	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/firthlake/firth/table/objstore"
)

// Target is a data file that loses rows.
type Target struct {
	// File is the data file as its manifest describes it.
	File iceberg.DataFile
	// Positions are the rows that are deleted now, from 0, in order, each once.
	Positions []int64
	// Before are the delete files that hold for the data file already. What is written takes their place.
	Before []iceberg.DataFile
	// Spec is the partition spec of File when the table does not have it; else nil.
	Spec *iceberg.PartitionSpec
}

// Options say for what delete files are written. Metadata, ChangeID and Read are required.
type Options struct {
	// Metadata is the table's: its format version, location and partition specs.
	Metadata icetable.Metadata
	// ChangeID is the commit.Change that the files are for; it stands in their names.
	ChangeID uuid.UUID
	// Folder is where the files lie below the table's location; "" is data.
	Folder string
	// Read returns what delete files say of a data file: table.ReadDeletes. It is called from several
	// goroutines.
	Read func(ctx context.Context, store objstore.Store, location string, deletes []iceberg.DataFile,
	) (*dv.RoaringPositionBitmap, error)
	// AtOnce is how many targets are worked on at a time, which bounds memory to their positions; 0 is 8,
	// and 1 starts no goroutine.
	AtOnce int
}

const (
	// atOnceDefault is enough to hide the latency of a store.
	atOnceDefault = 8
	// rangeMin is from which length positions are set as a range, which copies 8 KiB.
	rangeMin = 256
	// removeTimeout bounds the removal of what a call wrote that came to nothing.
	removeTimeout = 10 * time.Second
	createdBy     = "firth version 0.1.0"
)

// Write writes the delete files of targets and describes them, in the order of the targets. It is called once
// a change. When it fails it has removed what it wrote.
func Write(
	ctx context.Context, store objstore.Store, opts Options, targets []Target,
) ([]iceberg.DataFile, error) {
	if len(targets) == 0 {
		return nil, nil
	}
	if opts.AtOnce <= 0 {
		opts.AtOnce = atOnceDefault
	}
	targets = slices.Clone(targets)
	if err := check(&opts, targets); err != nil {
		return nil, fmt.Errorf("write deletes: %w", err)
	}
	if opts.Folder == "" {
		opts.Folder = "data"
	}
	w := &writing{store: store, opts: opts, targets: targets, files: make([]iceberg.DataFile, len(targets)),
		prefix: strings.TrimSuffix(opts.Metadata.Location(), "/") + "/" + opts.Folder + "/firth-" +
			opts.ChangeID.String() + "-deletes"}
	write := w.vectors
	if opts.Metadata.Version() < 3 {
		write = w.positionDeletes
	}
	if err := write(ctx); err != nil {
		return nil, fmt.Errorf("write deletes: %w", w.discard(ctx, err))
	}
	return w.files, nil
}

// check refuses targets that contradict themselves or the table.
func check(opts *Options, targets []Target) error {
	if version := opts.Metadata.Version(); version < 2 {
		return fmt.Errorf("tables of format version %d have no deletes: upgrade it to 2 or 3", version)
	}
	seen := make(map[string]bool, len(targets))
	for i := range targets {
		t := &targets[i]
		path := t.File.FilePath()
		if seen[path] {
			return fmt.Errorf("data file %s is in it twice", path)
		}
		seen[path] = true
		if t.Spec == nil {
			t.Spec = opts.Metadata.PartitionSpecByID(int(t.File.SpecID()))
		}
		if t.Spec == nil {
			return fmt.Errorf("data file %s is of partition spec %d, which the table does not have",
				path, t.File.SpecID())
		}
		for j, pos := range t.Positions {
			switch {
			case pos < 0 || pos >= t.File.Count():
				return beyond(path, pos, t.File.Count())
			case j > 0 && pos <= t.Positions[j-1]:
				return fmt.Errorf("data file %s: position %d comes behind %d", path, pos, t.Positions[j-1])
			}
		}
	}
	return nil
}

func beyond(path string, pos, rows int64) error {
	return fmt.Errorf("data file %s has %d rows: there is no position %d to delete", path, rows, pos)
}

// writing is one call of Write.
type writing struct {
	store   objstore.Store
	opts    Options
	targets []Target
	files   []iceberg.DataFile // by target
	wrote   []string
	prefix  string
}

func (w *writing) discard(ctx context.Context, cause error) error {
	if len(w.wrote) == 0 {
		return cause
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), removeTimeout)
	defer cancel()
	return errors.Join(cause, w.store.Remove(ctx, w.wrote...))
}

// merged is all that a target deletes.
func (w *writing) merged(ctx context.Context, t *Target) (*dv.RoaringPositionBitmap, error) {
	path := t.File.FilePath()
	all := dv.NewRoaringPositionBitmap()
	if len(t.Before) > 0 {
		before, err := w.opts.Read(ctx, w.store, path, t.Before)
		if err != nil {
			return nil, fmt.Errorf("deletes of %s so far: %w", path, err)
		}
		for pos := range before.Positions() {
			if pos >= uint64(t.File.Count()) {
				return nil, fmt.Errorf("deletes of %s so far: %w", path, beyond(path, int64(pos), t.File.Count()))
			}
		}
		all = before
	}
	for from := 0; from < len(t.Positions); {
		to := from + 1
		for to < len(t.Positions) && t.Positions[to] == t.Positions[to-1]+1 {
			to++
		}
		if to-from >= rangeMin {
			all.SetRange(uint64(t.Positions[from]), uint64(t.Positions[to-1])+1)
			from = to
		}
		for ; from < to; from++ {
			all.Set(uint64(t.Positions[from]))
		}
	}
	if all.IsEmpty() {
		return nil, fmt.Errorf("data file %s: no position is deleted", path)
	}
	return all, nil
}

// vectors writes each vector into a Puffin file of its own. One for all would be one request to the store, but
// DuckDB (1.5) with its file cache takes the first vector of a file for others of that file, and a file would stay
// as long as any vector in it is needed.
func (w *writing) vectors(ctx context.Context) error {
	w.name("puffin")
	return w.each(ctx, len(w.targets), func(ctx context.Context, i int) error {
		positions, err := w.merged(ctx, &w.targets[i])
		if err != nil {
			return err
		}
		w.files[i], err = w.puffin(ctx, w.wrote[i], &w.targets[i], positions)
		return err
	})
}

// name gives each target's delete file its name. Also one that fails may have landed.
func (w *writing) name(extension string) {
	for i := range w.targets {
		w.wrote = append(w.wrote, fmt.Sprintf("%s-%d.%s", w.prefix, i, extension))
	}
}

// puffin writes the vector of one data file.
func (w *writing) puffin(ctx context.Context, location string, t *Target,
	positions *dv.RoaringPositionBitmap) (iceberg.DataFile, error) {
	file := t.File
	blob, err := dv.SerializeDV(positions)
	if err != nil {
		return nil, fmt.Errorf("encode vector of %s: %w", file.FilePath(), err)
	}
	upload := objstore.Create(ctx, w.store, location)
	defer upload.Abort() // after Close it does nothing
	out, err := puffin.NewWriter(upload)
	if err != nil {
		return nil, fmt.Errorf("begin %s: %w", location, err)
	}
	if err := out.SetCreatedBy(createdBy); err != nil {
		return nil, fmt.Errorf("begin %s: %w", location, err)
	}
	count := positions.Cardinality()
	placed, err := out.AddBlob(puffin.BlobMetadataInput{
		Type: puffin.BlobTypeDeletionVector, SnapshotID: -1, SequenceNumber: -1,
		Fields: []int32{fieldIDRowPosition},
		Properties: map[string]string{"referenced-data-file": file.FilePath(),
			"cardinality": strconv.FormatInt(count, 10)},
	}, blob)
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", location, err)
	}
	if err := out.Finish(); err != nil {
		return nil, fmt.Errorf("finish %s: %w", location, err)
	}
	if err := upload.Close(); err != nil {
		return nil, fmt.Errorf("finish %s: %w", location, err)
	}
	b, err := describe(t, written{location, iceberg.PuffinFile, count, upload.Size()})
	if err != nil {
		return nil, err
	}
	return b.ContentOffset(placed.Offset).ContentSizeInBytes(placed.Length).Build(), nil
}

// each calls do for n targets, several at a time.
func (w *writing) each(ctx context.Context, n int, do func(ctx context.Context, i int) error) error {
	group, running := errgroup.WithContext(ctx)
	group.SetLimit(w.opts.AtOnce)
	for i := range n {
		if w.opts.AtOnce > 1 {
			group.Go(func() error { return do(running, i) })
		} else if err := do(ctx, i); err != nil {
			return err
		}
	}
	return group.Wait()
}

// written is a delete file that is there.
type written struct {
	location string
	format   iceberg.FileFormat
	count    int64
	bytes    int64
}

// describe begins the manifest entry of a delete file of a data file.
func describe(t *Target, d written) (*iceberg.DataFileBuilder, error) {
	file := t.File
	b, err := iceberg.NewDataFileBuilder(*t.Spec, iceberg.EntryContentPosDeletes, d.location, d.format,
		file.Partition(), nil, nil, d.count, d.bytes)
	if err != nil {
		return nil, fmt.Errorf("describe %s: %w", d.location, err)
	}
	return b.ReferencedDataFile(file.FilePath()), nil
}
