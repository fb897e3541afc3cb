package main

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/ingest/spec"
)

// docs are the texts that promise something about the command line.
func docs(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, name := range []string{"README.md", "docs/operations.md"} {
		text, err := os.ReadFile(filepath.Join("../..", name))
		require.NoError(t, err)
		out[name] = string(text)
	}
	return out
}

func TestDocumentedCommandsExist(t *testing.T) {
	command := regexp.MustCompile("(?m)^(?: {4})?(firth [^\n`]*)|`(firth [^`]*)`")
	found := 0
	for name, text := range docs(t) {
		for _, match := range command.FindAllStringSubmatch(text, -1) {
			line, _, _ := strings.Cut(match[1]+match[2], "#")
			line, _, _ = strings.Cut(line, ">")
			args := strings.Fields(line)[1:]
			cmd, rest, err := (&program{}).root().Find(args)
			require.NoError(t, err, "%s: %s", name, line)
			require.NotEqual(t, "firth", cmd.Name(), "%s: %s", name, line)
			for _, arg := range rest {
				if flag, ok := strings.CutPrefix(arg, "--"); ok {
					require.NotNil(t, cmd.Flag(flag), "%s: %s has no --%s", name, line, flag)
				}
			}
			found++
		}
	}
	require.Greater(t, found, 15, "the pattern finds the commands")
}

func TestEveryCommandAndKeyIsDocumented(t *testing.T) {
	operations := docs(t)["docs/operations.md"]
	for _, cmd := range (&program{}).root().Commands() {
		if cmd.Name() != "help" {
			require.True(t, strings.Contains(operations, "`"+cmd.Name()), cmd.Name())
		}
	}
	for _, key := range append(keys(reflect.TypeFor[config]()), keys(reflect.TypeFor[spec.Spec]())...) {
		require.True(t, regexp.MustCompile("[`.]"+key+"[`.:]").MatchString(operations), key)
	}
}

// keys are the names of all settings of a type, at any depth.
func keys(t reflect.Type) []string {
	switch t.Kind() {
	case reflect.Map, reflect.Slice:
		return keys(t.Elem())
	case reflect.Struct:
		var out []string
		for i := range t.NumField() {
			if tag, _, _ := strings.Cut(t.Field(i).Tag.Get("yaml"), ","); tag != "" {
				out = append(append(out, tag), keys(t.Field(i).Type)...)
			}
		}
		return out
	}
	return nil
}

func TestExamplesAreValid(t *testing.T) {
	files, err := filepath.Glob("../../docs/examples/*.yaml")
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(files), 5)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		if filepath.Base(file) == "firth.yaml" {
			p := &program{configPath: file, getenv: func(name string) (string, bool) { return "from-" + name, true }}
			_, err = p.loadConfig()
		} else {
			_, err = spec.Parse(file, text)
		}
		require.NoError(t, err, file)
	}
}

func TestSpecsInReadmeAreValid(t *testing.T) {
	blocks := strings.Split(docs(t)["README.md"], "```yaml\n")[1:]
	require.Len(t, blocks, 2)
	for _, block := range blocks {
		text, _, _ := strings.Cut(block, "```")
		_, err := spec.Parse("README.md", []byte(text))
		require.NoError(t, err)
	}
}

func TestLinksLeadSomewhere(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#:]+)\)`)
	for name, text := range docs(t) {
		for _, match := range link.FindAllStringSubmatch(text, -1) {
			_, err := os.Stat(filepath.Join("../..", filepath.Dir(name), match[1]))
			require.NoError(t, err, "%s: %s", name, match[1])
		}
	}
}
