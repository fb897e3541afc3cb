package columnchunk

import (
	"errors"
	"fmt"
	"io"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/apache/arrow-go/v18/parquet/metadata"
	"github.com/apache/arrow-go/v18/parquet/schema"
)

// Encoding is how the values of a column are stored.
type Encoding struct {
	// Dictionary says to number the values until the dictionary is full.
	Dictionary bool
	// Values is how values are stored without a dictionary: PLAIN, DELTA_BINARY_PACKED for
	// integers, DELTA_LENGTH_BYTE_ARRAY for strings and binaries.
	Values parquet.Encoding
}

// Options say what a Writer writes. All but CreatedBy and Buffers are required.
type Options struct {
	// Schema is the Parquet schema, one that Supports accepts.
	Schema *schema.Schema
	// Columns are the encodings of the leaf columns, in the schema's order.
	Columns []Encoding
	// CreatedBy names the program in the footer: "name version x.y.z", which readers take apart.
	CreatedBy string
	// RowGroupRows ends a row group.
	RowGroupRows int64
	// PageBytes ends a page, by the size of its values in PLAIN; one value may be larger.
	PageBytes int
	// DictionaryBytes is the largest dictionary, in PLAIN.
	DictionaryBytes int
	// Buffers lend the memory; nil is memory of its own.
	Buffers *Buffers
}

const (
	magic = "PAR1"
	// openBytesMax bounds what the open pages of all columns hold together: with thousands of
	// columns the pages become smaller.
	openBytesMax  = 64 << 20
	pageBytesMin  = 16 << 10
	bytesPerRow   = 8 // of a page at its greatest number of rows
	formatVersion = parquet.V2_LATEST
)

// Writer writes one file. It belongs to one goroutine. After an error only Discard is of use.
type Writer struct {
	opts    Options
	sink    sink
	columns []column
	heap    heap
	work    *scratch
	footer  *metadata.FileMetaDataBuilder
	index   metadata.PageIndexBuilder
	rows    int64 // of the open row group
	groups  int16
	nans    []int64
	ended   bool
}

// sink counts what is written, as offsets are from the begin of the file.
type sink struct {
	to io.Writer
	at int64
}

// Write passes p on.
func (s *sink) Write(p []byte) (int, error) {
	n, err := s.to.Write(p)
	s.at += int64(n)
	return n, err
}

// Tell is the number of bytes written.
func (s *sink) Tell() int64 { return s.at }

// Supports says what keeps files of a schema from being written here; nil is nothing.
func Supports(columns *schema.Schema) error {
	for i := range columns.NumColumns() {
		column := columns.Column(i)
		if _, err := kindOf(column); err != nil {
			return err
		}
	}
	return nil
}

// New begins a file in to, which gets few, large writes.
func New(to io.Writer, opts Options) (*Writer, error) {
	if err := Supports(opts.Schema); err != nil {
		return nil, fmt.Errorf("new column writer: %w", err)
	}
	if got, want := len(opts.Columns), opts.Schema.NumColumns(); got != want {
		return nil, fmt.Errorf("new column writer: encodings of %d columns, the schema has %d", got, want)
	}
	if opts.RowGroupRows <= 0 || opts.PageBytes <= 0 || opts.DictionaryBytes < 0 {
		return nil, errors.New("new column writer: sizes of row groups, pages or dictionaries are missing")
	}
	if opts.Buffers == nil {
		opts.Buffers = new(Buffers)
	}
	w := &Writer{opts: opts, sink: sink{to: to}, nans: make([]int64, len(opts.Columns)),
		footer: metadata.NewFileMetadataBuilder(opts.Schema, parquet.NewWriterProperties(
			parquet.WithVersion(formatVersion), parquet.WithCreatedBy(opts.CreatedBy),
			parquet.WithCompression(compress.Codecs.Zstd)), nil),
		index: metadata.PageIndexBuilder{Schema: opts.Schema},
	}
	w.heap.buffers = opts.Buffers
	w.columns = w.newColumns()
	for i := range w.columns {
		if err := w.columns[i].checkEncoding(); err != nil {
			return nil, fmt.Errorf("new column writer: %w", err)
		}
	}
	if _, err := io.WriteString(&w.sink, magic); err != nil {
		return nil, err
	}
	w.work = opts.Buffers.takeScratch()
	for i := range w.columns {
		w.columns[i].begin(opts.Buffers.takeStorage())
	}
	return w, nil
}

func (w *Writer) newColumns() []column {
	columns := make([]column, 0, w.opts.Schema.NumColumns())
	pageBytes := min(w.opts.PageBytes, max(openBytesMax/w.opts.Schema.NumColumns(), pageBytesMin))
	var visit func(node schema.Node, above []step)
	visit = func(node schema.Node, above []step) {
		if group, ok := node.(*schema.GroupNode); ok {
			for i := range group.NumFields() {
				child := group.Field(i)
				next := step{field: i, optional: child.RepetitionType() == parquet.Repetitions.Optional,
					repeated: child.RepetitionType() == parquet.Repetitions.Repeated}
				visit(child, append(above[:len(above):len(above)], next))
			}
			return
		}
		descr := w.opts.Schema.Column(len(columns))
		kind, _ := kindOf(descr) // Supports has seen it
		_, text := descr.LogicalType().(schema.StringLogicalType)
		c := column{descr: descr, name: descr.Path(), kind: kind, width: kind.numberWidth(),
			signed: descr.SortOrder() == schema.SortSIGNED, text: text, steps: above,
			heap: &w.heap, greatest: int(descr.MaxDefinitionLevel()), repeats: int(descr.MaxRepetitionLevel()), encoding: w.opts.Columns[len(columns)],
			limits: limits{pageBytes: pageBytes, pageRows: max(pageBytes/bytesPerRow, 1),
				dictionaryBytes: min(w.opts.DictionaryBytes, pageBytes)}}
		if kind == kindFixed {
			c.width = descr.TypeLength()
		}
		columns = append(columns, c)
	}
	visit(w.opts.Schema.Root(), nil)
	return columns
}

// Write appends the rows of batch, whose columns are those of the schema. Row groups end as they are
// full.
func (w *Writer) Write(batch arrow.RecordBatch) error {
	rows := int(batch.NumRows())
	for from := 0; from < rows; {
		to := from + int(min(int64(rows-from), w.opts.RowGroupRows-w.rows))
		for i := range w.columns {
			c := &w.columns[i]
			if err := w.work.source.read(c, batch, w.work); err != nil {
				return err
			}
			first, end := w.work.source.span(from, to)
			if err := c.append(&w.work.source, first, end, w.work); err != nil {
				return err
			}
		}
		w.rows += int64(to - from)
		from = to
		if w.rows == w.opts.RowGroupRows {
			if err := w.EndRowGroup(); err != nil {
				return err
			}
		}
	}
	return nil
}

// EndRowGroup writes the open row group out, if it has rows.
func (w *Writer) EndRowGroup() error {
	if w.rows == 0 {
		return nil
	}
	if err := w.index.AppendRowGroup(); err != nil {
		return err
	}
	group := w.footer.AppendRowGroup()
	for i := range w.columns {
		if err := w.endChunk(i, group.NextColumnChunk()); err != nil {
			return err
		}
	}
	group.SetNumRows(int(w.rows))
	if err := group.Finish(0, w.groups); err != nil {
		return err
	}
	w.groups++
	w.rows = 0
	w.heap.drop()
	return nil
}

// GroupBytes is the size of the finished pages of the open row group.
func (w *Writer) GroupBytes() int64 {
	return int64(w.heap.size)
}

// HeldBytes is about the memory that the file holds.
func (w *Writer) HeldBytes() int64 {
	size := int64(w.heap.size)
	for i := range w.columns {
		c := &w.columns[i]
		size += int64(len(c.values) + len(c.levels) + len(c.repeatLevels) + 4*len(c.lengths) + 4*len(c.indexes))
	}
	return size
}

// Close ends the file and returns its footer. It hands the memory back also when it fails.
func (w *Writer) Close() (*metadata.FileMetaData, error) {
	defer w.Discard()
	if err := w.EndRowGroup(); err != nil {
		return nil, err
	}
	return w.writeFooter()
}

// NaNs are the numbers of NaNs in the leaf columns, in the schema's order.
func (w *Writer) NaNs() []int64 { return w.nans }

// Discard hands the memory back. It is needed only without Close and may be called again.
func (w *Writer) Discard() {
	if w.ended {
		return
	}
	w.ended = true
	for i := range w.columns {
		w.opts.Buffers.giveStorage(w.columns[i].storage)
		w.columns[i].storage = nil
	}
	w.heap.drop()
	w.opts.Buffers.giveScratch(w.work)
	w.work = nil
}
