package stream

import (
	"bufio"
	"encoding/json"
	"errors"
	"slices"
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
	// form names what encode makes of rows that have a token behind them: streams of one form may send what any of
	// them has made.
	form(token string) string
	encode(batch arrow.RecordBatch, token string) ([]byte, error)
	// rows writes what encode has made of rows with such columns, and the token behind it.
	rows(body []byte, schema *arrow.Schema, token string) error
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
type ndjson struct{ out *bufio.Writer }

func (f *ndjson) kind() string { return kindNDJSON }

func (f *ndjson) form(string) string { return kindNDJSON }

func (f *ndjson) encode(batch arrow.RecordBatch, _ string) ([]byte, error) {
	return appendLines(batch, "")
}

func (f *ndjson) rows(body []byte, _ *arrow.Schema, token string) error {
	if err := writeBody(f.out, body); err != nil {
		return err
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
type sentEvents struct{ out *bufio.Writer }

func (f *sentEvents) kind() string { return kindEvents }

func (f *sentEvents) form(string) string { return kindEvents }

func (f *sentEvents) encode(batch arrow.RecordBatch, _ string) ([]byte, error) {
	return appendLines(batch, "data: ")
}

func (f *sentEvents) rows(body []byte, _ *arrow.Schema, token string) error {
	if err := writeBody(f.out, body); err != nil {
		return err
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

// bodyBytes is how much is written at a time, for which a reader has its time.
const bodyBytes = 64 << 10

// writeBody writes what may be large.
func writeBody(out *bufio.Writer, body []byte) error {
	for part := range slices.Chunk(body, bodyBytes) {
		if _, err := out.Write(part); err != nil {
			return err
		}
	}
	return nil
}

// lineBytes is what a row is thought to take.
const lineBytes = 256

// appendLines writes rows as JSON objects, column by column in their order, each in a line behind a prefix.
func appendLines(batch arrow.RecordBatch, prefix string) ([]byte, error) {
	keys, err := keysOf(batch.Schema().Fields())
	if err != nil {
		return nil, err
	}
	o := objects{}
	rows := int(batch.NumRows())
	b := make([]byte, 0, rows*lineBytes)
	for row := range rows {
		b = append(append(b, prefix...), '{')
		for i, column := range batch.Columns() {
			if i > 0 {
				b = append(b, ',')
			}
			if b, err = o.cell(append(b, keys[i]...), column, row); err != nil {
				return nil, err
			}
		}
		b = append(b, "}\n"...)
	}
	return b, nil
}

// objects has the names of fields of structs, as JSON has them.
type objects map[arrow.DataType][][]byte

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
func (o objects) cell(b []byte, column arrow.Array, row int) ([]byte, error) {
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
func (o objects) fields(b []byte, c *array.Struct, row int) (_ []byte, err error) {
	kind := c.DataType().(*arrow.StructType)
	keys, known := o[kind]
	if !known {
		if keys, err = keysOf(kind.Fields()); err != nil {
			return nil, err
		}
		o[kind] = keys
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
