package decode

import (
	"errors"
	"fmt"
	"strings"
)

// Format is how the value of a record is written.
type Format string

// The formats that need no schema registry. Others are made by their own constructors.
const (
	FormatJSON Format = "json"
	FormatCSV  Format = "csv"
	FormatRaw  Format = "raw"
)

// TimeFormat says how a number in a date, time or timestamp column counts.
type TimeFormat string

// The time formats. ISO 8601 text is read whatever the format, since it cannot be mistaken.
const (
	// TimeAuto, the default, tells the unit of a timestamp by its magnitude: below 1e11 seconds,
	// below 1e14 milliseconds, below 1e17 microseconds, else nanoseconds. It reads no numbers
	// into time columns, which have no such gap.
	TimeAuto    TimeFormat = ""
	TimeISO     TimeFormat = "iso" // text only
	TimeSeconds TimeFormat = "s"
	TimeMillis  TimeFormat = "ms"
	TimeMicros  TimeFormat = "us"
	TimeNanos   TimeFormat = "ns"
)

// ParseTimeFormat reads the name of a time format as a table spec writes it; "auto" and "" are
// TimeAuto.
func ParseTimeFormat(text string) (TimeFormat, error) {
	switch format := TimeFormat(text); format {
	case TimeAuto, TimeISO, TimeSeconds, TimeMillis, TimeMicros, TimeNanos:
		return format, nil
	case "auto":
		return TimeAuto, nil
	}
	return "", fmt.Errorf("time format %q is unknown: write iso, s, ms, us, ns or auto", text)
}

// UnknownFields says what becomes of a field that no column takes.
type UnknownFields string

// The policies for unknown fields.
const (
	UnknownIgnore     UnknownFields = ""           // left out; its syntax is checked all the same
	UnknownDeadLetter UnknownFields = "deadletter" // the record fails with ClassUnknownField
	UnknownEvolve     UnknownFields = "evolve"     // the chunk ends in *EvolutionError
)

// DuplicateKeys says what becomes of an object that has the key of a column twice.
type DuplicateKeys string

// The policies for duplicate keys. Keys that no column takes may repeat.
const (
	DuplicateDeadLetter DuplicateKeys = "" // the column fails with ClassDuplicateKey
	DuplicateLast       DuplicateKeys = "last"
)

// ColumnOptions are the options of one column.
type ColumnOptions struct {
	// Path is where a JSON record holds the value of a top-level column: the names of the objects
	// it lies in, then its own. A field within a struct can only be renamed (one name). Empty is
	// the column's name.
	Path []string
	// Time is how numbers in a date, time or timestamp column count.
	Time TimeFormat
	// JSONText makes a string column take any JSON value as its text; without it only strings go
	// into string columns.
	JSONText bool
}

// ParsePath splits a dotted path ("payload.user.id"); a backslash before a dot keeps it in the name.
func ParsePath(text string) ([]string, error) {
	var path []string
	var name strings.Builder
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '\\' && i+1 < len(text):
			i++
			name.WriteByte(text[i])
		case text[i] == '.':
			path = append(path, name.String())
			name.Reset()
		default:
			name.WriteByte(text[i])
		}
	}
	path = append(path, name.String())
	for _, part := range path {
		if part == "" {
			return nil, fmt.Errorf("path %q has an empty name", text)
		}
	}
	return path, nil
}

// CSVOptions are the options of FormatCSV.
type CSVOptions struct {
	// Columns names the column of each place in a line; "" skips the place. Empty means the
	// schema's columns in order.
	Columns []string
	// Delimiter and Quote are one byte each; 0 means comma and double quote.
	Delimiter, Quote byte
	// Null is the text that stands for null when it is not quoted; empty by default.
	Null string
}

// Options say how a source's records become the rows of a table. The zero value of each is its
// default.
type Options struct {
	Format Format
	// Columns are the options of columns by dotted name; elements of a list are "tags.element",
	// of a map "attributes.key" and "attributes.value". A field within a column that has no
	// options of its own has the column's, but for the path.
	Columns map[string]ColumnOptions
	// StrictNumbers refuses numbers and booleans that are written as strings ("12", "true").
	StrictNumbers bool
	UnknownFields UnknownFields
	DuplicateKeys DuplicateKeys
	CSV           CSVOptions
	// Envelope says where change events hold their rows; the zero value is no envelope.
	Envelope Envelope
	// written is, by dotted name of column, what the writer's schema says of its values.
	written map[string]writtenAs
	// DepthMax is the deepest nesting of a document, RecordBytesMax the longest value. Zero means
	// DefaultDepthMax and DefaultRecordBytesMax.
	DepthMax, RecordBytesMax int
}

// DefaultDepthMax is far beyond what tables nest and far below what would strain a stack.
const DefaultDepthMax = 128

// DefaultRecordBytesMax lets the largest records pass that brokers are configured for in practice.
const DefaultRecordBytesMax = 64 << 20

// depthLimit bounds DepthMax: decoding recurses once a level.
const depthLimit = 10_000

func (o Options) withDefaults() Options {
	if o.DepthMax == 0 {
		o.DepthMax = DefaultDepthMax
	}
	if o.RecordBytesMax == 0 {
		o.RecordBytesMax = DefaultRecordBytesMax
	}
	if o.CSV.Delimiter == 0 {
		o.CSV.Delimiter = ','
	}
	if o.CSV.Quote == 0 {
		o.CSV.Quote = '"'
	}
	return o
}

func (o Options) validate() error {
	switch o.UnknownFields {
	case UnknownIgnore, UnknownDeadLetter, UnknownEvolve:
	default:
		return fmt.Errorf("policy %q for unknown fields: write ignore, deadletter or evolve", o.UnknownFields)
	}
	switch o.DuplicateKeys {
	case DuplicateDeadLetter, DuplicateLast:
	default:
		return fmt.Errorf("policy %q for duplicate keys: write deadletter or last", o.DuplicateKeys)
	}
	switch {
	case o.DepthMax < 1 || o.DepthMax > depthLimit:
		return fmt.Errorf("depth limit %d: must be 1 to %d", o.DepthMax, depthLimit)
	case o.RecordBytesMax < 1 || o.RecordBytesMax > chunkBytesMax:
		return fmt.Errorf("record size limit %d: must be 1 to %d", o.RecordBytesMax, chunkBytesMax)
	case o.CSV.Delimiter == o.CSV.Quote:
		return errors.New("csv delimiter and quote are the same byte")
	case o.CSV.Delimiter == '\n' || o.CSV.Delimiter == '\r' || o.CSV.Delimiter >= 0x80:
		return fmt.Errorf("csv delimiter %q: must be one ASCII character and no line break", o.CSV.Delimiter)
	}
	for name, column := range o.Columns {
		if _, err := ParseTimeFormat(string(column.Time)); err != nil {
			return fmt.Errorf("column %s: %w", name, err)
		}
	}
	return nil
}
