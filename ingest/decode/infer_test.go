package decode

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cockroachdb/datadriven"
)

// TestInfer reads samples, one a line, from testdata/infer and prints what is guessed of them.
func TestInfer(t *testing.T) {
	datadriven.Walk(t, "testdata/infer", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			options := Options{Format: Format(d.Cmd)}
			d.MaybeScanArgs(t, "columns", &options.CSV.Columns)
			var samples [][]byte
			for line := range strings.Lines(d.Input) {
				samples = append(samples, []byte(strings.TrimSuffix(line, "\n")))
			}
			inferred, err := Infer(samples, options)
			if err != nil {
				return "error: " + err.Error() + "\n"
			}
			again, err := Infer(samples, options)
			require.NoError(t, err)
			require.Equal(t, describe(inferred), describe(again))
			checkInferred(t, inferred, options, samples)
			return describe(inferred)
		})
	})
}

// checkInferred decodes the samples with what was inferred from them: none may fail but those that
// are no records.
func checkInferred(t *testing.T, inferred Inferred, options Options, samples [][]byte) {
	t.Helper()
	options.Columns = inferred.Columns
	plan, err := NewPlan(inferred.Schema, options)
	require.NoError(t, err)
	for _, sample := range samples {
		_, failures := decodeValues(t, plan, string(sample))
		for _, failure := range failures {
			require.True(t, strings.HasPrefix(failure, "0 0 "), "%s: %s", failure, sample)
		}
	}
}

func describe(inferred Inferred) string {
	var b strings.Builder
	for _, field := range inferred.Schema.Fields() {
		fmt.Fprintln(&b, field.String())
	}
	plan, err := newPlan(inferred.Schema, Options{Columns: inferred.Columns})
	if err != nil {
		return err.Error()
	}
	var walk func(nodes []*node)
	walk = func(nodes []*node) {
		for _, n := range nodes {
			if options, ok := inferred.Columns[n.path]; ok {
				fmt.Fprintf(&b, "option %s: %+v\n", n.path, options)
			}
			walk(n.children)
		}
	}
	walk(plan.columns)
	for _, note := range inferred.Notes {
		fmt.Fprintln(&b, "note:", note)
	}
	return b.String()
}

func TestInferTellsTextFromBytes(t *testing.T) {
	inferred, err := Infer([][]byte{[]byte("a"), nil, {0xff}}, Options{Format: FormatRaw})
	require.NoError(t, err)
	require.Equal(t, "binary", inferred.Schema.Field(0).Type.String())
	_, err = Infer([][]byte{[]byte("a")}, Options{Format: "xml"})
	require.ErrorContains(t, err, `"xml"`)
}
