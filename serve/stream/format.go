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

// objects writes rows as JSON objects, column by column in their order.
type objects struct {
	schema *arrow.Schema
	keys   [][]byte // with quotes and colon
	buffer []byte
}

// line is valid until the next.
func (o *objects) line(batch arrow.RecordBatch, row int) ([]byte, error) {
	if o.schema != batch.Schema() {
		o.schema, o.keys = batch.Schema(), nil
		for _, field := range o.schema.Fields() {
			key, err := json.Marshal(field.Name)
			if err != nil {
				return nil, err
			}
			o.keys = append(o.keys, append(key, ':'))
		}
	}
	b := append(o.buffer[:0], '{')
	for i, column := range batch.Columns() {
		if i > 0 {
			b = append(b, ',')
		}
		var err error
		if b, err = appendCell(append(b, o.keys[i]...), column, row); err != nil {
			return nil, err
		}
	}
	o.buffer = append(b, '}')
	return o.buffer, nil
}

// appendCell writes a value as JSON: numbers straight, as most columns are.
func appendCell(b []byte, column arrow.Array, row int) ([]byte, error) {
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
	}
	value, err := json.Marshal(cell.Value(column, row))
	return append(b, value...), err
}
