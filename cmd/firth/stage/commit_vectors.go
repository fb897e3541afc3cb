package stage

import (
	"fmt"
	"math/rand/v2"

	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"

	"github.com/firthlake/firth/commit"
)

const (
	// CommitVectorsMax bounds CommitOptions.Vectors: each deletes a row at least, and a commit updates no
	// more rows than it brings.
	CommitVectorsMax = 1000
	// vectorRows are the rows that a data file loses at a time.
	vectorRows = 8
	// agePerVector is the mean age, in commits, of the files that lose rows, for each of them. An update of a
	// random key hits a file the less often the more of its rows are replaced already, so ages are
	// distributed exponentially. 20 files of 10,000 updated rows a commit would have a mean age of 2: this
	// is twenty times as far back, as when some keys are updated often and others seldom.
	agePerVector = 2
	// vectorBytes is the size that vectors are said to have.
	vectorBytes = 100
)

// updated is a data file of the benchmark, and how many of its rows are deleted.
type updated struct {
	file    iceberg.DataFile
	deleted int64
}

// replace gives the change vectors that delete rows of earlier files, and returns how many rows. They are
// described and do not exist: commits never open them.
func (b *committing) replace(change *commit.Change, meta icetable.Metadata) (rows int64, err error) {
	hit := b.draw()
	if len(hit) == 0 {
		return 0, nil
	}
	change.Base = meta.CurrentSnapshot().SnapshotID
	for i, at := range hit {
		u := &b.files[at]
		u.deleted += vectorRows
		rows += vectorRows
		of := u.file.FilePath()
		d, err := iceberg.NewDataFileBuilder(meta.PartitionSpec(), iceberg.EntryContentPosDeletes,
			fmt.Sprintf("%s/data/firth-%s-deletes.puffin", meta.Location(), change.ID), iceberg.PuffinFile,
			nil, nil, nil, u.deleted, int64(len(hit)*vectorBytes))
		if err != nil {
			return 0, err
		}
		change.Deletes = append(change.Deletes, d.ReferencedDataFile(of).
			ContentOffset(int64(i*vectorBytes)).ContentSizeInBytes(vectorBytes).Build())
	}
	return rows, nil
}

// draw returns the indexes of the files that lose rows.
func (b *committing) draw() []int {
	want := min(b.opts.Vectors, len(b.files))
	taken := make(map[int]bool, want)
	var hit []int
	for tries := 0; len(hit) < want && tries < 100*want; tries++ {
		at := len(b.files) - 1 - int(rand.ExpFloat64()*float64(agePerVector*b.opts.Vectors))
		if at < 0 || taken[at] || b.files[at].deleted+vectorRows > b.files[at].file.Count() {
			continue
		}
		taken[at] = true
		hit = append(hit, at)
	}
	return hit
}
