package spec

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/apache/iceberg-go"

	"github.com/firthlake/firth/ingest/decode"
	"github.com/firthlake/firth/ingest/spec/document"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/filter"
)

// Validate says everything that is wrong with s, as *document.Error; a spec from Parse is valid already.
func (s *Spec) Validate() error {
	if found := s.validate(); len(found) > 0 {
		return document.Faulty(s.file, found...)
	}
	return nil
}

// check collects faults; a key is found in the file by its path.
type check struct {
	spec  *Spec
	sound bool // name and columns are without fault
	found []document.Fault
}

func (c *check) fault(key, remedy, format string, args ...any) {
	c.found = append(c.found, document.Fault{Line: c.spec.lines.Line(key), Key: key,
		Text: fmt.Sprintf(format, args...), Remedy: remedy})
}

func (s *Spec) validate() []document.Fault {
	c := &check{spec: s}
	c.name()
	c.columns()
	c.sound = len(c.found) == 0
	c.sources()
	c.keyed()
	c.changelog()
	c.freshness()
	c.policies()
	c.rest()
	if len(c.found) == 0 {
		c.bindings()
	}
	return c.found
}

// MetadataPrefix begins the names that only metadata columns may have.
const MetadataPrefix = "_kafka_"

// levelName is what every engine and every file system takes as a level of a table's name.
var levelName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_-]*$`)

func (c *check) name() {
	ident, err := table.ParseIdent(c.spec.Name)
	if c.spec.Name == "" {
		c.fault("name", "write name: namespace.table", "is missing")
		return
	}
	if err != nil {
		c.fault("name", "write name: namespace.table", "%v", err)
		return
	}
	c.levels("name", ident)
	if strings.HasSuffix(c.spec.Name, deadLetterSuffix) {
		c.fault("name", "choose another name", "names that end in %s belong to dead-letter tables",
			deadLetterSuffix)
	}
}

// levels checks the levels of a table's name.
func (c *check) levels(key string, ident table.Ident) {
	for _, level := range ident {
		if !levelName.MatchString(level) || len(level) > 128 {
			c.fault(key, "use letters, digits, _ and -, at most 128 of them",
				"level %q is not a name that every engine takes", level)
		}
	}
}

// deadLetterSuffix ends the name of a table's dead-letter table.
const deadLetterSuffix = "__dead_letters"

func (c *check) columns() {
	s := c.spec
	if s.Schema.Subject != "" && len(s.Schema.Columns) > 0 {
		c.fault("schema", "keep one of them", "has both columns and a subject")
	}
	taken := map[string]string{}
	for i, col := range s.Schema.Columns {
		key := "schema.columns[" + strconv.Itoa(i) + "]"
		c.column(key, col)
		for _, name := range append([]string{col.Name}, col.Previous...) {
			folded := strings.ToLower(name)
			if other, ok := taken[folded]; ok {
				c.fault(key, "names of columns differ in more than case",
					"name %q is used already, by column %s", name, other)
			}
			taken[folded] = col.Name
		}
	}
}

func (c *check) column(key string, col Column) {
	switch {
	case col.Name == "":
		c.fault(key, "write name: and type:", "column has no name")
		return
	case !utf8.ValidString(col.Name) || strings.ContainsAny(col.Name, ".\x00"):
		c.fault(key+".name", "use path: to reach into the record",
			"column name %q holds a dot or a control character", col.Name)
	case strings.HasPrefix(col.Name, MetadataPrefix):
		c.fault(key+".name", "see metadata_columns", "names that begin with %s are the metadata columns",
			MetadataPrefix)
	}
	if col.Type == "" {
		c.fault(key, "write type:", "column %s has no type", col.Name)
		return
	}
	t, err := ParseType(col.Type)
	if err != nil {
		c.fault(key+".type", "see docs/operations.md, types", "%v", err)
		return
	}
	if _, err := decode.ParsePath(col.Path); col.Path != "" && err != nil {
		c.fault(key+".path", "write it as payload.user.id", "%v", err)
	}
	c.timeFormat(key, col, t)
}

func (c *check) timeFormat(key string, col Column, t iceberg.Type) {
	if col.Format == "" {
		return
	}
	switch t.(type) {
	case iceberg.DateType, iceberg.TimeType, iceberg.TimestampType, iceberg.TimestampTzType,
		iceberg.TimestampNsType, iceberg.TimestampTzNsType:
	default:
		c.fault(key+".format", "remove it", "format is for dates and times, and %s is %s", col.Name, col.Type)
		return
	}
	if _, err := decode.ParseTimeFormat(col.Format); err != nil {
		c.fault(key+".format", "see docs/operations.md, columns", "%v", err)
	}
}

var (
	recordFormats = []string{"json", "avro", "protobuf", "jsonschema", "csv", "raw"}
	topicName     = regexp.MustCompile(`^[A-Za-z0-9._-]{1,249}$`)
)

func (c *check) sources() {
	for i, src := range c.spec.Sources {
		key := "sources[" + strconv.Itoa(i) + "]"
		c.topics(key, src)
		if !slices.Contains(recordFormats, src.Format) {
			c.fault(key+".format", "write one of "+strings.Join(recordFormats, ", "), "unknown format %q",
				src.Format)
		}
		if _, err := c.spec.DecodeOptions(src); c.sound && err != nil {
			c.fault(key+".options", "see docs/operations.md, formats", "%v", err)
		}
		c.input(key, src)
		if src.Filter != "" {
			if _, err := filter.Parse(src.Filter); err != nil {
				c.fault(key+".filter", "see docs/operations.md, filters", "%v", err)
			}
		}
		if src.Start != "earliest" && src.Start != "latest" {
			if _, err := time.Parse(time.RFC3339, src.Start); err != nil {
				c.fault(key+".start", "write earliest, latest or a time such as 2026-01-31T00:00:00Z",
					"%q is no place to start", src.Start)
			}
		}
	}
}

func (c *check) topics(key string, src Source) {
	switch {
	case len(src.Topics) == 0 && src.Pattern == "":
		c.fault(key, "write topics: [name] or pattern: \"events-.*\"", "names no topic")
	case len(src.Topics) > 0 && src.Pattern != "":
		c.fault(key, "keep one of them", "has both topics and a pattern")
	case src.Pattern != "":
		if _, err := regexp.Compile(src.Pattern); err != nil {
			c.fault(key+".pattern", "write a regular expression in RE2 syntax", "%v", err)
		}
	}
	for i, topic := range src.Topics {
		if !topicName.MatchString(topic) || topic == "." || topic == ".." {
			c.fault(key+".topics["+strconv.Itoa(i)+"]",
				"use letters, digits, ., _ and -; a regular expression belongs under pattern:",
				"%q is not a topic name", topic)
		}
	}
}

func (c *check) freshness() {
	f := c.spec.Freshness
	if d := time.Duration(f.Interval); d < intervalMin || d > intervalMax {
		c.fault("freshness.interval", fmt.Sprintf("write %v to %v", intervalMin, intervalMax),
			"%v is out of range", f.Interval)
	}
	if f.IntervalMax < f.Interval || time.Duration(f.IntervalMax) > intervalStretch*intervalMax {
		c.fault("freshness.interval_max", "write the interval or more, and no more than six hours",
			"%v is out of range", f.IntervalMax)
	}
	if f.Rows < 1 {
		c.fault("freshness.rows", "write a number from 1 up", "%d is out of range", f.Rows)
	}
	if f.Bytes < 1<<16 || f.Bytes > 16<<30 {
		c.fault("freshness.bytes", "write 64KiB to 16GiB", "%v is out of range", f.Bytes)
	}
}

func (c *check) policies() {
	e := c.spec.Evolution
	for _, p := range []struct {
		key     string
		action  Action
		allowed []Action
	}{
		{"add", e.Add, []Action{Apply, Refuse}},
		{"widen", e.Widen, []Action{Apply, Refuse}},
		{"relax", e.Relax, []Action{Apply, Refuse}},
		{"unknown_fields", e.UnknownFields, []Action{Ignore, Evolve, DeadLetter}},
	} {
		if !slices.Contains(p.allowed, p.action) {
			c.fault("evolution."+p.key, fmt.Sprintf("write one of %v", p.allowed), "unknown action %q",
				p.action)
		}
	}
	d := c.spec.DeadLetters
	policies := []Policy{Quarantine, Skip, Suspend}
	if !slices.Contains(policies, d.Default) {
		c.fault("dead_letters.default", fmt.Sprintf("write one of %v", policies), "unknown policy %q",
			d.Default)
	}
	for class, policy := range d.Classes {
		key := "dead_letters.classes." + string(class)
		if !slices.Contains(classes(), class) {
			c.fault(key, fmt.Sprintf("classes are %v", classes()), "unknown class %q", class)
		}
		if !slices.Contains(policies, policy) {
			c.fault(key, fmt.Sprintf("write one of %v", policies), "unknown policy %q", policy)
		}
	}
	if !(d.Budget.Ratio >= 0 && d.Budget.Ratio <= 1) { // written so that NaN fails
		c.fault("dead_letters.budget.ratio", "write a fraction such as 0.001", "%v is not between 0 and 1",
			d.Budget.Ratio)
	}
	if w := time.Duration(d.Budget.Window); w < time.Second || w > 24*time.Hour {
		c.fault("dead_letters.budget.window", "write 1s to 24h", "%v is out of range", d.Budget.Window)
	}
}

func classes() []decode.Class {
	return []decode.Class{decode.ClassSyntax, decode.ClassType, decode.ClassRange, decode.ClassRequired,
		decode.ClassUTF8, decode.ClassTooDeep, decode.ClassTooLarge, decode.ClassDuplicateKey,
		decode.ClassUnknownField, decode.ClassSchemaID, decode.ClassSchemaChanged,
		decode.ClassOperation, decode.ClassUnavailable, decode.ClassTransform}
}

func (c *check) rest() {
	s := c.spec
	if n := s.Retention.Snapshots; n < 1 || n > snapshotsMax {
		c.fault("retention.snapshots", fmt.Sprintf("write 1 to %d", snapshotsMax), "%d is out of range", n)
	}
	if d := time.Duration(s.Retention.Orphans); d != 0 && d < orphansMin {
		c.fault("retention.orphans", fmt.Sprintf("write %s or more, or 0 to keep them", orphansMin),
			"%s is too short", d)
	}
	switch r := s.Retention.Rows; {
	case r == RowRetention{}:
	case r.Column == "":
		c.fault("retention.rows", "write rows: {column: ts, after: 30d}", "names no column")
	case time.Duration(r.After) < rowAgeMin:
		c.fault("retention.rows.after", fmt.Sprintf("write %s or more", rowAgeMin), "%s is too short", r.After)
	}
	if !slices.Contains([]string{"standard", "wide", "modern"}, s.ReaderProfile) {
		c.fault("reader_profile", "write standard, wide or modern", "unknown profile %q", s.ReaderProfile)
	}
	if names := s.versionThree(); s.Format == 2 && len(names) > 0 {
		c.fault("format_version", "write 3 or auto, or use timestamp and timestamptz",
			"nanosecond columns (%s) need format version 3", strings.Join(names, ", "))
	}
	if s.ReaderProfile == "wide" && s.Version() == 3 {
		c.fault("reader_profile", "write format_version: 2",
			"wide is for engines that read format version 2 only")
	}
	for name := range s.Properties {
		if strings.HasPrefix(name, "firth.") || name == "format-version" {
			c.fault("properties."+name, "remove it", "is firth's own property")
		}
	}
}

// bindings checks what refers to columns. It needs every column to be sound.
func (c *check) bindings() {
	schema, err := c.spec.TableSchema()
	if err != nil {
		c.fault("schema", "see docs/operations.md, types", "%v", err)
		return
	}
	faults := table.CheckProperties(schema, c.spec.Properties)
	for _, name := range slices.Sorted(maps.Keys(faults)) {
		c.fault("properties."+name, "see docs/operations.md, bloom filters", "%v", faults[name])
	}
	if schema == nil {
		return
	}
	c.keyColumns(schema)
	c.mergeColumns(schema)
	if _, err := c.spec.PartitionSpec(schema); err != nil {
		c.fault("partition", "see docs/operations.md, partitions", "%v", err)
	}
	if _, err := c.spec.SortOrder(schema); err != nil {
		c.fault("sort", "see docs/operations.md, sort order", "%v", err)
	}
	if age := c.spec.Retention.Rows.Age(); age.Column != "" {
		if _, err := age.Field(schema); err != nil {
			c.fault("retention.rows.column", "name a column of the schema", "%v", err)
		}
	}
	for i, src := range c.spec.Sources {
		if src.Filter == "" {
			continue
		}
		if _, err := filter.ParseAndBind(src.Filter, schema); err != nil {
			c.fault("sources["+strconv.Itoa(i)+"].filter", "see docs/operations.md, filters", "%v", err)
		}
	}
}
