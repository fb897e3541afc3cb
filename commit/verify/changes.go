package verify

import (
	"context"
	"errors"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/changes"
)

// placeChanges adds rows of a table of changes to their segments, by their ordinals.
func (t *tallied) placeChanges(batch arrow.RecordBatch, sums []uint64, in origin) (placed int64) {
	ordinals, ok := column(batch, changes.ColumnOrdinal).(*array.Int64)
	here := t.places[place{t.changes, 0}]
	if !ok || here == nil || ordinals.NullN() > 0 {
		return 0
	}
	for i := 0; i < len(sums); {
		j := i + 1
		for j < len(sums) && ordinals.Value(j) == ordinals.Value(j-1)+1 {
			j++
		}
		placed += here.run(commit.Offset(ordinals.Value(i)), sums[i:j], in)
		i = j
	}
	return placed
}

// content is a set of rows, as far as their number and checksum tell.
type content struct {
	rows     int64
	checksum uint64
}

// foldChanges wants the images that came, less those that went, to be the rows that the source had when the
// changelog read it last.
func (c *check) foldChanges(ctx context.Context) error {
	source := c.opts.ChangesOf
	if source == nil || c.anyBroken() {
		return nil
	}
	read, begun := c.ledger.Position[commit.SnapshotsOf(source)]
	if !begun {
		c.note("the changelog has read nothing of %s yet", source)
		return nil
	}
	snapshot := readLast(source, read)
	if snapshot == nil {
		c.note("the snapshot of %s with sequence number %d, which the changelog has read last, has expired: "+
			"its changes are not compared with it", source, read-1)
		return nil
	}
	schema := source.Metadata().CurrentSchema()
	images, err := c.content(ctx, c.table, table.Scan{}, changes.Images(schema), schema)
	if err != nil {
		return err
	}
	rows, err := c.content(ctx, source, table.Scan{SnapshotID: snapshot.SnapshotID}, nil, schema)
	if err != nil {
		return err
	}
	if images != rows {
		c.report.fault(Fault{Kind: FaultChanges, SnapshotID: snapshot.SnapshotID, Text: fmt.Sprintf(
			"its changes make %d rows with checksum %x, %s has %d with %x at the snapshot that was read last",
			images.rows, images.checksum, source, rows.rows, rows.checksum)})
		return nil
	}
	c.note("its changes make the %d rows that %s has at snapshot %d", rows.rows, source, snapshot.SnapshotID)
	return nil
}

// readLast is the snapshot that a changelog which goes on at next has read last.
func readLast(source *table.Table, next commit.Offset) *icetable.Snapshot {
	for s := range commit.Ancestry(source.Metadata()) {
		if s.SequenceNumber == int64(next)-1 {
			return s
		}
	}
	return nil
}

// content adds the rows of a table up; with images, those of its changes, whose schema that is. Rows are taken in
// the form of schema.
func (c *check) content(
	ctx context.Context, t *table.Table, scan table.Scan, images, schema *iceberg.Schema,
) (sum content, err error) {
	var tasks []table.Task
	err = guard(func() (err error) { tasks, err = table.Plan(ctx, t, c.store, scan); return err })
	if err != nil {
		return sum, err
	}
	sums, err := table.NewChecksummer(changes.Rows(schema))
	if err != nil {
		return sum, err
	}
	asked := changes.Rows(schema)
	if images != nil {
		asked = iceberg.NewSchema(0, append(changes.Columns()[:1], images.Fields()...)...)
	}
	var buffer []uint64
	for _, task := range tasks {
		task.Schema = asked
		for batch, err := range table.Read(ctx, c.store, task) {
			if err != nil {
				return sum, err
			}
			columns, fields := batch.Columns(), batch.Schema().Fields()
			var kinds *array.String
			if images != nil {
				kinds, columns, fields = columns[0].(*array.String), columns[1:], fields[1:]
			}
			rows := array.NewRecordBatch(arrow.NewSchema(fields, nil), columns, batch.NumRows())
			buffer, err = sums.Rows(buffer[:0], rows)
			rows.Release()
			if err != nil {
				return sum, err
			}
			if err := sum.add(buffer, kinds); err != nil {
				return sum, fmt.Errorf("%s: %w", task.File.FilePath(), err)
			}
		}
	}
	return sum, nil
}

// add adds the checksums of rows, and takes those off that went; without kinds all came.
func (s *content) add(sums []uint64, kinds *array.String) error {
	for i, sum := range sums {
		kind := changes.Insert
		if kinds != nil {
			kind = kinds.Value(i)
		}
		switch kind {
		case changes.Insert, changes.UpdateAfter:
			s.rows++
			s.checksum += sum
		case changes.Delete, changes.UpdateBefore:
			s.rows--
			s.checksum -= sum
		default:
			return errors.New("change of type " + kind)
		}
	}
	return nil
}
