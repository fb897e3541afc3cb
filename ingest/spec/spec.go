package spec

import (
	"strconv"
	"time"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/ingest/decode"
	"github.com/firthlake/firth/ingest/spec/document"
	"github.com/firthlake/firth/table"
)

// Spec is the description of one table. Parse makes it; it is not changed afterwards.
type Spec struct {
	// Name is the dotted name of the table: namespaces and, last, its own name.
	Name   string `yaml:"name"`
	Schema Schema `yaml:"schema"`
	// Partition holds terms such as "day(ts)", "bucket(16, user_id)" or plain "country".
	Partition []string `yaml:"partition,omitempty"`
	// Sort holds terms such as "ts desc nulls last".
	Sort []string `yaml:"sort,omitempty"`
	// Identifier names the columns that tell rows apart: the table then has at most one row for their
	// values, and later versions of a row take its place.
	Identifier []string `yaml:"identifier,omitempty"`
	// Sequence names the columns that put versions of a row in order, the first one first; without any
	// the order of arrival does.
	Sequence []string `yaml:"sequence,omitempty"`
	// Merge says what becomes of several versions; empty is last.
	Merge Merge `yaml:"merge,omitempty"`
	// ColumnGroups are for merge partial: columns with a sequence of their own.
	ColumnGroups []ColumnGroup `yaml:"column_groups,omitempty"`
	// Aggregate is for merge aggregate: functions by column.
	Aggregate map[string]Function `yaml:"aggregate,omitempty"`
	Delete    Delete              `yaml:"delete,omitempty"`
	// Changelog writes the changes of a keyed table to another.
	Changelog   Changelog       `yaml:"changelog,omitempty"`
	Sources     []Source        `yaml:"sources,omitempty"`
	Freshness   Freshness       `yaml:"freshness,omitempty"`
	Format      FormatVersion   `yaml:"format_version,omitempty"`
	Evolution   Evolution       `yaml:"evolution,omitempty"`
	DeadLetters DeadLetters     `yaml:"dead_letters,omitempty"`
	Metadata    MetadataColumns `yaml:"metadata_columns,omitempty"`
	Retention   Retention       `yaml:"retention,omitempty"`
	// ReaderProfile is "standard"; "wide" is for older engines, without deletion vectors and with
	// the oldest encodings alone; "modern" is for the newest, with all encodings.
	ReaderProfile string            `yaml:"reader_profile,omitempty"`
	Properties    map[string]string `yaml:"properties,omitempty"`

	file  string
	lines document.Lines
}

// Schema says where the columns come from: written out, from a registry subject, or from a sample.
type Schema struct {
	Columns []Column `yaml:"columns,omitempty"`
	Subject string   `yaml:"subject,omitempty"`
}

// Column is one top-level column.
type Column struct {
	Name string `yaml:"name"`
	// Type is in Iceberg's notation: long, decimal(12, 2), list<string>, struct<a: int, b: date>.
	Type     string `yaml:"type"`
	Required bool   `yaml:"required,omitempty"`
	Doc      string `yaml:"doc,omitempty"`
	// Path leads to the value in the record ("payload.user.id"); empty means the name.
	Path string `yaml:"path,omitempty"`
	// Event leads to the value in a change event, outside of the row ("source.ts_ms").
	Event string `yaml:"event,omitempty"`
	// Format is how a number in a date or time column counts: s, ms, us, ns; iso is text only.
	// Empty tells the unit by the magnitude.
	Format string `yaml:"format,omitempty"`
	// JSONText makes a string column take any JSON value, as its text.
	JSONText bool `yaml:"json_text,omitempty"`
	// Previous are names the column had before, newest first; they make a rename out of what
	// would be a drop and an add.
	Previous []string `yaml:"previous,omitempty"`
}

// Source is one feed of the table: topics of a cluster, and how their records are read.
type Source struct {
	Cluster string   `yaml:"cluster,omitempty"`
	Topics  []string `yaml:"topics,omitempty"`
	// Pattern is a regular expression (RE2) that a whole topic name must match.
	Pattern  string            `yaml:"pattern,omitempty"`
	Format   string            `yaml:"format,omitempty"`
	Options  map[string]string `yaml:"options,omitempty"`
	Envelope string            `yaml:"envelope,omitempty"`
	// Input are columns that are decoded for the transform and that the table does not have.
	Input []Column `yaml:"input,omitempty"`
	// Transform computes columns: "select *, upper(country) as country from rows".
	Transform string `yaml:"transform,omitempty"`
	// Filter keeps the rows for which it is true; the others are counted as filtered.
	Filter string `yaml:"filter,omitempty"`
	// Start is where a topic partition begins that the table does not know: earliest, latest,
	// or a time in RFC 3339.
	Start string `yaml:"start,omitempty"`
}

// Freshness is when a checkpoint is cut: whichever comes first.
type Freshness struct {
	Interval Duration `yaml:"interval,omitempty"`
	// IntervalMax is how far the interval is stretched while small files pile up for compaction; empty is six
	// times the interval, and the interval itself is never.
	IntervalMax Duration `yaml:"interval_max,omitempty"`
	Rows        int64    `yaml:"rows,omitempty"`
	Bytes       Size     `yaml:"bytes,omitempty"`
}

// FormatVersion is the Iceberg format version; 0 is auto: 3 for keyed tables, unless their readers are
// wide, and where a column needs it, else 2.
type FormatVersion int

// Action is what a policy of evolution does.
type Action string

// The actions of evolution policies.
const (
	Apply      Action = "apply"
	Refuse     Action = "refuse"
	Ignore     Action = "ignore"
	Evolve     Action = "evolve"
	DeadLetter Action = "deadletter"
)

// Evolution says how far the table follows its writers while it runs.
type Evolution struct {
	Add   Action `yaml:"add,omitempty"`
	Widen Action `yaml:"widen,omitempty"`
	Relax Action `yaml:"relax,omitempty"`
	// UnknownFields: ignore, evolve or deadletter.
	UnknownFields Action `yaml:"unknown_fields,omitempty"`
}

// Policy is what becomes of a record that cannot be a row.
type Policy string

// The policies for bad records.
const (
	Quarantine Policy = "quarantine" // to the dead-letter table
	Skip       Policy = "skip"       // dropped, counted as skipped
	Suspend    Policy = "suspend"    // the table stops until a person acts
)

// DeadLetters is the policy per class of failure and the budget beyond which the table suspends.
type DeadLetters struct {
	Default Policy                  `yaml:"default,omitempty"`
	Classes map[decode.Class]Policy `yaml:"classes,omitempty"`
	Budget  Budget                  `yaml:"budget,omitempty"`
}

// Budget suspends a table when more than Ratio of the records of Window were dead letters. A zero
// Ratio is no budget.
type Budget struct {
	Ratio  float64  `yaml:"ratio,omitempty"`
	Window Duration `yaml:"window,omitempty"`
}

// PolicyOf is the policy for a class of failure.
func (d DeadLetters) PolicyOf(class decode.Class) Policy {
	if p, ok := d.Classes[class]; ok {
		return p
	}
	return d.Default
}

// MetadataColumns says which of the record's coordinates become columns.
type MetadataColumns struct {
	Topic     bool `yaml:"topic"`
	Partition bool `yaml:"partition"`
	Offset    bool `yaml:"offset"`
	Timestamp bool `yaml:"timestamp"`
	Key       bool `yaml:"key"`
	Headers   bool `yaml:"headers"`
}

// Retention is how much history the table keeps, and how long it keeps rows.
type Retention struct {
	// Rows says when rows are too old; without a column they never are.
	Rows RowRetention `yaml:"rows,omitempty"`
	// Snapshots is how many snapshots are kept, at most 500.
	Snapshots int `yaml:"snapshots,omitempty"`
	// Orphans is how long objects that nothing needs stay once they were seen; 0 keeps them for ever.
	Orphans Duration `yaml:"orphans,omitempty"`
}

// RowRetention takes rows out of the table once a column's time lies so far back.
type RowRetention struct {
	Column string   `yaml:"column,omitempty"`
	After  Duration `yaml:"after,omitempty"`
}

// Age is what the retention says to who expires rows; it is zero when they stay.
func (r RowRetention) Age() commit.RowAge {
	return commit.RowAge{Column: r.Column, After: time.Duration(r.After)}
}

// Duration is a time span written as Go does, or in days: 10s, 5m, 1h30m, 30d.
type Duration time.Duration

// Size is a number of bytes, written as 128MiB, 1GB or plain digits.
type Size int64

// The defaults of a spec, and the bounds that Validate holds them to.
const (
	intervalDefault = 10 * time.Second
	intervalMin     = 100 * time.Millisecond
	intervalMax     = time.Hour
	orphansMin      = time.Hour // a checkpoint may take as long
	// intervalStretch is IntervalMax in intervals, where it is not given.
	intervalStretch  = 6
	rowAgeMin        = time.Hour
	rowsDefault      = 5_000_000
	bytesDefault     = 256 << 20
	snapshotsDefault = 50
	// snapshotsMax keeps the metadata file, which every commit writes anew, at half a megabyte: a
	// snapshot takes 1.1 KB of it.
	snapshotsMax = 500
)

// Default returns a spec with every default in place and neither name, columns nor sources.
func Default() Spec {
	return Spec{
		Freshness: Freshness{Interval: Duration(intervalDefault), Rows: rowsDefault, Bytes: bytesDefault},
		Evolution: Evolution{Add: Apply, Widen: Apply, Relax: Apply, UnknownFields: Ignore},
		DeadLetters: DeadLetters{
			Default: Quarantine,
			Budget:  Budget{Window: Duration(5 * time.Minute)},
		},
		Metadata:      MetadataColumns{Topic: true, Partition: true, Offset: true, Timestamp: true},
		Retention:     Retention{Snapshots: snapshotsDefault},
		ReaderProfile: "standard",
	}
}

// Ident is the table's name as the catalog knows it.
func (s *Spec) Ident() table.Ident {
	ident, err := table.ParseIdent(s.Name)
	if err != nil {
		panic("BUG: spec was not validated: " + err.Error())
	}
	return ident
}

// File is the name under which Parse was given the text.
func (s *Spec) File() string { return s.file }

// String is the span as Go writes it.
func (d Duration) String() string { return time.Duration(d).String() }

// String is the size in the largest binary unit that divides it.
func (s Size) String() string {
	for _, unit := range []struct {
		bytes Size
		name  string
	}{{1 << 40, "TiB"}, {1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}} {
		if s >= unit.bytes && s%unit.bytes == 0 {
			return strconv.FormatInt(int64(s/unit.bytes), 10) + unit.name
		}
	}
	return strconv.FormatInt(int64(s), 10)
}
