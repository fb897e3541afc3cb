package changelog

import (
	"context"
	"fmt"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"
	"github.com/google/uuid"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/gather"
	"github.com/firthlake/firth/table/keyindex"
)

const (
	// entriesMax is how many rows are paired at a time: 48 MiB. A change of more is paired in parts, by key, each
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
	source *iceberg.Schema
	reader *rowReader
	budget *table.Budget
	mem    memory.Allocator
	seed   keyindex.Seed
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
func (v *volume) take(ctx context.Context, s *icetable.Snapshot, portions []*portion) error {
	total, went := int64(0), false
	for _, p := range portions {
		total, went = total+p.most(), went || p.went
	}
	if !went {
		return v.inserts(ctx, s, portions)
	}
	parts := (total + v.most - 1) / v.most
	charged := min(total, v.most) * entryBytes
	v.budget.Charge(charged)
	defer v.budget.Release(charged)
	for part := range parts {
		if err := v.part(ctx, s, portions, span{uint64(part), uint64(parts)}); err != nil {
			return err
		}
	}
	return nil
}

// inserts writes rows that came where none went.
func (v *volume) inserts(ctx context.Context, s *icetable.Snapshot, portions []*portion) error {
	for _, p := range portions {
		err := v.reader.each(ctx, p, nil, func(piece piece) error {
			images := make([]image, piece.rows.NumRows())
			for i := range images {
				images[i].ordinal = int64(i)
			}
			err := v.write(ctx, s, piece.rows, images)
			v.next += int64(len(images))
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// span is a part of all keys.
type span struct{ part, parts uint64 }

func (s span) holds(key keyindex.Key) bool {
	return s.parts == 1 || key.High>>32*s.parts>>32 == s.part
}

// part pairs the rows of a part of all keys and writes what becomes of them.
func (v *volume) part(ctx context.Context, s *icetable.Snapshot, portions []*portion, mine span) error {
	defer v.letGo(portions)
	went, came, err := v.entries(ctx, portions, mine)
	if err != nil {
		return err
	}
	images := pair(went, came)
	slices.SortFunc(images, func(a, b image) int { return a.at.compare(b.at) })
	count := int64(len(images))
	for len(images) > 0 {
		n, at := 0, images[0].at.portion
		var rows []uint32
		for ; n < len(images) && images[n].at.portion == at; n++ {
			rows = append(rows, images[n].at.row)
		}
		if err := v.writePortion(ctx, s, portions[at], rows, images[:n]); err != nil {
			return err
		}
		images = images[n:]
	}
	v.next += count
	return nil
}

// entries reads the keys and checksums of rows. It keeps the rows while there is room, if they are read once.
func (v *volume) entries(ctx context.Context, portions []*portion, mine span) (went, came []entry, err error) {
	hasher, err := keyindex.NewHasher(v.source, v.seed)
	if err != nil {
		return nil, nil, err
	}
	checksums, err := table.NewChecksummer(v.reader.schema)
	if err != nil {
		return nil, nil, err
	}
	var keys []keyindex.Key
	var sums []uint64
	kept := int64(0)
	for i, p := range portions {
		into := &came
		if p.went {
			into = &went
		}
		var pieces []piece
		keeping := mine.parts == 1
		err := v.reader.each(ctx, p, nil, func(piece piece) (err error) {
			var nulls []keyindex.Null
			if keys, nulls, err = hasher.Keys(keys, piece.rows); err != nil {
				return err
			}
			if sums, err = checksums.Rows(sums[:0], piece.rows); err != nil {
				return err
			}
			for _, null := range nulls { // a row without a key is only ever equal to its like
				keys[null.Row] = keyindex.Key{High: sums[null.Row], Low: ^uint64(0)}
			}
			for row, key := range keys {
				if mine.holds(key) {
					*into = append(*into, entry{key, sums[row], place{uint32(i), uint32(piece.positions[row])}})
				}
			}
			bytes := table.BatchBytes(piece.rows)
			if keeping = keeping && kept+bytes <= keepBytes && v.budget.TryAcquire(bytes); keeping {
				kept += bytes
				piece.rows.Retain()
				piece.positions = slices.Clone(piece.positions)
				pieces = append(pieces, piece)
			}
			return nil
		})
		if p.kept = pieces; err == nil && keeping {
			continue
		}
		kept -= v.drop(p) // all of a portion or nothing
		if err != nil {
			return nil, nil, err
		}
	}
	return went, came, nil
}

// letGo drops the rows that were kept.
func (v *volume) letGo(portions []*portion) {
	for _, p := range portions {
		v.drop(p)
	}
}

func (v *volume) drop(p *portion) (bytes int64) {
	for _, piece := range p.kept {
		bytes += table.BatchBytes(piece.rows)
		piece.rows.Release()
	}
	v.budget.Release(bytes)
	p.kept = nil
	return bytes
}

// writePortion writes the images that lie in one portion, at the given rows.
func (v *volume) writePortion(
	ctx context.Context, s *icetable.Snapshot, p *portion, rows []uint32, images []image,
) error {
	var chosen []uint32
	left := images
	err := v.reader.each(ctx, p, rows, func(piece piece) error {
		chosen = chosen[:0]
		for i, pos := range piece.positions {
			if n := len(chosen); n < len(left) && int64(left[n].at.row) == pos {
				chosen = append(chosen, uint32(i))
			}
		}
		if len(chosen) == 0 {
			return nil
		}
		batch := gather.Rows(v.mem, piece.rows, chosen)
		defer batch.Release()
		err := v.write(ctx, s, batch, left[:len(chosen)])
		left = left[len(chosen):]
		return err
	})
	if err == nil && len(left) > 0 {
		err = fmt.Errorf("%s has changed while it was read: row %d is gone", p.task.File.FilePath(), left[0].at.row)
	}
	return err
}

// write writes rows of the source with what tells of their change.
func (v *volume) write(
	ctx context.Context, s *icetable.Snapshot, rows arrow.RecordBatch, images []image,
) error {
	kinds := array.NewStringBuilder(v.mem)
	defer kinds.Release()
	ordinals, snapshots := array.NewInt64Builder(v.mem), array.NewInt64Builder(v.mem)
	defer ordinals.Release()
	defer snapshots.Release()
	times := array.NewTimestampBuilder(v.mem, v.form.Field(3).Type.(*arrow.TimestampType))
	defer times.Release()
	for _, image := range images {
		kinds.Append(image.kind.text())
		ordinals.Append(v.next + image.ordinal)
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
