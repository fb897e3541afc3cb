package backfill

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/ingest/decode"
	"github.com/firthlake/firth/ingest/source"
)

// The rows of a batch of text: enough for the decoder to be fast, and little memory.
const (
	textRowsMax  = 4096
	textBytesMax = 4 << 20
)

// textReader reads lines of JSON or CSV with the decoder of the stream.
type textReader struct {
	*lines
	decoder decode.Decoder
	names   map[int]string // of columns, by field id
	skip    bool           // empty lines are no rows
	chunk   source.Chunk
	ends    []int
}

func (o *opener) openText(ctx context.Context, format string, in *lines) (reader, error) {
	in.buffer = bufio.NewReaderSize(in.from, 256<<10)
	options := decode.Options{Format: decode.Format(format), UnknownFields: decode.UnknownDeadLetter}
	var err error
	if format == "csv" {
		in.quotes = true
		err = o.csvOptions(&options, in)
	} else {
		err = o.jsonOptions(&options)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", in.location, err)
	}
	plan, err := decode.NewPlan(o.schema, options)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %w", in.location, err, ErrSource)
	}
	r := &textReader{lines: in, decoder: plan.NewDecoder(memory.DefaultAllocator), names: map[int]string{},
		skip: format != "csv" || len(options.CSV.Columns) > 1}
	for _, field := range o.schema.Fields() {
		r.names[field.ID] = field.Name
	}
	r.chunk.TopicPartition = commit.TopicPartition{Cluster: "file", Topic: in.location}
	return r, ctx.Err()
}

// csvOptions names the columns by the first line.
func (o *opener) csvOptions(options *decode.Options, in *lines) error {
	header, err := in.next(nil)
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("it is empty, and its first line must name the columns: %w", ErrSource)
	}
	if err != nil {
		return err
	}
	var names []string
	for name := range strings.SplitSeq(strings.TrimPrefix(string(header), "\ufeff"), ",") {
		names = append(names, strings.Trim(strings.TrimSpace(name), `"`))
	}
	places, err := o.mapping.fit(o.schema, names)
	if err != nil {
		return err
	}
	options.UnknownFields = decode.UnknownIgnore
	options.Columns = map[string]decode.ColumnOptions{}
	options.CSV.Columns = make([]string, len(names))
	for i, field := range o.schema.Fields() {
		if places[i] >= 0 {
			options.CSV.Columns[places[i]] = field.Name
		}
		if format := o.columns[field.Name].Time; format != "" {
			options.Columns[field.Name] = decode.ColumnOptions{Time: format}
		}
	}
	return nil
}

// jsonOptions leads to the members that the mapping names. What else a document holds is found row by row.
func (o *opener) jsonOptions(options *decode.Options) error {
	options.Columns = maps.Clone(o.columns)
	if options.Columns == nil {
		options.Columns = map[string]decode.ColumnOptions{}
	}
	for name, dropped := range o.mapping.dropped {
		if dropped {
			return fmt.Errorf("--map -%s: members of JSON are known row by row; leave all out that the table does not"+
				" have with --map '-*': %w", name, ErrSource)
		}
	}
	if o.mapping.rest {
		options.UnknownFields = decode.UnknownIgnore
	}
	for column, from := range o.mapping.sources {
		if _, ok := o.schema.FindFieldByName(column); !ok || strings.HasPrefix(column, reserved) {
			return fmt.Errorf("--map %s=%s: the table has no column %s that a file fills: %w", column, from, column,
				ErrSource)
		}
		parts, err := decode.ParsePath(from)
		if err != nil {
			return fmt.Errorf("--map %s=%s: %w", column, from, err)
		}
		each := options.Columns[column]
		each.Path = parts
		options.Columns[column] = each
	}
	return nil
}

// next implements reader.
func (r *textReader) next(ctx context.Context) (arrow.RecordBatch, error) {
	first := r.rows
	if err := r.gather(); err != nil {
		return nil, err
	}
	r.chunk.From, r.chunk.Next = commit.Offset(first), commit.Offset(r.rows)
	decoded, err := r.decoder.Decode(ctx, &r.chunk)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.location, err)
	}
	if len(decoded.Failures) == 0 {
		return decoded.Batch, nil
	}
	decoded.Batch.Release()
	f := decoded.Failures[0]
	message := f.Message
	if name := r.names[f.FieldID]; name != "" && !strings.Contains(message, name) {
		message = name + ": " + message
	}
	hint := ""
	if f.Class == decode.ClassUnknownField {
		hint = "; say with --map COLUMN=MEMBER where it goes, or leave all such out with --map '-*'"
	}
	return nil, fmt.Errorf("%s: row %d: %s (%s)%s: %w", r.location, first+int64(f.Row)+1, message, f.Class, hint,
		ErrSource)
}

// gather reads the lines of a batch.
func (r *textReader) gather() error {
	arena := make([]byte, 0, textBytesMax/8)
	r.ends = r.ends[:0]
	for len(r.ends) < textRowsMax && len(arena) < textBytesMax {
		before := len(arena)
		var err error
		if arena, err = r.lines.next(arena); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return err
		}
		if r.skip && len(bytes.TrimSpace(arena[before:])) == 0 {
			arena = arena[:before]
			continue
		}
		r.ends = append(r.ends, len(arena))
	}
	if len(r.ends) == 0 {
		return io.EOF
	}
	r.chunk.Records = r.chunk.Records[:0]
	from := 0
	for _, end := range r.ends {
		r.chunk.Records = append(r.chunk.Records, source.Record{Value: arena[from:end:end],
			Offset: commit.Offset(r.rows)})
		r.rows++
		from = end
	}
	return nil
}

func (r *textReader) consumed() int64 { return r.counted.bytes.Load() }

func (r *textReader) close() {
	r.decoder.Close()
	r.from.Close()
	_ = r.counted.Close() // it was read only
}

// lines cuts a text into lines. A line of CSV ends where no quote is open.
type lines struct {
	from     unpacked
	location string
	counted  *counter
	buffer   *bufio.Reader
	quotes   bool
	rows     int64
}

// next appends the next line to dst, without its end, or returns io.EOF.
func (l *lines) next(dst []byte) ([]byte, error) {
	start, open := len(dst), false
	for {
		part, err := l.buffer.ReadSlice('\n')
		dst = append(dst, part...)
		if l.quotes && bytes.Count(part, []byte{'"'})%2 == 1 {
			open = !open
		}
		switch {
		case len(dst)-start > decode.DefaultRecordBytesMax:
			return dst, fmt.Errorf("%s: row %d: longer than %d bytes: it is no text of lines: %w", l.location, l.rows+1,
				decode.DefaultRecordBytesMax, ErrSource)
		case errors.Is(err, bufio.ErrBufferFull), err == nil && open:
		case err == nil, errors.Is(err, io.EOF) && len(dst) > start:
			return bytes.TrimSuffix(bytes.TrimSuffix(dst, []byte("\n")), []byte("\r")), nil
		case errors.Is(err, io.EOF):
			return dst, io.EOF
		default:
			return dst, fmt.Errorf("%s: behind row %d: %w: %w", l.location, l.rows, err, ErrSource)
		}
	}
}
