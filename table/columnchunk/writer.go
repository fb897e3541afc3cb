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
	// integers; DELTA_LENGTH_BYTE_ARRAY for strings and binaries, BYTE_STREAM_SPLIT for floats and
	// doubles, both only where they make pages no larger than PLAIN does.
	Values parquet.Encoding
	// Filter is the bloom filter of each chunk; booleans have none.
	Filter Filter
}

// Options say what a Writer writes. All but CreatedBy, Buffers and Trials are required.
type Options struct {
	// Schema is the Parquet schema; lists and maps have three levels.
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
	// Trials are those of the file before, if there was one; nil is none.
	Trials *Trials
}

const (
	magic = "PAR1"
	// openBytesMax bounds what the open pages of all columns hold together: with thousands of
	// columns the pages become smaller.
	openBytesMax  = 32 << 20
	pageBytesMin  = 16 << 10
	bytesPerEntry = 8 // of a page at its greatest number of entries
	formatVersion = parquet.V2_LATEST
)

// Writer writes one file. It belongs to one goroutine. After an error only Discard is of use.
type Writer struct {
	opts    Options
	sink    sink
	columns []column
	heap    heap
	work    *scratch   // while a row group is open
	memory  *columnSet // likewise, if it takes batch after batch
	footer  *metadata.FileMetaDataBuilder
	index   metadata.PageIndexBuilder
	rows    int64 // of the open row group
	groups  int16
	nans    []int64
	ended   bool
	// described are the chunks of the row group that is written.
	described []*metadata.ColumnChunkMetaDataBuilder
}

// addColumns makes the columns of the leaves below a node of the schema, in order.
func (w *Writer) addColumns(node schema.Node, above []step) error {
	group, ok := node.(*schema.GroupNode)
	if !ok {
		c, err := w.newColumn(w.opts.Schema.Column(len(w.columns)), above)
		w.columns = append(w.columns, c)
		return err
	}
	for i := range group.NumFields() {
		child := group.Field(i)
		next := step{field: i, optional: child.RepetitionType() == parquet.Repetitions.Optional,
			repeated: child.RepetitionType() == parquet.Repetitions.Repeated}
		if err := w.addColumns(child, append(above[:len(above):len(above)], next)); err != nil {
			return err
		}
	}
	return nil
}

func (w *Writer) newColumn(descr *schema.Column, steps []step) (column, error) {
	_, text := descr.LogicalType().(schema.StringLogicalType)
	pageBytes := min(w.opts.PageBytes, max(openBytesMax/w.opts.Schema.NumColumns(), pageBytesMin))
	c := column{
		descr: descr, name: descr.Path(), steps: steps, heap: &w.heap,
		signed: descr.SortOrder() == schema.SortSIGNED, text: text,
		greatest: int(descr.MaxDefinitionLevel()), repeats: int(descr.MaxRepetitionLevel()),
		encoding: w.opts.Columns[len(w.columns)],
		codec:    w.opts.Trials.column(len(w.columns), w.opts.Schema.NumColumns()),
		limits: limits{pageBytes: pageBytes, pageEntries: max(pageBytes/bytesPerEntry, 1),
			dictionaryBytes: min(w.opts.DictionaryBytes, pageBytes)},
	}
	var err error
	if c.kind, err = kindOf(descr); err != nil {
		return c, err
	}
	if c.width = c.kind.numberWidth(); c.kind == kindFixed {
		c.width = descr.TypeLength()
	}
	return c, c.checkEncoding()
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

// New begins a file in to, which gets few, large writes.
func New(to io.Writer, opts Options) (*Writer, error) {
	if got, want := len(opts.Columns), opts.Schema.NumColumns(); got != want {
		return nil, fmt.Errorf("new column writer: encodings of %d columns, the schema has %d", got, want)
	}
	if opts.RowGroupRows <= 0 || opts.PageBytes <= 0 || opts.DictionaryBytes < 0 {
		return nil, errors.New("new column writer: sizes of row groups, pages or dictionaries are missing")
	}
	if opts.Buffers == nil {
		opts.Buffers = new(Buffers)
	}
	if opts.Trials == nil {
		opts.Trials = new(Trials)
	}
	properties := parquet.NewWriterProperties(parquet.WithVersion(formatVersion),
		parquet.WithCreatedBy(opts.CreatedBy), parquet.WithCompression(compress.Codecs.Zstd))
	w := &Writer{
		opts: opts, sink: sink{to: to}, heap: heap{buffers: opts.Buffers},
		footer: metadata.NewFileMetadataBuilder(opts.Schema, properties, nil),
		index:  metadata.PageIndexBuilder{Schema: opts.Schema},
		nans:   make([]int64, len(opts.Columns)),
	}
	if err := w.addColumns(opts.Schema.Root(), nil); err != nil {
		return nil, fmt.Errorf("new column writer: %w", err)
	}
	if _, err := io.WriteString(&w.sink, magic); err != nil {
		return nil, err
	}
	return w, nil
}

// begin takes the memory of a row group, which EndRowGroup hands back.
func (w *Writer) begin() {
	w.work = w.opts.Buffers.takeScratch()
	w.memory = w.opts.Buffers.takeColumns(len(w.columns))
	for i := range w.columns {
		w.columns[i].begin(w.memory.columns[i], w.opts.Buffers)
	}
}

// letGo hands the memory of the open row group back, if there is one.
func (w *Writer) letGo() {
	if w.work == nil {
		return
	}
	for i := range w.columns {
		w.columns[i].end(w.opts.Buffers)
	}
	if w.memory != nil {
		w.opts.Buffers.giveColumns(w.memory)
		w.memory = nil
	}
	w.opts.Buffers.giveScratch(w.work)
	w.work = nil
}

// Write appends the rows of batch, whose columns are those of the schema. Row groups end as they are
// full.
func (w *Writer) Write(batch arrow.RecordBatch) error {
	rows := int(batch.NumRows())
	for from := 0; from < rows; {
		to := from + int(min(int64(rows-from), w.opts.RowGroupRows-w.rows))
		if w.work == nil {
			w.begin()
		}
		for i := range w.columns {
			if err := w.columns[i].appendRows(batch, from, to, w.work); err != nil {
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

// EndRowGroup writes the open row group out, if it has rows. Between row groups the file holds no memory
// to speak of.
func (w *Writer) EndRowGroup() error {
	if w.rows == 0 {
		return nil
	}
	return w.writeChunks(w.endChunk)
}

// writeChunks writes the row group, chunk after chunk.
func (w *Writer) writeChunks(write func(i int, described *metadata.ColumnChunkMetaDataBuilder) error) error {
	if err := w.index.AppendRowGroup(); err != nil {
		return err
	}
	group := w.footer.AppendRowGroup()
	w.described = w.described[:0]
	for i := range w.columns {
		w.described = append(w.described, group.NextColumnChunk())
		if err := write(i, w.described[i]); err != nil {
			return err
		}
	}
	for i := range w.columns {
		if c := &w.columns[i]; c.filter != nil {
			if err := w.writeFilter(c, w.described[i]); err != nil {
				return err
			}
		}
	}
	group.SetNumRows(int(w.rows))
	if err := group.Finish(0, w.groups); err != nil {
		return err
	}
	w.groups++
	w.rows = 0
	w.heap.drop()
	w.letGo()
	return nil
}

// GroupBytes is the size of the finished pages of the open row group.
func (w *Writer) GroupBytes() int64 {
	return int64(w.heap.size)
}

// HeldBytes is about the memory that the file holds: finished pages, and the room of open ones whether
// it is used or not.
func (w *Writer) HeldBytes() int64 {
	size := w.heap.heldBytes()
	if w.work == nil {
		return size
	}
	for i := range w.columns {
		size += w.columns[i].heldBytes()
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
	w.heap.drop()
	w.letGo()
}
