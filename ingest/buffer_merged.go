package ingest

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/firthlake/firth/ingest/upsert"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/keyindex"
)

// oldRows are the rows of the table that merged rows were made with, by key.
type oldRows struct {
	merged *upsert.Merged   // and the versions
	places []keyindex.Place // none where the old row did not count
	sums   []uint64         // their row checksums
	// files are the locations of their numbers: an index that is built anew gives numbers anew.
	files map[uint32]string
}

const (
	// spanRows is how many old rows of a file one goroutine reads at once. A row group may be fetched once more
	// for each.
	spanRows = 1 << 17
	// pieceRows is about how many versions are merged at once: 10 MiB of events10, with old rows and new ones.
	pieceRows = 1 << 14
)

// merging writes the merged rows of a checkpoint.
type merging struct {
	*checkpoint
	merger *upsert.Merger

	mu     sync.Mutex // guards the writer and what follows
	sumsOf []uint64   // row checksums by part of the set
}

// writeMerged makes the rows that are written of old rows and versions, some at a time, in the order of the old
// rows' places; those of new keys follow.
//
//	old places ─► spans of a file ─► batches of old rows ─► pieces ─► merged rows ─► writer
func (c *checkpoint) writeMerged(ctx context.Context) error {
	var old []wantedRow
	var fresh []int
	c.olds = &oldRows{merged: c.result.Merged, places: make([]keyindex.Place, len(c.keys)),
		sums: make([]uint64, len(c.keys))}
	c.noteOlds()
	for key, act := range c.result.Acts {
		switch {
		case act < 0:
		case c.result.Merged.WithOld(key):
			place := c.places[key]
			old = append(old, wantedRow{place.File, place.Row, key})
		default:
			fresh = append(fresh, key)
		}
	}
	parts := c.set.Parts()
	if len(old)+len(fresh) > 0 {
		m := merging{checkpoint: c, merger: c.set.NewMerger(c.table.ingester.opts.Allocator, c.result.Merged),
			sumsOf: make([]uint64, len(parts))}
		defer m.merger.Close()
		if err := m.write(ctx, old, fresh); err != nil {
			return err
		}
		for i, sum := range m.sumsOf {
			c.sums[parts[i].TopicPartition] += sum
		}
	}
	for i := range parts {
		c.dropPart(&parts[i], c.table.ingester.opts.Budget)
	}
	return nil
}

// noteOlds remembers where the old rows are.
func (c *checkpoint) noteOlds() {
	c.olds.files = map[uint32]string{}
	for key, act := range c.result.Acts {
		if act < 0 || !c.result.Merged.WithOld(key) {
			continue
		}
		place := c.places[key]
		if c.olds.places[key] = place; c.olds.files[place.File] == "" {
			c.olds.files[place.File] = c.index.Index().Path(place.File)
		}
	}
}

func (m *merging) write(ctx context.Context, old []wantedRow, fresh []int) error {
	slices.SortFunc(fresh, func(a, b int) int { return cmp.Compare(m.result.Acts[a], m.result.Acts[b]) })
	var works []func(context.Context) error
	for rows := range byFile(old, spanRows) {
		works = append(works, func(ctx context.Context) error { return m.writeSpan(ctx, rows) })
	}
	for keys := range slices.Chunk(fresh, spanRows) {
		works = append(works, func(ctx context.Context) error { return m.writePieces(ctx, upsert.Piece{Keys: keys}) })
	}
	return inParallel(ctx, m.table.ingester.parallel, works)
}

// inParallel calls functions from up to n goroutines, from none but its own when n is 1, and no more of them after an
// error. They have the context of the caller, since files that they begin are written on when they are done.
func inParallel(ctx context.Context, n int, works []func(context.Context) error) error {
	if n == 1 {
		for _, work := range works {
			if err := work(ctx); err != nil {
				return err
			}
		}
		return nil
	}
	var group errgroup.Group
	group.SetLimit(n)
	var failed atomic.Bool
	for _, work := range works {
		if failed.Load() {
			break
		}
		group.Go(func() error {
			err := work(ctx)
			if err != nil {
				failed.Store(true)
			}
			return err
		})
	}
	return group.Wait()
}

// writeSpan writes the rows of keys whose old rows are in one file.
func (m *merging) writeSpan(ctx context.Context, span []wantedRow) error {
	sums, err := table.NewChecksummer(m.shape.schema)
	if err != nil {
		return err
	}
	var checksums []uint64
	for batch, err := range m.readOld(ctx, m.shape.schema, span) {
		if err != nil {
			return err
		}
		if checksums, err = sums.Rows(checksums[:0], batch); err != nil {
			return err
		}
		p := upsert.Piece{Old: batch}
		for i, sum := range checksums {
			m.olds.sums[span[i].key] = sum // each key is in one span
			p.Keys, p.OldRows = append(p.Keys, span[i].key), append(p.OldRows, int32(i))
		}
		span = span[len(checksums):]
		if err := m.writePieces(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

// writePieces writes the rows of a piece, cut where it has too many versions.
func (m *merging) writePieces(ctx context.Context, p upsert.Piece) error {
	sums, err := table.NewChecksummer(m.shape.schema)
	if err != nil {
		return err
	}
	first, versions := 0, 0
	for i, key := range p.Keys {
		versions += m.result.Merged.Versions(key)
		if versions < pieceRows && i < len(p.Keys)-1 {
			continue
		}
		piece := upsert.Piece{Keys: p.Keys[first : i+1], Old: p.Old}
		if p.Old != nil {
			piece.OldRows = p.OldRows[first : i+1]
		}
		if err := m.writePiece(ctx, piece, sums); err != nil {
			return err
		}
		first, versions = i+1, 0
	}
	return nil
}

func (m *merging) writePiece(ctx context.Context, p upsert.Piece, sums *table.Checksummer) error {
	batch, err := m.merger.Rows(p)
	if err != nil {
		return err
	}
	defer batch.Release()
	checksums, err := sums.Rows(nil, batch)
	if err != nil {
		return err
	}
	rows := make([]uint32, len(p.Keys))
	for i, key := range p.Keys {
		rows[i] = uint32(m.result.Acts[key])
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, row := range rows {
		m.sumsOf[m.set.Part(row)] += checksums[i] // that of the version that was merged in last
	}
	return m.writeTagged(ctx, batch, rows)
}

// checkOldRows says whether merged rows would be made again as they were: of the same versions, which the sequence of
// an old row decides even where a delete takes the row, and of old rows that are the same, or were moved by a rewrite.
// Its error is errBuffer when they would not.
func (c *checkpoint) checkOldRows(ctx context.Context) error {
	if c.olds == nil {
		return nil
	}
	var moved []wantedRow
	for key, act := range c.result.Acts {
		if act < 0 {
			continue
		}
		if !c.result.Merged.Same(c.olds.merged, key) {
			return errOtherRows
		}
		if place := c.places[key]; c.result.Merged.WithOld(key) && !c.sameOld(key) {
			moved = append(moved, wantedRow{place.File, place.Row, key})
		}
	}
	var works []func(context.Context) error
	for rows := range byFile(moved, spanRows) {
		works = append(works, func(ctx context.Context) error { return c.checkSpan(ctx, rows) })
	}
	if err := inParallel(ctx, c.table.ingester.parallel, works); err != nil {
		return err
	}
	c.noteOlds()
	return nil
}

// sameOld says whether the old row of a key lies where it did.
func (c *checkpoint) sameOld(key int) bool {
	place := c.places[key]
	return c.olds.places[key] == place && c.olds.files[place.File] == c.index.Index().Path(place.File)
}

// checkSpan reads rows of one file and holds them against those that merged rows were made with.
func (c *checkpoint) checkSpan(ctx context.Context, span []wantedRow) error {
	sums, err := table.NewChecksummer(c.shape.schema)
	if err != nil {
		return err
	}
	var checksums []uint64
	for batch, err := range c.readOld(ctx, c.shape.schema, span) {
		if err != nil {
			return err
		}
		if checksums, err = sums.Rows(checksums[:0], batch); err != nil {
			return err
		}
		for i, sum := range checksums {
			if c.olds.sums[span[i].key] != sum {
				return errOtherRows
			}
		}
		span = span[len(checksums):]
	}
	return nil
}
