package gen

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"strings"
	"testing"

	"github.com/hamba/avro/v2"
	"github.com/stretchr/testify/require"
)

func newGenerator(t testing.TB, workload string, format Format) *Generator {
	t.Helper()
	opts := Options{Workload: workload, Format: format, Seed: 7}
	if format == JSONSchema {
		opts.SchemaID = 9
	}
	g, err := New(opts)
	require.NoError(t, err)
	return g
}

func TestRowsAreTheSameInAnyOrder(t *testing.T) {
	for _, workload := range Workloads() {
		g := newGenerator(t, workload, JSON)
		forward := [][]byte{}
		for row := range int64(50) {
			forward = append(forward, g.Append(nil, row))
		}
		other := g.Clone()
		for row := int64(49); row >= 0; row-- {
			require.Equal(t, string(forward[row]), string(other.Append(nil, row)), workload)
		}
	}
}

func TestJSONIsValid(t *testing.T) {
	for _, workload := range Workloads() {
		g := newGenerator(t, workload, JSON)
		for row := range int64(1000) {
			var object map[string]any
			require.NoError(t, json.Unmarshal(g.Append(nil, row), &object), workload)
		}
	}
}

func TestEvents10HasTheSizeOfTheTarget(t *testing.T) {
	g := newGenerator(t, "events10", JSON)
	var size int
	const rows = 20_000
	for row := range int64(rows) {
		size += len(g.Append(nil, row))
	}
	require.InDelta(t, 238, float64(size)/rows, 2)
}

func TestAvroReadsAsTheSameValues(t *testing.T) {
	for _, workload := range Workloads() {
		fromAvro, fromJSON := newGenerator(t, workload, Avro), newGenerator(t, workload, JSON)
		schema, err := avro.Parse(fromAvro.SchemaText())
		require.NoError(t, err)
		for row := range int64(200) {
			var decoded map[string]any
			require.NoError(t, avro.Unmarshal(schema, fromAvro.Append(nil, row), &decoded))
			var want map[string]any
			require.NoError(t, json.Unmarshal(fromJSON.Append(nil, row), &want))
			require.Equal(t, want["event_id"], decoded["event_id"])
			require.Equal(t, want["message"], decoded["message"])
			if want["amount"] != nil {
				require.Equal(t, want["amount"], decoded["amount"])
			}
		}
	}
}

func TestCSVHasOneCellPerColumn(t *testing.T) {
	for _, workload := range []string{"events10", "wide50", "logs"} {
		g := newGenerator(t, workload, CSV)
		var file bytes.Buffer
		_, err := Write(t.Context(), &file, g, Run{Rows: 300})
		require.NoError(t, err)
		rows, err := csv.NewReader(&file).ReadAll()
		require.NoError(t, err)
		require.Len(t, rows, 301)
	}
	_, err := New(Options{Workload: "nested", Format: CSV})
	require.ErrorContains(t, err, "nested fields")
}

func TestTotalsOfPartsAddUp(t *testing.T) {
	g := newGenerator(t, "nested", JSON)
	whole := g.NewTotals()
	parts := []*Totals{g.NewTotals(), g.NewTotals()}
	for row := range int64(400) {
		encoded := g.Append(nil, row)
		partition := Partition(g.AppendKey(nil), 4)
		g.Count(whole, partition, encoded)
		g.Count(parts[row%2], partition, encoded)
	}
	parts[0].Add(parts[1])
	require.Equal(t, whole, parts[0])
	require.Len(t, whole.Partitions, 4)
}

func TestSchemaTextsNameEveryField(t *testing.T) {
	for _, workload := range Workloads() {
		for _, format := range []Format{Avro, Protobuf, JSONSchema} {
			g := newGenerator(t, workload, format)
			for _, f := range g.workload.fields {
				require.True(t, strings.Contains(g.SchemaText(), f.name), "%s %s", workload, format)
			}
		}
	}
}

func TestPrefixNamesTheSchema(t *testing.T) {
	g, err := New(Options{Workload: "events10", Format: Protobuf, SchemaID: 0x01020304})
	require.NoError(t, err)
	require.Equal(t, []byte{0, 1, 2, 3, 4, 0}, g.Append(nil, 0)[:6])
}

func BenchmarkAppend(b *testing.B) {
	for _, format := range []Format{JSON, Avro, Protobuf} {
		b.Run(string(format), func(b *testing.B) {
			g := newGenerator(b, "events10", format)
			var buffer []byte
			row := int64(0)
			for b.Loop() {
				buffer = g.Append(buffer[:0], row)
				row++
			}
			b.ReportMetric(float64(row)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}
