package stream

import (
	"bufio"
	"encoding/json"
	"errors"
	"strconv"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/firthlake/firth/table/cell"
)

// The formats of streams, by their media types.
const (
	kindNDJSON = "application/x-ndjson"
	kindEvents = "text/event-stream"
)

// MediaTypeArrow is Arrow IPC, the format that keeps the types of columns.
const MediaTypeArrow = "application/vnd.apache.arrow.stream"

// kinds are the media types that a client may accept.
func kinds() []string { return []string{kindNDJSON, MediaTypeArrow, kindEvents} }

// format writes batches as clients read them.
type format interface {
	kind() string
	// rows writes a batch, and the token behind it.
	rows(batch arrow.RecordBatch, token string) error
	// quiet writes a token alone, which also says that the stream lives.
	quiet(token string) error
	// fail writes why the stream ends; the error says that the format cannot.
	fail(err error) error
}

// errSchema says that a table has other columns now, which the format cannot tell.
var errSchema = errors.New("the table has other columns now")

// newFormat is the format of a media type, nil when there is none.
func newFormat(kind string, out *bufio.Writer) format {
	switch kind {
	case "", "*/*", "application/*", "application/json", "application/ndjson", kindNDJSON:
		return &ndjson{out: out}
	case "text/*", kindEvents:
		return &sentEvents{out: out}
	case MediaTypeArrow:
		return &arrowStream{out: out}
	}
	return nil
}

// ndjson is an object a line: {"id":1,…} is a row, {"_token":"…"} a place to go on from, {"_error":"…"} the end.
type ndjson struct {
	out    *bufio.Writer
	object objects
}

func (f *ndjson) kind() string { return kindNDJSON }

func (f *ndjson) rows(batch arrow.RecordBatch, token string) error {
	for row := range int(batch.NumRows()) {
		line, err := f.object.line(batch, row)
		if err != nil {
			return err
		}
		if _, err := f.out.Write(append(line, '\n')); err != nil {
			return err
		}
	}
	return f.quiet(token)
}

func (f *ndjson) quiet(token string) error {
	_, err := f.out.WriteString(`{"_token":"` + token + "\"}\n") // of letters, digits, - and _
	return err
}

func (f *ndjson) fail(reason error) error {
	line, err := json.Marshal(map[string]string{"_error": reason.Error()})
	if err == nil {
		_, err = f.out.Write(append(line, '\n'))
	}
	return err
}

// sentEvents are server-sent events. An event is the rows of a batch, an object a line, with the token behind them as
// its id: a client takes both or neither, so a browser that connects again goes on exactly there.
type sentEvents struct {
	out    *bufio.Writer
	object objects
}

func (f *sentEvents) kind() string { return kindEvents }

func (f *sentEvents) rows(batch arrow.RecordBatch, token string) error {
	for row := range int(batch.NumRows()) {
		line, err := f.object.line(batch, row)
		if err != nil {
			return err
		}
		if _, err := f.out.WriteString("data: "); err != nil {
			return err
		}
		if _, err := f.out.Write(append(line, '\n')); err != nil {
			return err
		}
	}
	return f.quiet(token)
}

// quiet alone is an event without data: its id counts, and nobody is told of it.
func (f *sentEvents) quiet(token string) error {
	_, err := f.out.WriteString("id: " + token + "\n\n")
	return err
}

func (f *sentEvents) fail(reason error) error {
	text, err := json.Marshal(reason.Error()) // in one line
	if err == nil {
		_, err = f.out.WriteString("event: failure\ndata: " + string(text) + "\n\n")
	}
	return err
}

// nestedMax is how many types of structs have their names kept.
const nestedMax = 64

// objects writes rows as JSON objects, column by column in their order.
type objects struct {
	schema *arrow.Schema
	keys   [][]byte                    // with quotes and colon
	nested map[arrow.DataType][][]byte // of structs
	buffer []byte
}

// line is valid until the next.
func (o *objects) line(batch arrow.RecordBatch, row int) ([]byte, error) {
	if o.schema != batch.Schema() {
		o.schema, o.nested = batch.Schema(), map[arrow.DataType][][]byte{}
		var err error
		if o.keys, err = keysOf(o.schema.Fields()); err != nil {
			return nil, err
		}
	}
	b := append(o.buffer[:0], '{')
	for i, column := range batch.Columns() {
		if i > 0 {
			b = append(b, ',')
		}
		var err error
		if b, err = o.cell(append(b, o.keys[i]...), column, row); err != nil {
			return nil, err
		}
	}
	o.buffer = append(b, '}')
	return o.buffer, nil
}

// keysOf are names of fields as JSON has them, with a colon behind.
func keysOf(fields []arrow.Field) (keys [][]byte, err error) {
	for _, field := range fields {
		key, err := json.Marshal(field.Name)
		if err != nil {
			return nil, err
		}
		keys = append(keys, append(key, ':'))
	}
	return keys, nil
}

// cell writes a value as JSON: numbers straight, as most columns are.
func (o *objects) cell(b []byte, column arrow.Array, row int) ([]byte, error) {
	if column.IsNull(row) {
		return append(b, "null"...), nil
	}
	switch c := column.(type) {
	case *array.Int64:
		return strconv.AppendInt(b, c.Value(row), 10), nil
	case *array.Int32:
		return strconv.AppendInt(b, int64(c.Value(row)), 10), nil
	case *array.Boolean:
		return strconv.AppendBool(b, c.Value(row)), nil
	case *array.Struct:
		return o.fields(b, c, row)
	}
	value, err := json.Marshal(cell.Value(column, row))
	return append(b, value...), err
}

// fields writes a struct, field by field in their order.
func (o *objects) fields(b []byte, c *array.Struct, row int) (_ []byte, err error) {
	kind := c.DataType().(*arrow.StructType)
	keys, known := o.nested[kind]
	if !known {
		if keys, err = keysOf(kind.Fields()); err != nil {
			return nil, err
		}
		if len(o.nested) >= nestedMax {
			clear(o.nested) // batches of a reader may each have a type of their own
		}
		o.nested[kind] = keys
	}
	b = append(b, '{')
	for i, key := range keys {
		if i > 0 {
			b = append(b, ',')
		}
		if b, err = o.cell(append(b, key...), c.Field(i), row); err != nil {
			return nil, err
		}
	}
	return append(b, '}'), nil
}
