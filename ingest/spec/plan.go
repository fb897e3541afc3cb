package spec

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"

	"github.com/firthlake/firth/ingest/evolve"
	"github.com/firthlake/firth/table"
)

// StepKind is what a step of a plan does.
type StepKind string

// The kinds of steps.
const (
	StepCreate StepKind = "create" // the table does not exist and would be made
	StepEvolve StepKind = "evolve" // safe: old rows keep what they say
	StepRefuse StepKind = "refuse" // contradicts the table; nothing is applied while one stands
)

// Step is one thing that a plan does or refuses.
type Step struct {
	Kind StepKind `json:"kind"`
	// Object is what it is about: "table", "column amount", "partition spec", "property x".
	Object string `json:"object"`
	// Text says what changes: "add: double".
	Text string `json:"text"`
	// Reason says why it is refused and what to do instead.
	Reason string `json:"reason,omitempty"`
}

// Plan is what stands between a spec and its table. The zero number of steps means that they agree.
type Plan struct {
	Table string `json:"table"`
	Steps []Step `json:"steps"`

	columns    evolve.Result
	properties iceberg.Properties
	version    int
	reorder    bool
	// removed are properties that are to go.
	removed []string
}

// Refused says whether any step contradicts the table.
func (p Plan) Refused() bool {
	return slices.ContainsFunc(p.Steps, func(s Step) bool { return s.Kind == StepRefuse })
}

// Creates says whether the plan makes the table.
func (p Plan) Creates() bool {
	return slices.ContainsFunc(p.Steps, func(s Step) bool { return s.Kind == StepCreate })
}

// String is the plan for people: a line a step, + creates, ~ evolves, ! refuses.
func (p Plan) String() string {
	if len(p.Steps) == 0 {
		return p.Table + ": as specified\n"
	}
	marks := map[StepKind]string{StepCreate: "+", StepEvolve: "~", StepRefuse: "!"}
	var b strings.Builder
	b.WriteString(p.Table + ":\n")
	for _, s := range p.Steps {
		fmt.Fprintf(&b, "  %s %s %s: %s\n", marks[s.Kind], s.Kind, s.Object, s.Text)
		if s.Reason != "" {
			fmt.Fprintf(&b, "      %s\n", s.Reason)
		}
	}
	return b.String()
}

// Diff plans what would make current, the table as it stands or nil, what s says. A spec that
// leaves its columns to a registry or a sample must have been given them (WithColumns) when the
// table does not exist yet; for a table that stands they are taken from it.
func Diff(s *Spec, current *table.Table) (Plan, error) {
	plan := Plan{Table: s.Name}
	schema, err := s.TableSchema()
	if err != nil {
		return plan, err
	}
	if current == nil {
		if schema == nil {
			return plan,
				fmt.Errorf("%s has no columns: run 'firth infer TOPIC' and put its schema into the spec",
					s.Name)
		}
		return plan, plan.create(s, schema)
	}
	d := differ{spec: s, table: current, plan: &plan}
	d.identity()
	if schema != nil {
		if err := d.columns(schema); err != nil {
			return plan, err
		}
	}
	d.identifier()
	d.merge()
	d.partition()
	d.sort()
	d.props()
	d.changelog()
	return plan, nil
}

func (p *Plan) add(kind StepKind, object, text, reason string) {
	p.Steps = append(p.Steps, Step{Kind: kind, Object: object, Text: text, Reason: reason})
}

func (p *Plan) create(s *Spec, schema *iceberg.Schema) error {
	p.add(StepCreate, "table", fmt.Sprintf("format version %d", s.Version()), "")
	for _, f := range schema.Fields() {
		p.add(StepCreate, "column "+f.Name, formatRequired(f.Required)+FormatType(f.Type), "")
	}
	if s.Keyed() {
		p.add(StepCreate, "identifier", strings.Join(s.Identifier, ", "), "")
		if s.MergeEngine() != MergeLast {
			p.add(StepCreate, "merge", s.mergeText(), "")
		}
	}
	if name := s.ChangelogName(); name != "" {
		p.add(StepCreate, "changelog", name, "")
	}
	if len(s.Partition) > 0 {
		p.add(StepCreate, "partition spec", strings.Join(s.Partition, ", "), "")
	}
	if len(s.Sort) > 0 {
		p.add(StepCreate, "sort order", strings.Join(s.Sort, ", "), "")
	}
	properties := iceberg.Properties{}
	maps.Copy(properties, s.Properties)
	maps.Copy(properties, s.zorderProperties(nil))
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		p.add(StepCreate, "property "+name, properties[name], "")
	}
	return nil
}

// differ compares one spec with one table.
type differ struct {
	spec  *Spec
	table *table.Table
	plan  *Plan
}

// identity compares what a table is as a whole.
func (d *differ) identity() {
	have := d.table.Metadata().Version()
	switch {
	case d.spec.Format == 0 && d.spec.Version() <= have:
	case d.spec.Version() > have:
		d.plan.version = d.spec.Version()
		d.plan.add(StepEvolve, "format version", fmt.Sprintf("%d becomes %d", have, d.spec.Version()), "")
	case d.spec.Version() < have:
		d.plan.add(StepRefuse, "format version", fmt.Sprintf("%d cannot become %d", have, d.spec.Version()),
			"Iceberg tables are never downgraded: write format_version: "+strconv.Itoa(have))
	}
}

// partition compares the partition specs by what they do, not by their ids.
func (d *differ) partition() {
	meta := d.table.Metadata()
	have := describePartition(meta.PartitionSpec(), meta.CurrentSchema())
	want, err := d.partitionWanted()
	if err != nil {
		d.plan.add(StepRefuse, "partition spec", strings.Join(d.spec.Partition, ", "), err.Error())
		return
	}
	if have != want {
		d.plan.add(StepRefuse, "partition spec", fmt.Sprintf("[%s] cannot become [%s]", have, want),
			"changing the partitions of a table that stands is not done here: write partition: ["+have+
				"], or feed a new table")
	}
}

// partitionWanted describes the spec's partition as the table's columns are called now, so that a
// rename in the same plan does not look like another partition.
func (d *differ) partitionWanted() (string, error) {
	schema := d.table.Metadata().CurrentSchema()
	terms := make([]string, 0, len(d.spec.Partition))
	for _, text := range d.spec.Partition {
		t, err := parseTerm(text)
		if err != nil {
			return "", err
		}
		t.column = d.currentName(schema, t.column)
		if _, err := t.bind(schema); err != nil {
			return "", err
		}
		terms = append(terms, describeTerm(t.transform, t.column))
	}
	return strings.Join(terms, ", "), nil
}

// currentName is what schema calls the column that the spec calls name.
func (d *differ) currentName(schema *iceberg.Schema, name string) string {
	if _, ok := schema.FindFieldByName(name); ok {
		return name
	}
	for _, c := range d.spec.Schema.Columns {
		if c.Name != name {
			continue
		}
		for _, previous := range c.Previous {
			if _, ok := schema.FindFieldByName(previous); ok {
				return previous
			}
		}
	}
	return name
}

func describePartition(spec iceberg.PartitionSpec, schema *iceberg.Schema) string {
	return strings.Join(PartitionTerms(spec, schema), ", ")
}

// PartitionTerms writes a partition spec as a table spec does.
func PartitionTerms(spec iceberg.PartitionSpec, schema *iceberg.Schema) []string {
	var terms []string
	for _, f := range spec.Fields() {
		name, _ := schema.FindColumnName(f.SourceID())
		terms = append(terms, describeTerm(f.Transform, name))
	}
	return terms
}

func describeTerm(transform iceberg.Transform, column string) string {
	switch t := transform.(type) {
	case iceberg.IdentityTransform:
		return column
	case iceberg.BucketTransform:
		return fmt.Sprintf("bucket(%d, %s)", t.NumBuckets, column)
	case iceberg.TruncateTransform:
		return fmt.Sprintf("truncate(%d, %s)", t.Width, column)
	}
	return fmt.Sprintf("%s(%s)", transform, column)
}

func describeSort(order icetable.SortOrder, schema *iceberg.Schema) string {
	return strings.Join(SortTerms(order, schema), ", ")
}

// SortTerms writes a sort order as a table spec does.
func SortTerms(order icetable.SortOrder, schema *iceberg.Schema) []string {
	var terms []string
	for _, f := range order.Fields() {
		name, _ := schema.FindColumnName(f.SourceID())
		nulls := strings.ReplaceAll(string(f.NullOrder), "-", " ")
		terms = append(terms, fmt.Sprintf("%s %s %s", describeTerm(f.Transform, name), f.Direction, nulls))
	}
	return terms
}

// sort compares sort orders; a new order is safe, since it says how later files are written.
func (d *differ) sort() {
	schema := d.table.Metadata().CurrentSchema()
	if zorder, err := d.spec.ZOrder(); err != nil || zorder != nil {
		d.zorder(zorder, err)
		return
	}
	for _, text := range d.spec.Sort {
		_, t, err := parseSortTerm(text)
		if err != nil {
			d.plan.add(StepRefuse, "sort order", text, err.Error())
			return
		}
		if _, ok := schema.FindFieldByName(d.currentName(schema, t.column)); !ok {
			d.plan.reorder = true // on a column that this plan adds
		}
	}
	if !d.plan.reorder {
		want, err := d.renamed(schema).SortOrder(schema)
		if err != nil {
			d.plan.add(StepRefuse, "sort order", strings.Join(d.spec.Sort, ", "), err.Error())
			return
		}
		have := d.table.Metadata().SortOrder()
		d.plan.reorder = describeSort(have, schema) != describeSort(want, schema)
	}
	if d.plan.reorder {
		d.plan.add(StepEvolve, "sort order", "becomes ["+strings.Join(d.spec.Sort,
			", ")+"] for files written from now on", "")
	}
}

// zorder takes away a sort order that the table may have; the z-order itself is a property of the table.
func (d *differ) zorder(columns []string, err error) {
	meta := d.table.Metadata()
	if err == nil && len(d.spec.Schema.Columns) == 0 { // else the spec's own columns were looked at
		_, err = table.NewZOrder(meta.CurrentSchema(), columns, nil)
	}
	if err != nil {
		d.plan.add(StepRefuse, "sort order", strings.Join(d.spec.Sort, ", "), err.Error())
		return
	}
	if order := meta.SortOrder(); !order.IsUnsorted() {
		d.plan.reorder = true
		d.plan.add(StepEvolve, "sort order", "becomes none for files written from now on", "")
	}
}

// renamed is the spec with its sort terms on the names that the table has now.
func (d *differ) renamed(schema *iceberg.Schema) *Spec {
	out := *d.spec
	out.Sort = make([]string, len(d.spec.Sort))
	for i, text := range d.spec.Sort {
		_, t, _ := parseSortTerm(text) // checked by the caller
		out.Sort[i] = strings.Replace(text, t.column, d.currentName(schema, t.column), 1)
	}
	return &out
}

// props compares the properties that the spec names; others on the table are left alone.
func (d *differ) props() {
	have := d.table.Metadata().Properties()
	wanted := iceberg.Properties{}
	maps.Copy(wanted, d.spec.Properties)
	maps.Copy(wanted, d.spec.zorderProperties(have))
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		value := wanted[name]
		if have[name] == value {
			continue
		}
		if d.plan.properties == nil {
			d.plan.properties = iceberg.Properties{}
		}
		d.plan.properties[name] = value
		d.plan.add(StepEvolve, "property "+name, fmt.Sprintf("%q becomes %q", have[name], value), "")
	}
}
