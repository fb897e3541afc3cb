package table

import (
	"fmt"
	"math"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	"github.com/apache/arrow-go/v18/parquet/schema"
	"github.com/apache/iceberg-go"

	"github.com/firthlake/firth/table/columnchunk"
)

// Profile says which Parquet encodings the readers of a table know.
type Profile string

const (
	// ProfileDeltaInt adds DELTA_BINARY_PACKED for integers, dates and timestamps: read by all
	// engines of 2025 and later, smaller and cheaper on both sides.
	ProfileDeltaInt Profile = "deltaint"
	// ProfileSafe is PLAIN and dictionaries only. Iceberg's vectorised readers before 1.10 need it.
	ProfileSafe Profile = "safe"
	// ProfileModern adds DELTA_LENGTH_BYTE_ARRAY for strings and BYTE_STREAM_SPLIT for floats and
	// doubles, each where it pays. Iceberg's vectorised readers before 1.11 cannot read them, nor can
	// Spark's own the second one.
	ProfileModern Profile = "modern"
)

// ParquetOptions are the choices of Writer about its files. The zero value means the defaults.
type ParquetOptions struct {
	// Profile is ProfileDeltaInt by default.
	Profile Profile
	// FileBytesTarget is the size at which a file is closed and the next one begun, measured on
	// compressed bytes; 512 MiB by default.
	FileBytesTarget int64
	// RowGroupRows and RowGroupBytes (compressed) end a row group; 1,048,576 and 64 MiB by
	// default.
	RowGroupRows  int64
	RowGroupBytes int64
}

const (
	fileBytesTargetDefault = 512 << 20
	rowGroupRowsDefault    = 1 << 20
	// A row group is held in memory until it ends; events10 takes 50 MB a million rows.
	rowGroupBytesDefault = 64 << 20

	// 64 KB pages cost 17 % of speed and half a byte a row against 1 MB.
	pageBytes = 1 << 20
	// A dictionary that outgrows this (4,096 strings of 64 bytes) falls back to plain values.
	dictionaryBytesMax = 256 << 10
	// Dictionary only where a sample has at most half distinct values. As a default it costs
	// wide tables two thirds of the speed.
	sampleRows        = 1024
	sampleDistinctMax = sampleRows / 2
)

func (o ParquetOptions) withDefaults() (ParquetOptions, error) {
	if o.Profile == "" {
		o.Profile = ProfileDeltaInt
	}
	if o.FileBytesTarget == 0 {
		o.FileBytesTarget = fileBytesTargetDefault
	}
	if o.RowGroupRows == 0 {
		o.RowGroupRows = rowGroupRowsDefault
	}
	if o.RowGroupBytes == 0 {
		o.RowGroupBytes = rowGroupBytesDefault
	}
	switch {
	case o.Profile != ProfileDeltaInt && o.Profile != ProfileSafe && o.Profile != ProfileModern:
		return o, fmt.Errorf("reader profile %q is unknown: use %s, %s or %s",
			o.Profile, ProfileDeltaInt, ProfileSafe, ProfileModern)
	case o.FileBytesTarget < 0 || o.RowGroupRows < 0 || o.RowGroupBytes < 0:
		return o, fmt.Errorf("sizes of files and row groups must be positive: %+v", o)
	}
	return o, nil
}

// createdBy stands in footers. Readers take apart a name and a version of this form; the version is
// that of how files are written.
const createdBy = "firth version 0.1.0"

// layout is how the files of one writer look: the Parquet schema, its leaf columns and, once rows
// have been sampled, the encoding of each. It does not change after that.
type layout struct {
	schema    *arrow.Schema  // of the batches
	columns   *schema.Schema // of the files
	leaves    []leaf
	options   ParquetOptions
	encodings []columnchunk.Encoding // by leaf; nil until they are chosen
	buffers   *columnchunk.Buffers
	placed    Placed // nil when batches have no tags
}

// leaf is one column of the Parquet file.
type leaf struct {
	path     string
	fieldID  int
	typ      iceberg.PrimitiveType
	repeated bool // inside a list or map
	bounds   bool // lower and upper bounds are kept
	filter   columnchunk.Filter
}

// boundColumnsMax is how many leaf columns get bounds; those after it get counts. It is Iceberg's
// own default (write.metadata.metrics.max-inferred-column-defaults).
const boundColumnsMax = 100

func newLayout(opts *WriterOptions) (*layout, error) {
	source := opts.Schema
	arrowSchema, err := ArrowSchema(source)
	if err != nil {
		return nil, err
	}
	columns, err := pqarrow.ToParquet(fileSchema(arrowSchema, source), parquet.NewWriterProperties(
		parquet.WithVersion(parquet.V2_LATEST), parquet.WithStoreDecimalAsInteger(true),
		parquet.WithRootName("table")), pqarrow.DefaultWriterProps())
	if err != nil {
		return nil, fmt.Errorf("parquet schema: %w", err)
	}
	l := &layout{
		schema: arrowSchema, columns: columns, options: opts.Parquet, buffers: new(columnchunk.Buffers),
		placed: opts.Placed,
	}
	if l.placed != nil {
		l.schema = WithTags(arrowSchema)
	}
	for i := range columns.NumColumns() {
		column := columns.Column(i)
		id := int(column.SchemaNode().FieldID())
		typ, ok := source.FindTypeByID(id)
		primitive, isPrimitive := typ.(iceberg.PrimitiveType)
		if !ok || !isPrimitive {
			return nil, fmt.Errorf("parquet column %s has no field of the schema", column.Path())
		}
		var filter columnchunk.Filter
		if name, ok := source.FindColumnName(id); ok && filterable(typ) {
			if filter, err = filterOf(opts.Properties, name); err != nil {
				return nil, err
			}
		}
		l.leaves = append(l.leaves, leaf{
			path: column.Path(), fieldID: id, typ: primitive,
			repeated: column.MaxRepetitionLevel() > 0,
			bounds:   column.MaxRepetitionLevel() == 0 && i < boundColumnsMax,
			filter:   filter,
		})
	}
	return l, nil
}

// chooseEncodings settles the encoding of each column by the first rows of sample.
func (l *layout) chooseEncodings(sample []arrow.RecordBatch) {
	distinct := make([]counter, len(l.leaves))
	rows := 0
	for _, batch := range sample {
		take := min(int(batch.NumRows()), sampleRows-rows)
		if take <= 0 {
			break
		}
		rows += take
		slice := batch.NewSlice(0, int64(take))
		at := 0
		for _, column := range l.stored(slice) {
			visitLeaves(column, func(values arrow.Array) {
				distinct[at].add(values)
				at++
			})
		}
		slice.Release()
	}
	l.encodings = make([]columnchunk.Encoding, len(l.leaves))
	for i, leaf := range l.leaves {
		l.encodings[i] = l.encode(leaf, distinct[i])
	}
}

func (l *layout) encode(leaf leaf, sample counter) columnchunk.Encoding {
	encoding := columnchunk.Encoding{Values: parquet.Encodings.Plain, Filter: leaf.filter}
	switch t := leaf.typ.(type) {
	case iceberg.BooleanType:
		return encoding
	case iceberg.Int32Type, iceberg.Int64Type, iceberg.DateType, iceberg.TimeType,
		iceberg.TimestampType, iceberg.TimestampTzType,
		iceberg.TimestampNsType, iceberg.TimestampTzNsType:
		if l.options.Profile != ProfileSafe {
			encoding.Values = parquet.Encodings.DeltaBinaryPacked
		}
	case iceberg.DecimalType:
		if l.options.Profile != ProfileSafe && t.Precision() <= 18 {
			encoding.Values = parquet.Encodings.DeltaBinaryPacked
		}
	case iceberg.StringType, iceberg.BinaryType:
		if l.options.Profile == ProfileModern {
			encoding.Values = parquet.Encodings.DeltaLengthByteArray
		}
	case iceberg.Float32Type, iceberg.Float64Type:
		if l.options.Profile == ProfileModern {
			encoding.Values = parquet.Encodings.ByteStreamSplit
		}
	}
	encoding.Dictionary = sample.values >= 8 && len(sample.seen)*2 <= sample.values
	return encoding
}

// counter counts the distinct values of a sample, up to the number that decides.
type counter struct {
	values int
	seen   map[uint64]struct{}
}

func (c *counter) add(values arrow.Array) {
	if c.seen == nil {
		c.seen = make(map[uint64]struct{}, 64)
	}
	for i := range min(values.Len(), sampleRows-c.values) {
		if values.IsNull(i) {
			continue
		}
		c.values++
		if len(c.seen) <= sampleDistinctMax {
			c.seen[sampleHash(values, i)] = struct{}{}
		}
	}
}

func sampleHash(values arrow.Array, i int) uint64 {
	switch a := values.(type) {
	case *array.Int32:
		return uint64(a.Value(i))
	case *array.Int64:
		return uint64(a.Value(i))
	case *array.Date32:
		return uint64(a.Value(i))
	case *array.Time64:
		return uint64(a.Value(i))
	case *array.Timestamp:
		return uint64(a.Value(i))
	case *array.Float32:
		return uint64(math.Float32bits(a.Value(i)))
	case *array.Float64:
		return math.Float64bits(a.Value(i))
	case *array.Decimal128:
		v := a.Value(i)
		return v.LowBits() ^ mix(uint64(v.HighBits())+highSeed)
	case *array.String:
		return hashText(a.Value(i))
	case *array.Binary:
		return hashText(a.ValueString(i))
	case *array.FixedSizeBinary:
		return hashText(string(a.Value(i)))
	}
	return uint64(i)
}

// visitLeaves calls visit for each leaf of a column in the order of Parquet's columns.
func visitLeaves(column arrow.Array, visit func(values arrow.Array)) {
	switch a := column.(type) {
	case *array.Struct:
		for i := range a.NumField() {
			visitLeaves(a.Field(i), visit)
		}
	case *array.Map:
		first, last := valueRange(a)
		visitElements(a.Keys(), first, last, visit)
		visitElements(a.Items(), first, last, visit)
	case *array.List:
		first, last := valueRange(a)
		visitElements(a.ListValues(), first, last, visit)
	case array.ExtensionArray:
		visitLeaves(a.Storage(), visit)
	default:
		visit(column)
	}
}

func visitElements(values arrow.Array, first, last int, visit func(values arrow.Array)) {
	slice := array.NewSlice(values, int64(first), int64(last))
	defer slice.Release()
	visitLeaves(slice, visit)
}
