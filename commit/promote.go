package commit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"
	"github.com/google/uuid"

	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/objstore"
)

// backfillTopics begins the topics under which the ledger knows rows that came from no log. No topic of Kafka
// can be called so.
const backfillTopics = "backfill:"

// BackfillOf is the topic partition whose offsets are the rows that one lane of a backfill read, in their order.
// source tells what it read: the same backfill of another source is another incarnation, and is refused.
func BackfillOf(id string, source uuid.UUID, lane int32) TopicPartition {
	return TopicPartition{Cluster: changelogCluster, Topic: backfillTopics + id, TopicID: source, Partition: lane}
}

// BackfillID is the backfill that a topic partition is of, and false for any other.
func BackfillID(tp TopicPartition) (id string, ok bool) {
	if tp.Cluster != changelogCluster {
		return "", false
	}
	return strings.CutPrefix(tp.Topic, backfillTopics)
}

// Promotion makes the rows of a branch rows of main.
type Promotion struct {
	// ID identifies it for ever, as that of a Change does.
	ID uuid.UUID
	// Branch is the branch, At the snapshot that it must have.
	Branch string
	At     int64
	// Ranges are the offsets that its rows stand for.
	Ranges map[TopicPartition]Range
}

// Promote adds the files of a branch to main and takes the branch away, in one swap. ErrBranch says that the branch
// stands elsewhere, ErrFenced that its rows are in main already.
func (c *Committer) Promote(ctx context.Context, p Promotion) (Committed, error) {
	files, err := c.branchFiles(ctx, branchPin{p.Branch, p.At})
	if err != nil {
		return Committed{}, fmt.Errorf("promote branch %s of %s: %w", p.Branch, table.FormatIdent(c.main.ident), err)
	}
	return c.append(ctx, &appendIntent{change: Change{ID: p.ID, Files: files, Ranges: p.Ranges},
		branch: &branchPin{p.Branch, p.At}})
}

// branchFiles are the data files of a branch as new ones, without the row ids that they have there.
func (c *Committer) branchFiles(ctx context.Context, b branchPin) ([]iceberg.DataFile, error) {
	if err := c.Refresh(ctx); err != nil {
		return nil, err
	}
	meta := c.Table().Metadata()
	if err := b.check(meta); err != nil {
		return nil, err
	}
	manifests, err := readManifestList(ctx, c.main.store, meta.SnapshotByID(b.at))
	if errors.Is(err, objstore.ErrNotFound) {
		return nil, fmt.Errorf("%w; somebody else may have promoted or dropped it: look again", err)
	}
	if err != nil {
		return nil, err
	}
	var files []iceberg.DataFile
	for some := range slices.Chunk(manifests, max(c.opts.Reads, 1)) {
		read, err := readManifests(ctx, c.main.store, c.opts.Reads, some)
		if err != nil {
			return nil, err
		}
		for _, e := range slices.Concat(read...) {
			if e.Status() == iceberg.EntryStatusDELETED {
				continue
			}
			f, err := asNew(e.DataFile(), meta)
			if err != nil {
				return nil, err
			}
			files = append(files, f)
		}
	}
	return files, nil
}

// asNew describes a data file without row ids.
func asNew(f iceberg.DataFile, meta icetable.Metadata) (iceberg.DataFile, error) {
	if f.FirstRowID() == nil {
		return f, nil
	}
	spec := meta.PartitionSpecByID(int(f.SpecID()))
	if spec == nil {
		return nil, fmt.Errorf("file %s is of partition spec %d, which the table does not have", f.FilePath(),
			f.SpecID())
	}
	b, err := iceberg.NewDataFileBuilder(*spec, f.ContentType(), f.FilePath(), f.FileFormat(), f.Partition(),
		nil, nil, f.Count(), f.FileSizeBytes())
	if err != nil {
		return nil, fmt.Errorf("describe file %s: %w", f.FilePath(), err)
	}
	b.ColumnSizes(f.ColumnSizes()).ValueCounts(f.ValueCounts()).NullValueCounts(f.NullValueCounts()).
		NaNValueCounts(f.NaNValueCounts()).LowerBoundValues(f.LowerBoundValues()).
		UpperBoundValues(f.UpperBoundValues()).SplitOffsets(f.SplitOffsets())
	if order := f.SortOrderID(); order != nil {
		b.SortOrderID(*order)
	}
	return b.Build(), nil
}
