package changelog

import (
	"context"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"
	"github.com/google/uuid"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/images"
)

const (
	// entriesMax is how many rows are paired at a time: 72 MiB. A change of more is paired in parts, by key, each
	// of which reads its keys anew.
	entriesMax = 1 << 20
	// keepBytes is how much of the rows that are paired is kept, if the budget has room, so that it needs not be
	// read again to be written.
	keepBytes = 64 << 20
)

// volume is what one commit of the changelog will hold.
type volume struct {
	id     uuid.UUID
	writer *table.Writer
	reader *images.Reader
	budget *table.Budget
	mem    memory.Allocator
	most   int64 // entriesMax, but in tests

	form *arrow.Schema
	sums *table.Checksummer
	// first and next are ordinals, read is the sequence number of the newest snapshot in it.
	first, next int64
	read        int64
	checksum    uint64
	snapshots   int
}

// take writes the images of one snapshot.
func (v *volume) take(ctx context.Context, s *icetable.Snapshot, portions []*images.Portion) error {
	total, went := int64(0), false
	for _, p := range portions {
		total, went = total+p.Most(), went || p.Went
	}
	if !went {
		return v.inserts(ctx, s, portions)
	}
	parts := (total + v.most - 1) / v.most
	charged := min(total, v.most) * images.EntryBytes
	v.budget.Charge(charged)
	defer v.budget.Release(charged)
	for part := range parts {
		if err := v.part(ctx, s, portions, images.Span{Part: uint64(part), Parts: uint64(parts)}); err != nil {
			return err
		}
	}
	return nil
}

// inserts writes rows that came where none went.
func (v *volume) inserts(ctx context.Context, s *icetable.Snapshot, portions []*images.Portion) error {
	for _, p := range portions {
		err := v.reader.Each(ctx, p, nil, func(piece images.Piece) error {
			told := make([]images.Image, piece.Rows.NumRows())
			for i := range told {
				told[i].Ordinal = int64(i)
			}
			err := v.write(ctx, s, piece.Rows, told)
			v.next += int64(len(told))
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// part pairs the rows of a part of all keys and writes what becomes of them.
func (v *volume) part(ctx context.Context, s *icetable.Snapshot, portions []*images.Portion, mine images.Span) error {
	defer v.reader.Drop(portions)
	told, err := v.reader.Pair(ctx, portions, mine)
	if err != nil {
		return err
	}
	count := int64(len(told))
	err = v.reader.Rows(ctx, portions, told, func(rows arrow.RecordBatch, told []images.Image) error {
		return v.write(ctx, s, rows, told)
	})
	v.next += count
	return err
}

// write writes rows of the source with what tells of their change.
func (v *volume) write(
	ctx context.Context, s *icetable.Snapshot, rows arrow.RecordBatch, told []images.Image,
) error {
	kinds := array.NewStringBuilder(v.mem)
	defer kinds.Release()
	ordinals, snapshots := array.NewInt64Builder(v.mem), array.NewInt64Builder(v.mem)
	defer ordinals.Release()
	defer snapshots.Release()
	times := array.NewTimestampBuilder(v.mem, v.form.Field(3).Type.(*arrow.TimestampType))
	defer times.Release()
	for _, image := range told {
		kinds.Append(image.Kind.String())
		ordinals.Append(v.next + image.Ordinal)
		snapshots.Append(s.SnapshotID)
		times.Append(arrow.Timestamp(s.TimestampMs * 1000))
	}
	columns := []arrow.Array{kinds.NewArray(), ordinals.NewArray(), snapshots.NewArray(), times.NewArray()}
	out := array.NewRecordBatch(v.form, append(columns, rows.Columns()...), rows.NumRows())
	defer out.Release()
	for _, c := range columns {
		c.Release()
	}
	sum, err := v.sums.Sum(out)
	if err != nil {
		return err
	}
	v.checksum += sum
	return v.writer.Write(ctx, out)
}

// change is what the volume publishes.
func (v *volume) change(source *table.Table, from commit.Offset, files []iceberg.DataFile) commit.Change {
	next := commit.Offset(v.read + 1)
	ranges := map[commit.TopicPartition]commit.Range{commit.SnapshotsOf(source): {From: from, Next: next,
		Counts: commit.Counts{Absent: int64(next - from)}}}
	if v.next > v.first {
		ranges[commit.ChangesOf(source)] = commit.Range{From: commit.Offset(v.first), Next: commit.Offset(v.next),
			Counts: commit.Counts{Inserted: v.next - v.first}, Checksum: v.checksum}
	}
	return commit.Change{ID: v.id, Files: files, Ranges: ranges}
}
