package stage

import (
	"context"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	"github.com/google/uuid"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/ingest/decode"
	"github.com/firthlake/firth/ingest/source"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/objstore"
)

// HistoryOptions say what is committed to a table before it is measured.
type HistoryOptions struct {
	Feed
	Store   objstore.Store
	Catalog commit.Catalog
	Ident   table.Ident
	Commits int
	// Progress is told the number of commits now and then.
	Progress func(commits int64)
	// Committer is what commits need from outside: clock, ids, randomness, sleep, name.
	Committer commit.Options
}

// historyRows are the rows of each commit of a history.
const historyRows = 10

// History makes commits of a few rows each to a table, of a topic of their own, and returns the number of
// rows. It keeps as many snapshots as any table does.
func History(ctx context.Context, o HistoryOptions) (int64, error) {
	o.Committer.SnapshotsKeep, o.Committer.SnapshotAgeMin = commit.SnapshotsKeepDefault, snapshotAgeMin
	committer, err := commit.Open(ctx, o.Catalog, o.Store, o.Ident, o.Committer)
	if err != nil {
		return 0, err
	}
	g, err := o.Generator()
	if err != nil {
		return 0, err
	}
	schema := committer.Table().Metadata().CurrentSchema()
	plan, err := o.plan(ctx, g, schema)
	if err != nil {
		return 0, err
	}
	sums, err := table.NewChecksummer(schema)
	if err != nil {
		return 0, err
	}
	h := &history{store: o.Store, committer: committer, sums: sums,
		decoder: plan.NewDecoder(memory.DefaultAllocator), log: newMadeLog(g)}
	defer h.decoder.Close()
	for i := range o.Commits {
		if err := h.commit(ctx); err != nil {
			return 0, fmt.Errorf("commit %d of the history: %w", i+1, err)
		}
		o.Progress(int64(i + 1))
	}
	return int64(h.log.next), nil
}

// history is a table and the log that its early rows come from.
type history struct {
	store     objstore.Store
	committer *commit.Committer
	sums      *table.Checksummer
	decoder   decode.Decoder
	log       *madeLog
}

// commit makes one checkpoint of the next rows.
func (h *history) commit(ctx context.Context) error {
	chunk := h.log.chunk(historyRows)
	change := commit.Change{ID: uuid.New()}
	part := commit.Range{From: chunk.From, Next: chunk.Next,
		Counts: commit.Counts{Inserted: int64(len(chunk.Records))}}
	var err error
	if change.Files, err = h.write(ctx, change.ID, &chunk, &part); err != nil {
		return err
	}
	change.Ranges = map[commit.TopicPartition]commit.Range{h.log.id: part}
	_, err = h.committer.Commit(ctx, change)
	return err
}

// write decodes a chunk into data files, and adds its checksum to the range.
func (h *history) write(
	ctx context.Context, id uuid.UUID, chunk *source.Chunk, part *commit.Range,
) ([]iceberg.DataFile, error) {
	out, err := h.decoder.Decode(ctx, chunk)
	if err != nil {
		return nil, err
	}
	defer out.Batch.Release()
	if err := decoded(out); err != nil {
		return nil, err
	}
	if part.Checksum, err = h.sums.Sum(out.Batch); err != nil {
		return nil, err
	}
	meta := h.committer.Table().Metadata()
	writer, err := table.NewWriter(h.store, table.WriterOptions{Schema: meta.CurrentSchema(),
		Spec: meta.PartitionSpec(), Sort: meta.SortOrder(), Location: meta.Location(), ChangeID: id})
	if err != nil {
		return nil, err
	}
	if err := writer.Write(ctx, out.Batch); err != nil {
		return nil, err
	}
	return writer.Close(ctx)
}
