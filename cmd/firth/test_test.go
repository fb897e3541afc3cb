package main

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/ingest/decode"
)

// outputs is the folder of what the examples print.
const outputs = "docs/examples/output"

func TestEveryExampleGivesTheDocumentedOutput(t *testing.T) {
	t.Chdir("../..")
	shown := map[string]bool{}
	datadriven.Walk(t, outputs, func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			var args []string
			for _, arg := range d.CmdArgs {
				args = append(args, arg.Key)
			}
			shown[args[1]] = true
			if !hasSQL() && strings.Contains(args[1], "transform") {
				return d.Expected // needs the build with the engine
			}
			out := firth(t, args...)
			return out.stdout + out.stderr
		})
	})
	specs, err := filepath.Glob("docs/examples/*.yaml")
	require.NoError(t, err)
	doc, err := os.ReadFile("docs/test.md")
	require.NoError(t, err)
	for _, spec := range specs {
		name := strings.TrimSuffix(filepath.Base(spec), ".yaml")
		require.True(t, shown[spec] || name == "firth", "%s: no output in %s", spec, outputs)
		if name != "firth" {
			require.Contains(t, string(doc), "examples/output/"+name+".txt")
		}
	}
}

func TestTheTextOnTestShowsWhatItPrints(t *testing.T) {
	if rewrites := flag.Lookup("rewrite"); rewrites != nil && rewrites.Value.String() == "true" {
		t.Skip("the outputs are being written")
	}
	t.Chdir("../..")
	text, err := os.ReadFile(filepath.Join(outputs, "events-broken.txt"))
	require.NoError(t, err)
	command, output, _ := strings.Cut(string(text), "\n----\n----\n")
	output, _, _ = strings.Cut(output, "\n----\n----")
	doc, err := os.ReadFile("docs/test.md")
	require.NoError(t, err)
	require.Contains(t, string(doc), "$ "+command+"\n"+output+"\n```")
}

func TestATestTouchesNothing(t *testing.T) {
	f := newLakeFolder(t)
	f.spec(t, "", ", filter: 'amount > 100'")
	f.produce(t, 50)
	before := filesBelow(t, f.dir)
	spec := filepath.Join(f.dir, "tables/events.yaml")
	out := f.firth(t, "test", spec, "--from", "kafka", "--limit", "20", "--json")
	require.Zero(t, out.code, out.stderr)
	var report testReport
	require.NoError(t, json.Unmarshal([]byte(out.stdout), &report))
	require.Equal(t, 20, report.Records)
	require.NotEmpty(t, report.Rows)
	require.NotEmpty(t, report.Filtered)
	require.Equal(t, 20, len(report.Rows)+len(report.Filtered))
	require.Zero(t, f.firth(t, "test", spec).code)
	require.Equal(t, before, filesBelow(t, f.dir))
}

// filesBelow are the names of all files of a folder.
func filesBelow(t *testing.T, folder string) []string {
	t.Helper()
	var names []string
	require.NoError(t, filepath.WalkDir(folder, func(path string, _ os.DirEntry, err error) error {
		names = append(names, path)
		return err
	}))
	return names
}

func TestRecordsOfFilesAreTried(t *testing.T) {
	folder := t.TempDir()
	spec := write(t, folder, "t.yaml", `
name: db.t
schema: {columns: [{name: id, type: long, required: true}, {name: n, type: int}]}
sources: [{topics: [t]}]
dead_letters: {classes: {range: skip}}
`)
	records := write(t, folder, "t.ndjson",
		`{"id": 1, "n": 2}`+"\n\n"+`{"n": 2}`+"\r\n"+`{"id": 3, "n": 1e99}`+"\n"+`{"id"`)
	out := firth(t, "test", spec, "--records", records, "--json")
	require.Equal(t, exitFallsShort, out.code, out.stderr)
	require.Contains(t, out.stderr, "3 of 4 records would be dead letters")
	var report testReport
	require.NoError(t, json.Unmarshal([]byte(out.stdout), &report))
	require.Len(t, report.Rows, 1)
	require.JSONEq(t, `{"id": 1, "n": 2, "_kafka_topic": "t", "_kafka_partition": 0, "_kafka_offset": 0,
		"_kafka_timestamp": "2026-01-01T00:00:00Z"}`, string(report.Rows[0].Row))
	require.Len(t, report.DeadLetters, 3)
	for i, class := range []decode.Class{decode.ClassRequired, decode.ClassRange, decode.ClassSyntax} {
		letter := report.DeadLetters[i]
		require.Equal(t, class, letter.Class)
		require.EqualValues(t, i+1, letter.Offset)
		require.NotEmpty(t, letter.Remedy)
		require.NotEmpty(t, letter.Message)
	}
	require.EqualValues(t, "skip", report.DeadLetters[1].Policy)
	require.Equal(t, "n", report.DeadLetters[1].Column)

	piped := firthWith(t.Context(), strings.NewReader(`{"id": 7}`), "test", spec, "--records", "-")
	require.Zero(t, piped.code, piped.stderr)
	require.Contains(t, piped.stdout, "1 records of files: 1 rows, 0 filtered out, 0 dead letters")
}

func TestATableThatFollowsItsWritersIsShownSo(t *testing.T) {
	folder := t.TempDir()
	spec := write(t, folder, "t.yaml", `
name: db.t
schema: {columns: [{name: id, type: long}]}
sources: [{topics: [t]}]
evolution: {unknown_fields: evolve}
`)
	records := write(t, folder, "t.ndjson", `{"id": 1}`+"\n"+`{"id": 2, "city": "Bern"}`)
	out := firth(t, "test", spec, "--records", records)
	require.Zero(t, out.code, out.stderr)
	require.Contains(t, out.stdout, "~ follows its writers: column city added: string")
	require.Contains(t, out.stdout, "2 rows")
	require.Contains(t, out.stdout, "Bern")
}

func TestATestThatCannotBeIsRefused(t *testing.T) {
	folder := t.TempDir()
	spec := write(t, folder, "t.yaml",
		"name: db.t\nschema: {columns: [{name: id, type: long}]}\nsources: [{topics: [t]}]\n")
	avro := write(t, folder, "a.yaml",
		"name: db.a\nschema: {columns: [{name: id, type: long}]}\nsources: [{topics: [a], format: avro}]\n")
	missing := filepath.Join(folder, "none.yaml")
	for want, args := range map[string][]string{
		"SPEC is missing":                       {},
		"none.yaml":                             {missing},
		"--from x is unknown":                   {spec, "--from", "x"},
		"both --from and --records are given":   {spec, "--from", "kafka", "--records", spec},
		"--limit -1 is out of range":            {spec, "--limit", "-1"},
		"there is no source 2":                  {spec, "--source", "2"},
		"have no schema of their own":           {spec, "--schema", spec},
		"--broken is for records that are made": {spec, "--broken", "1", "--records", spec},
		"give --schema FILE":                    {avro, "-c", filepath.Join(folder, "none")},
		"give --records files that can be read": {spec, "--records", missing},
	} {
		out := firth(t, append([]string{"test"}, args...)...)
		require.Equal(t, exitCouldNot, out.code, want)
		require.Contains(t, out.stderr, want)
	}
}
