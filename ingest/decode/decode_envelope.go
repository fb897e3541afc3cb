package decode

import (
	"context"
	"fmt"
	"slices"

	"github.com/firthlake/firth/ingest/source"
)

// Changes say what the rows of a batch do, where a plan has an envelope.
type Changes struct {
	// Rows has an element for each row of the batch. Those of one record lie together.
	Rows []RowChange
	// Records has an element for each record of the chunk: the one operation it counts as.
	Records []Op
}

// RowChange is one row of a batch. A row of OpDelete has the key columns, the columns that lie outside
// the row, and nulls; every other operation is an upsert of the whole row.
type RowChange struct {
	Record int32 // index in the chunk
	Op     Op
}

// absent is the place of what an event does not have.
const absent = -1

// event is what an eventReader found in one event. Places are offsets in the record's value.
type event struct {
	op     Op
	opText []byte // the value of the operation, for messages
	opSeen bool
	ddl    bool
	// after and before are the places of the row's images. The rows of after are in the columns.
	after, before []int
	outer         []int // places of the envelope's columns, or absent
	class         Class // why the record as a whole fails, or ""
	message       string
}

func (e *event) reset() {
	e.op, e.opText, e.opSeen, e.ddl = OpFailed, e.opText[:0], false, false
	e.after, e.before = e.after[:0], e.before[:0]
	e.class, e.message = "", ""
	for i := range e.outer {
		e.outer[i] = absent
	}
}

// fail refuses the record. Only the first reason counts.
func (e *event) fail(class Class, message string) {
	if e.class == "" {
		e.class, e.message = class, message
	}
}

// setOp notes the value of the operation.
func (e *event) setOp(text []byte, operations []operation) {
	e.op, e.opSeen = OpFailed, true
	e.opText = append(e.opText[:0], text[:min(len(text), messageMax+1)]...)
	for i := range operations {
		if operations[i].text == string(text) {
			e.op = operations[i].op
			return
		}
	}
}

// eventReader reads the events of one format. What it appends goes to the columns of the row that
// changeRows has begun.
type eventReader interface {
	// read reads an event: the rows of its after image go into the columns, and what else it says
	// into the event.
	read(ctx context.Context, value []byte) error
	// readKeyOf appends the key columns that an image of the value read last has.
	readKeyOf(role envelopeRole, place int)
	// readOuter appends the i-th of the envelope's columns of the value read last.
	readOuter(i, place int)
	// readRecordKey appends the key columns that the record's key has.
	readRecordKey(ctx context.Context, key []byte) error
	endChunk() error
}

// changeRows are the rows that the records of a chunk become.
type changeRows struct {
	*rows
	envelope *envelopePlan
	event    event
	changes  Changes
	// first is the first row of the record, and failuresBefore the failures of those before it.
	first, failuresBefore int
	next                  int // the row to begin
}

// envelopeDecoder is the Decoder of change events.
type envelopeDecoder struct {
	out    *changeRows
	reader eventReader
	single source.Chunk // a record for every row
}

func newChangeRows(plan *Plan, rows *rows) *changeRows {
	return &changeRows{rows: rows, envelope: plan.envelope,
		event: event{outer: make([]int, len(plan.envelope.outer))}}
}

// Decode implements Decoder.
func (d *envelopeDecoder) Decode(ctx context.Context, chunk *source.Chunk) (Decoded, error) {
	size, err := sizeOf(chunk)
	if err != nil {
		return Decoded{}, err
	}
	out := d.out
	out.expect(len(chunk.Records), size)
	out.changes = Changes{Rows: make([]RowChange, 0, len(chunk.Records)),
		Records: make([]Op, len(chunk.Records))}
	out.next = 0
	for i := range chunk.Records {
		out.beginRecord(i)
		if err := d.decodeRecord(ctx, &chunk.Records[i]); err != nil {
			out.drop()
			return Decoded{}, err
		}
	}
	if err := d.reader.endChunk(); err != nil {
		out.drop()
		return Decoded{}, err
	}
	out.failUnavailable()
	out.fill(d.perRow(chunk))
	decoded := out.finish(len(out.changes.Rows))
	decoded.Changes = &Changes{Rows: out.changes.Rows, Records: out.changes.Records}
	return decoded, nil
}

// perRow returns the chunk with a record for every row, whose metadata the row has.
func (d *envelopeDecoder) perRow(chunk *source.Chunk) *source.Chunk {
	if d.out.rowPerRecord(len(chunk.Records)) {
		return chunk
	}
	d.single.TopicPartition = chunk.TopicPartition
	d.single.Records = slices.Grow(d.single.Records[:0], len(d.out.changes.Rows))
	for _, row := range d.out.changes.Rows {
		d.single.Records = append(d.single.Records, chunk.Records[row.Record])
	}
	return &d.single
}

// Close implements Decoder.
func (d *envelopeDecoder) Close() { d.out.drop() }

// decodeRecord makes rows of one record and says what it counts as.
func (d *envelopeDecoder) decodeRecord(ctx context.Context, record *source.Record) error {
	out := d.out
	if size, limit := len(record.Value)+len(record.Key), out.plan.options.RecordBytesMax; size > limit {
		out.refuse(ClassTooLarge, fmt.Sprintf("record of %d bytes: the limit is %d", size, limit))
		return nil
	}
	out.event.reset()
	if record.Value == nil {
		return d.tombstone(ctx, record)
	}
	if err := d.reader.read(ctx, record.Value); err != nil {
		return err
	}
	e := &out.event
	d.check()
	if e.class == "" && e.op == OpDelete {
		if err := d.remove(ctx, record); err != nil {
			return err
		}
	}
	if e.class != "" {
		out.refuse(e.class, e.message)
		return nil
	}
	d.settle()
	return nil
}

// settle completes the rows of an event that is in order.
func (d *envelopeDecoder) settle() {
	out := d.out
	e, upserts := &out.event, out.next-out.first
	out.changes.Records[out.record] = e.op
	for range upserts {
		out.changes.Rows = append(out.changes.Rows, RowChange{Record: int32(out.record), Op: e.op})
	}
	if e.op == OpUpdate {
		for i := range e.before {
			d.moved(i)
		}
	}
	d.fillOuter()
	if e.class != "" {
		out.refuse(e.class, e.message)
	}
}

// fillOuter fills the columns that lie outside the row, in all rows of the record.
func (d *envelopeDecoder) fillOuter() {
	out := d.out
	for row := out.first; row < out.next; row++ {
		out.row, out.rowFailures = row, len(out.failures)
		for i, column := range out.envelope.outer {
			if place := out.event.outer[i]; place != absent {
				d.reader.readOuter(i, place)
			}
			out.complete(column)
		}
	}
}

// tombstone makes a row that deletes by the record's key, if that is known.
func (d *envelopeDecoder) tombstone(ctx context.Context, record *source.Record) error {
	out := d.out
	if !out.envelope.options.RecordKey || record.Key == nil {
		out.changes.Records[out.record] = OpTombstone
		return nil
	}
	out.event.op = OpDelete
	if err := d.removeByKey(ctx, record.Key); err != nil {
		return err
	}
	if e := &out.event; e.class != "" {
		out.refuse(e.class, e.message)
		return nil
	}
	d.settle()
	return nil
}

// check says what is wrong with an event as a whole.
func (d *envelopeDecoder) check() {
	e, options := &d.out.event, &d.out.envelope.options
	if len(options.Op) == 0 && e.class == "" {
		if e.op = OpUpdate; len(e.after) == 0 {
			e.op = OpDelete
		}
	}
	switch {
	case e.ddl:
		e.fail(ClassOperation, "a change of the source's schema, which is no change of rows")
	case len(options.Op) > 0 && !e.opSeen:
		e.fail(ClassOperation, "no operation in the event: it is no change of a row (a heartbeat, "+
			"a transaction's begin or end, or a change of the source's schema)")
	case e.op == OpTruncate:
		e.fail(ClassOperation, "the source table was truncated, and the event names no rows: "+
			"empty the table by hand, then let the policy skip this class")
	case e.op == OpFailed:
		e.fail(ClassOperation, "operation "+shorten(e.opText)+" changes no rows")
	case e.op != OpDelete && len(e.after) == 0:
		e.fail(ClassRequired, e.op.String()+" without a row")
	case e.op == OpUpdate && len(e.before) > 0 && len(e.before) != len(e.after):
		e.fail(ClassType, fmt.Sprintf("%d rows, and %d as they were before", len(e.after), len(e.before)))
	}
}

// remove replaces the rows of a delete event by rows that have the key.
func (d *envelopeDecoder) remove(ctx context.Context, record *source.Record) error {
	out := d.out
	role, images, options := roleBefore, out.event.before, &out.envelope.options
	if options.BeforePartial || len(images) == 0 {
		role, images = roleAfter, out.event.after
	}
	if out.next > out.first {
		out.takeBackRecord()
	}
	if len(images) == 0 {
		if !options.RecordKey || record.Key == nil {
			out.event.fail(ClassRequired, "delete without the row as it was before, and without a key")
			return nil
		}
		return d.removeByKey(ctx, record.Key)
	}
	for _, place := range images {
		out.beginRow()
		d.reader.readKeyOf(role, place)
		out.endKeyRow()
	}
	return nil
}

func (d *envelopeDecoder) removeByKey(ctx context.Context, key []byte) error {
	d.out.beginRow()
	if err := d.reader.readRecordKey(ctx, key); err != nil {
		return err
	}
	d.out.endKeyRow()
	return nil
}

// moved makes a row that deletes the i-th row of an update under the key that it had, if that is
// another one.
func (d *envelopeDecoder) moved(i int) {
	out := d.out
	upserted := out.first + i
	out.beginRow()
	d.reader.readKeyOf(roleBefore, out.event.before[i])
	same := true
	for _, k := range out.envelope.keys {
		column := out.columns[k]
		switch {
		case column.rows > out.row:
		case out.envelope.options.BeforePartial:
			column.appendFrom(upserted)
		default:
			column.AppendNull()
		}
		same = same && string(column.valueBytes(upserted)) == string(column.valueBytes(out.row)) &&
			column.isNull(upserted) == column.isNull(out.row)
	}
	if same {
		out.takeBackRow()
		return
	}
	out.endKeyRow()
	out.changes.Rows = append(out.changes.Rows, RowChange{Record: int32(out.record), Op: OpDelete})
}

// newEnvelopeDecoder returns the decoder of a plan with an envelope.
func (p *Plan) newEnvelopeDecoder(rows *rows) Decoder {
	out := newChangeRows(p, rows)
	if p.writers != nil {
		return &envelopeDecoder{out: out, reader: newAvroEventReader(p, out)}
	}
	return &envelopeDecoder{out: out, reader: newJSONEvents(p, out)}
}
