package spec

import (
	"fmt"
	"strings"
	"testing"

	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"
	"github.com/cockroachdb/datadriven"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/table"
)

// TestSpecLanguage runs testdata: "parse" prints the table that a spec describes or its faults,
// "table" makes the current table of a spec, "plan" compares a spec with it,
// "apply" makes it what a spec says, "type" reads
// one type a line.
func TestSpecLanguage(t *testing.T) {
	datadriven.Walk(t, "testdata/language", func(t *testing.T, path string) {
		var current *table.Table
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "parse":
				return parseAndDescribe(d.Input)
			case "table":
				current = tableOf(t, d.Input)
				return current.Metadata().CurrentSchema().String() + "\n"
			case "plan":
				return planText(d.Input, current)
			case "apply":
				current = carryOut(t, d.Input, current)
				return current.Metadata().CurrentSchema().String() + "\n"
			case "create":
				return planText(d.Input, nil)
			case "type":
				return eachLine(d.Input, func(line string) (string, error) {
					typ, err := ParseType(line)
					if err != nil {
						return "", err
					}
					return FormatType(typ), nil
				})
			}
			t.Fatalf("unknown command %s", d.Cmd)
			return ""
		})
	})
}

func eachLine(input string, read func(string) (string, error)) string {
	var b strings.Builder
	for line := range strings.SplitSeq(input, "\n") {
		out, err := read(line)
		if err != nil {
			out = "error: " + err.Error()
		}
		b.WriteString(out + "\n")
	}
	return b.String()
}

func parseAndDescribe(text string) string {
	s, err := Parse("events.yaml", []byte(text))
	if err != nil {
		return err.Error() + "\n"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s, format version %d\n", s.Name, s.Version())
	schema, err := s.TableSchema()
	if err != nil {
		return err.Error() + "\n"
	}
	if schema == nil {
		return b.String() + "columns from elsewhere\n"
	}
	for _, f := range schema.Fields() {
		b.WriteString(f.String() + "\n")
	}
	partition, err := s.PartitionSpec(schema)
	if err != nil {
		return err.Error() + "\n"
	}
	order, err := s.SortOrder(schema)
	if err != nil {
		return err.Error() + "\n"
	}
	fmt.Fprintf(&b, "partition %s\n", describePartition(partition, schema))
	fmt.Fprintf(&b, "sort %s\n", strings.Join(strings.Fields(order.String()), " "))
	for _, src := range s.Sources {
		fmt.Fprintf(&b, "source %s %v %q %s from %s\n", src.Cluster, src.Topics, src.Pattern, src.Format,
			src.Start)
	}
	return b.String()
}

// tableOf makes the metadata that a new table of the spec would have.
func tableOf(t *testing.T, text string) *table.Table {
	t.Helper()
	s, err := Parse("table.yaml", []byte(text))
	require.NoError(t, err)
	schema, err := s.TableSchema()
	require.NoError(t, err)
	partition, err := s.PartitionSpec(schema)
	require.NoError(t, err)
	order, err := s.SortOrder(schema)
	require.NoError(t, err)
	properties := iceberg.Properties{"format-version": fmt.Sprint(s.Version())}
	for name, value := range s.TableProperties() {
		properties[name] = value
	}
	meta, err := icetable.NewMetadata(schema, &partition, order, "mem://lake/events", properties)
	require.NoError(t, err)
	return table.New(s.Ident(), meta, "mem://lake/events/metadata/1.json")
}

// carryOut carries out a plan on the table's metadata and checks that nothing is left to do.
func carryOut(t *testing.T, text string, current *table.Table) *table.Table {
	t.Helper()
	s, err := Parse("events.yaml", []byte(text))
	require.NoError(t, err)
	plan, err := Diff(s, current)
	require.NoError(t, err)
	require.False(t, plan.Refused(), plan.String())
	updates, err := plan.Updates(s, current.Metadata())
	require.NoError(t, err)
	meta, err := icetable.UpdateTableMetadata(current.Metadata(), updates, "")
	require.NoError(t, err)
	current = table.New(current.Ident(), meta, "")
	plan, err = Diff(s, current)
	require.NoError(t, err)
	require.Empty(t, plan.Steps)
	return current
}

func planText(text string, current *table.Table) string {
	s, err := Parse("events.yaml", []byte(text))
	if err != nil {
		return err.Error() + "\n"
	}
	plan, err := Diff(s, current)
	if err != nil {
		return err.Error() + "\n"
	}
	return plan.String()
}

func TestMarshalledSpecReadsBack(t *testing.T) {
	first, err := Parse("a.yaml", []byte(exampleSpec))
	require.NoError(t, err)
	text, err := Marshal(first)
	require.NoError(t, err)
	second, err := Parse("b.yaml", text)
	require.NoError(t, err, string(text))
	second.file, second.lines = first.file, first.lines
	require.Equal(t, first, second)
}

const exampleSpec = `
name: db.events
schema:
  columns:
    - {name: event_id, type: uuid, required: true}
    - {name: ts, type: timestamptz, path: payload.time, format: ms}
    - {name: place, type: "struct<city: string, at: list<required double>>"}
partition: [day(ts), "bucket(16, event_id)"]
sort: [ts desc nulls last]
sources:
  - {topics: [events], filter: "event_id is not null", start: "2026-01-01T00:00:00Z"}
freshness: {interval: 30s, bytes: 64MiB}
evolution: {unknown_fields: evolve}
dead_letters: {classes: {utf8: skip}, budget: {ratio: 0.01}}
metadata_columns: {key: true}
properties: {owner: data}
`

func TestMetadataColumnsKeepTheirDefaultsBesideOthers(t *testing.T) {
	s, err := Parse("a.yaml", []byte(exampleSpec))
	require.NoError(t, err)
	require.Equal(t, MetadataColumns{Topic: true, Partition: true, Offset: true, Timestamp: true, Key: true},
		s.Metadata)
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(exampleSpec))
	f.Add([]byte("name: [a"))
	f.Add([]byte("name: &a [*a]"))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := Parse("fuzz.yaml", text)
		if err != nil {
			require.NotEmpty(t, err.Error())
			return
		}
		// What parses describes a table, and can be written and read again.
		out, err := Marshal(s)
		require.NoError(t, err)
		_, err = Parse("again.yaml", out)
		require.NoError(t, err, string(out))
	})
}

func FuzzType(f *testing.F) {
	f.Add("map<string, required struct<`a b`: decimal(12, 2), c: list<fixed(3)>>>")
	f.Fuzz(func(t *testing.T, text string) {
		typ, err := ParseType(text)
		if err != nil {
			return
		}
		again, err := ParseType(FormatType(typ))
		require.NoError(t, err)
		require.True(t, typ.Equals(again), text)
	})
}
