package evolve

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"
	"github.com/cockroachdb/datadriven"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/ingest/decode"
	"github.com/firthlake/firth/ingest/messageschema"
)

var everything = Policy{AddColumn: true, Widen: true, MakeOptional: true, Rename: true}

// fixture is a table's metadata, changed as a catalog changes it.
type fixture struct{ metadata icetable.Metadata }

func avroType(t testing.TB, text string) *messageschema.AvroType {
	t.Helper()
	parsed, err := messageschema.ParseAvro(text)
	require.NoError(t, err, text)
	return parsed
}

// newFixture makes a table from an Avro schema; partition is a column to partition by, identifier
// one that identifies rows, or "".
func newFixture(t testing.TB, text string, version, partition, identifier string) *fixture {
	t.Helper()
	schema := avroType(t, text).Columns(messageschema.Options{Nanoseconds: true}).Schema()
	if field, ok := schema.FindFieldByName(identifier); ok {
		schema = iceberg.NewSchemaWithIdentifiers(0, []int{field.ID}, schema.Fields()...)
	}
	spec := *iceberg.UnpartitionedSpec
	if field, ok := schema.FindFieldByName(partition); ok {
		spec = iceberg.NewPartitionSpec(iceberg.PartitionField{SourceIDs: []int{field.ID},
			FieldID: 1000,
			Name:    partition, Transform: iceberg.IdentityTransform{}})
	}
	metadata, err := icetable.NewMetadata(schema, &spec, icetable.UnsortedSortOrder, "/table",
		iceberg.Properties{icetable.PropertyFormatVersion: version})
	require.NoError(t, err)
	return &fixture{metadata}
}

// commit does what a catalog does with a result.
func (f *fixture) commit(result Result) error {
	for _, requirement := range result.Requirements {
		if err := requirement.Validate(f.metadata); err != nil {
			return err
		}
	}
	metadata, err := icetable.UpdateTableMetadata(f.metadata, result.Updates, "")
	if err == nil {
		f.metadata = metadata
	}
	return err
}

// parseProposals reads lines: add PATH TYPE, widen PATH TYPE, optional PATH, rename PATH NAME.
func parseProposals(t testing.TB, text string) []decode.Proposal {
	t.Helper()
	var out []decode.Proposal
	for line := range strings.Lines(text) {
		verb, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		path, argument, _ := strings.Cut(rest, " ")
		p := decode.Proposal{Path: strings.Split(path, ".")}
		switch verb {
		case "add", "widen":
			if verb == "widen" {
				p.Kind = decode.Widen
			}
			if !strings.ContainsAny(argument, "{[") {
				argument = `"` + argument + `"`
			}
			p.Type, _, _ = avroType(t, argument).Iceberg(messageschema.Options{Nanoseconds: true})
		case "optional":
			p.Kind = decode.MakeOptional
		case "rename":
			p.Kind, p.To = decode.Rename, argument
		default:
			t.Fatalf("unknown verb %q", verb)
		}
		out = append(out, p)
	}
	return out
}

func describe(p decode.Proposal) string {
	words := []string{"add", "widen", "optional", "rename"}
	text := words[p.Kind] + " " + strings.Join(p.Path, ".")
	if p.Type != nil {
		text += " " + p.Type.String()
	}
	return strings.TrimSpace(text + " " + p.To)
}

func TestEvolveFiles(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		var f *fixture
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "table":
				version, partition, identifier := "2", "", ""
				d.MaybeScanArgs(t, "version", &version)
				d.MaybeScanArgs(t, "partition", &partition)
				d.MaybeScanArgs(t, "identifier", &identifier)
				f = newFixture(t, d.Input, version, partition, identifier)
				return f.metadata.CurrentSchema().String() + "\n"
			case "evolve":
				policy := everything
				if d.HasArg("nothing") {
					policy = Policy{}
				}
				return f.evolve(t, parseProposals(t, d.Input), policy)
			case "diff":
				return f.diff(t, d)
			case "former":
				former, err := FormerNames(StateOf(f.metadata))
				require.NoError(t, err)
				text, err := json.Marshal(former)
				require.NoError(t, err)
				return string(text) + "\n"
			}
			t.Fatalf("unknown command %s", d.Cmd)
			return ""
		})
	})
}

// evolve plans, commits, and plans once more, which must find nothing to apply.
func (f *fixture) evolve(t *testing.T, proposals []decode.Proposal, policy Policy) string {
	var out strings.Builder
	result, err := Plan(StateOf(f.metadata), proposals, policy)
	if err != nil {
		return err.Error() + "\n"
	}
	for _, p := range result.Applied {
		fmt.Fprintf(&out, "applied %s\n", describe(p))
	}
	for _, r := range result.Refused {
		fmt.Fprintf(&out, "refused %s: %s\n", describe(r.Proposal), r.Reason)
	}
	if !result.Changed {
		return out.String() + "no change\n"
	}
	for _, u := range result.Updates {
		fmt.Fprintf(&out, "%s ", u.Action())
	}
	for _, r := range result.Requirements {
		fmt.Fprintf(&out, "%s ", r.GetType())
	}
	require.NoError(t, f.commit(result))
	require.True(t, f.metadata.CurrentSchema().Equals(result.Schema))
	require.Equal(t, result.Schema.ID, f.metadata.CurrentSchema().ID)
	again, err := Plan(StateOf(f.metadata), proposals, policy)
	require.NoError(t, err)
	require.False(t, again.Changed, "the same proposals change the table again: %v", again.Applied)
	return out.String() + "\n" + f.metadata.CurrentSchema().String() + "\n"
}

func (f *fixture) diff(t *testing.T, d *datadriven.TestData) string {
	renames := map[string]string{}
	for _, argument := range d.CmdArgs {
		renames[argument.Key] = argument.Vals[0]
	}
	wanted := avroType(t, d.Input).Columns(messageschema.Options{}).Schema()
	difference := Diff(f.metadata.CurrentSchema(), wanted, renames)
	var out strings.Builder
	for _, p := range difference.Proposals {
		fmt.Fprintf(&out, "propose %s\n", describe(p))
	}
	for _, c := range difference.Blocking {
		fmt.Fprintf(&out, "blocking %s\n", c)
	}
	for _, c := range difference.Ahead {
		fmt.Fprintf(&out, "ahead %s\n", c)
	}
	if out.Len() == 0 {
		return "no difference\n"
	}
	return out.String()
}

func TestConcurrentEvolutionsConverge(t *testing.T) {
	f := newFixture(t, `{"type":"record","name":"R","fields":[
		{"name":"a","type":"int"},{"name":"b","type":"int"}]}`, "2", "", "")
	state := StateOf(f.metadata)
	one, err := Plan(state, parseProposals(t, "add x int\nwiden a long\nrename b c"), everything)
	require.NoError(t, err)
	theirs := parseProposals(t, "add x long\nwiden a long\noptional b\nrename b c")
	other, err := Plan(state, theirs, everything)
	require.NoError(t, err)
	require.NoError(t, f.commit(one))
	require.Error(t, f.commit(other), "a plan of an older state must not pass")
	other, err = Plan(StateOf(f.metadata), theirs, everything)
	require.NoError(t, err)
	require.Empty(t, other.Refused)
	require.Len(t, other.Applied, 2)
	require.NoError(t, f.commit(other))
	require.Equal(t,
		"table {\n\t1: a: required long\n\t2: c: optional int\n\t3: x: optional long\n}",
		f.metadata.CurrentSchema().String())
}

func TestReturningToAnEarlierSchemaReusesIt(t *testing.T) {
	f := newFixture(t, `{"type":"record","name":"R","fields":[{"name":"a","type":"int"}]}`, "2",
		"", "")
	first := f.metadata.CurrentSchema()
	result, err := Plan(StateOf(f.metadata), parseProposals(t, "rename a b"), everything)
	require.NoError(t, err)
	require.NoError(t, f.commit(result))
	state := StateOf(f.metadata)
	state.NameMapping = "" // somebody removed it
	result, err = Plan(state, parseProposals(t, "rename b a"), everything)
	require.NoError(t, err)
	require.Equal(t, first.ID, result.Schema.ID)
	require.Len(t, result.Updates, 1)
}

// TestOldRowsStayReadable grows a table by random steps and checks after each that every type that a
// data file may have can be read as the type that the table has now, and that no id is used twice.
func TestOldRowsStayReadable(t *testing.T) {
	types := []string{"int", "long", "float", "double", "string", "bytes", "boolean",
		`{"type":"array","items":"int"}`, `{"type":"map","values":"float"}`,
		`{"type":"bytes","logicalType":"decimal","precision":5,"scale":2}`,
		`{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}`,
		`{"type":"record","name":"S","fields":[{"name":"c0","type":"int"},` +
			`{"name":"c1","type":"float"}]}`,
		`{"type":"array","items":{"type":"record","name":"S","fields":[{"name":"c2","type":"int"}]}}`}
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 7))
		f := newFixture(t, `{"type":"record","name":"R","fields":[{"name":"c0","type":"int"}]}`,
			"2", "", "")
		path := func() string {
			parts := []string{fmt.Sprintf("c%d", r.IntN(5))}
			for r.IntN(3) == 0 {
				parts = append(parts, []string{"c0", "c1", "c2", "element", "value",
					"key"}[r.IntN(6)])
			}
			return strings.Join(parts, ".")
		}
		for range 12 {
			before := f.metadata.CurrentSchema()
			var text string
			switch r.IntN(5) {
			case 0, 1:
				text = "add " + path() + " " + types[r.IntN(len(types))]
			case 2:
				text = "widen " + path() + " " + types[r.IntN(4)]
			case 3:
				text = "optional " + path()
			case 4:
				text = "rename " + path() + fmt.Sprintf(" c%d", r.IntN(6))
			}
			result, err := Plan(StateOf(f.metadata), parseProposals(t, text), everything)
			require.NoError(t, err, text)
			if result.Changed {
				require.NoError(t, f.commit(result), text)
			}
			readable(t, before, f.metadata.CurrentSchema(), text)
		}
	}
}

func readable(t *testing.T, before, after *iceberg.Schema, text string) {
	t.Helper()
	seen := map[int]bool{}
	for _, id := range fieldIDs(after.Fields()) {
		require.False(t, seen[id], "%s: id %d twice", text, id)
		seen[id] = true
		if _, old := before.FindFieldByID(id); !old {
			field, _ := after.FindFieldByID(id)
			require.True(t, !field.Required || after.FieldHasOptionalParent(id),
				"%s: new and required", text)
			require.Greater(t, id, before.HighestFieldID(), "%s: an old id given out again", text)
		}
	}
	for _, id := range fieldIDs(before.Fields()) {
		old, _ := before.FindFieldByID(id)
		now, ok := after.FindFieldByID(id)
		require.True(t, ok, "%s: field %d is gone", text, id)
		require.False(t, now.Required && !old.Required, "%s: field %d became required", text, id)
		if _, nested := old.Type.(iceberg.NestedType); !nested && !old.Type.Equals(now.Type) {
			_, err := iceberg.PromoteType(old.Type, now.Type)
			require.NoError(t, err, text)
		}
	}
}

func fieldIDs(fields []iceberg.NestedField) []int {
	var ids []int
	for _, field := range fields {
		ids = append(append(ids, field.ID), fieldIDs(children(field.Type))...)
	}
	return ids
}
