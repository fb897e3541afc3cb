package decode

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"

	"github.com/apache/iceberg-go"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/ingest/source"
	"github.com/firthlake/firth/table/recycle"
)

// chunkRows is the size of a fetched chunk in the benchmarks.
const chunkRows = 4096

// cpuSeconds is the time that the process has had on the processor.
func cpuSeconds(b *testing.B) float64 {
	var usage syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return float64(usage.Utime.Nano()+usage.Stime.Nano()) / 1e9
}

func benchmarkDecode(b *testing.B, plan *Plan, chunk *source.Chunk) {
	decoder := plan.NewDecoder(recycle.New())
	defer decoder.Close()
	bytes := 0
	for _, record := range chunk.Records {
		bytes += len(record.Value)
	}
	b.SetBytes(int64(bytes))
	b.ReportAllocs()
	b.ResetTimer()
	before := cpuSeconds(b)
	for b.Loop() {
		decoded, err := decoder.Decode(b.Context(), chunk)
		if err != nil || len(decoded.Failures) > 0 {
			b.Fatal(err, decoded.Failures)
		}
		decoded.Batch.Release()
	}
	b.ReportMetric(float64(b.N*len(chunk.Records))/(cpuSeconds(b)-before), "rows/cpu-s")
}

func withMetadata(fields []iceberg.NestedField) []iceberg.NestedField {
	id := 1000
	for _, name := range DefaultMetadataColumns() {
		field, err := MetadataField(name, func() int { id++; return id })
		if err != nil {
			panic(err)
		}
		fields = append(fields, field)
	}
	return fields
}

func events10(b *testing.B) ([]iceberg.NestedField, *source.Chunk) {
	prim := iceberg.PrimitiveTypes
	fields := []iceberg.NestedField{{Name: "event_id", Type: prim.String}, {Name: "user_id", Type: prim.Int64},
		{Name: "event_type", Type: prim.String}, {Name: "ts", Type: prim.TimestampTz}, {Name: "url", Type: prim.String},
		{Name: "amount", Type: prim.Float64}, {Name: "quantity", Type: prim.Int32},
		{Name: "country", Type: prim.String},
		{Name: "is_mobile", Type: prim.Bool}, {Name: "session", Type: prim.String}}
	random := rand.New(rand.NewPCG(1, 2))
	chunk := &source.Chunk{TopicPartition: commit.TopicPartition{Topic: "events"}}
	for i := range chunkRows {
		var id uuid.UUID
		for k := range id {
			id[k] = byte(random.Uint32())
		}
		value := fmt.Appendf(nil,
			`{"event_id":"%s","user_id":%d,"event_type":"%s","ts":%d,"url":"/catalog/item/%d?ref=%d",`+
				`"amount":%.2f,"quantity":%d,"country":"%s","is_mobile":%t,"session":"%016x%016x"}`, id,
			random.IntN(1_000_000),
			[]string{"view", "click", "purchase", "search"}[i%4], 1_790_000_000_000+int64(i)*7, random.IntN(100000),
			random.IntN(100), random.Float64()*500, random.IntN(9)+1, []string{"DE", "FR", "US"}[i%3], i%2 == 0,
			random.Uint64(), random.Uint64())
		chunk.Records = append(chunk.Records, source.Record{Value: value, Offset: commit.Offset(i),
			Timestamp: 1_790_000_000_000})
	}
	return fields, chunk
}

func BenchmarkJSONEvents10(b *testing.B) {
	fields, chunk := events10(b)
	plan, err := NewPlan(testSchema(withMetadata(fields)...), Options{Format: FormatJSON})
	require.NoError(b, err)
	benchmarkDecode(b, plan, chunk)
}

// BenchmarkJSONShuffled has the fields in another order than the columns and unknown ones between.
func BenchmarkJSONShuffled(b *testing.B) {
	fields, chunk := events10(b)
	fields[0], fields[7] = fields[7], fields[0]
	fields[2], fields[5] = fields[5], fields[2]
	plan, err := NewPlan(testSchema(withMetadata(fields[:8])...), Options{Format: FormatJSON})
	require.NoError(b, err)
	benchmarkDecode(b, plan, chunk)
}

func BenchmarkJSONNested(b *testing.B) {
	prim := iceberg.PrimitiveTypes
	fields := []iceberg.NestedField{
		{Name: "id", Type: prim.UUID},
		{Name: "at", Type: prim.TimestampTz},
		{Name: "total", Type: iceberg.DecimalTypeOf(12, 2)},
		{Name: "customer", Type: structOf(iceberg.NestedField{ID: 101, Name: "id", Type: prim.Int64},
			iceberg.NestedField{ID: 102, Name: "name", Type: prim.String})},
		{Name: "lines", Type: &iceberg.ListType{ElementID: 110, Element: structOf(
			iceberg.NestedField{ID: 111, Name: "sku", Type: prim.String},
			iceberg.NestedField{ID: 112, Name: "count", Type: prim.Int32},
			iceberg.NestedField{ID: 113, Name: "price", Type: iceberg.DecimalTypeOf(12, 2)})}},
		{Name: "tags", Type: &iceberg.MapType{KeyID: 120, KeyType: prim.String, ValueID: 121, ValueType: prim.String}},
	}
	plan, err := NewPlan(testSchema(withMetadata(fields)...), Options{Format: FormatJSON})
	require.NoError(b, err)
	chunk := &source.Chunk{TopicPartition: commit.TopicPartition{Topic: "orders"}}
	for i := range chunkRows {
		chunk.Records = append(chunk.Records, source.Record{Value: fmt.Appendf(nil,
			`{"id":"6ba7b810-9dad-11d1-80b4-%012x","at":"2026-11-21T05:%02d:%02d.123456Z","total":"%d.95",`+
				`"customer":{"id":%d,"name":"Käthe Müller"},"lines":[{"sku":"A-%d","count":2,"price":19.90},`+
				`{"sku":"B-\u00fc","count":1,"price":5}],"tags":{"channel":"web","coupon":null}}`,
			i, i/60%60, i%60, i, i*17, i%100)})
	}
	benchmarkDecode(b, plan, chunk)
}

func BenchmarkCSVEvents(b *testing.B) {
	prim := iceberg.PrimitiveTypes
	plan, err := NewPlan(testSchema(withMetadata([]iceberg.NestedField{{Name: "id", Type: prim.Int64},
		{Name: "at", Type: prim.TimestampTz}, {Name: "url", Type: prim.String},
		{Name: "amount", Type: prim.Float64}})...),
		Options{Format: FormatCSV})
	require.NoError(b, err)
	chunk := &source.Chunk{}
	for i := range chunkRows {
		chunk.Records = append(chunk.Records, source.Record{Value: fmt.Appendf(nil,
			`%d,2026-11-21T05:11:43Z,"/catalog/item/%d, new",%d.25`, i, i, i)})
	}
	benchmarkDecode(b, plan, chunk)
}

// BenchmarkJSONUnordered has the fields of each record in an order of its own: nothing to predict.
func BenchmarkJSONUnordered(b *testing.B) {
	fields, chunk := events10(b)
	random := rand.New(rand.NewPCG(3, 4))
	for i := range chunk.Records {
		record := &chunk.Records[i]
		parts := strings.Split(strings.Trim(string(record.Value), "{}"), ",")
		random.Shuffle(len(parts), func(i, k int) { parts[i], parts[k] = parts[k], parts[i] })
		record.Value = []byte("{" + strings.Join(parts, ",") + "}")
	}
	plan, err := NewPlan(testSchema(withMetadata(fields)...), Options{Format: FormatJSON})
	require.NoError(b, err)
	benchmarkDecode(b, plan, chunk)
}

// BenchmarkJSONWide50 has 50 mixed columns, some of which are missing or null.
func BenchmarkJSONWide50(b *testing.B) {
	prim := iceberg.PrimitiveTypes
	types := []iceberg.Type{prim.String, prim.Int64, prim.Float64, prim.Bool, prim.TimestampTz, prim.Int32,
		prim.Date, iceberg.DecimalTypeOf(12, 2), prim.UUID, prim.String}
	var fields []iceberg.NestedField
	for i := range 50 {
		fields = append(fields, iceberg.NestedField{Name: fmt.Sprintf("column_%02d", i), Type: types[i%10]})
	}
	random := rand.New(rand.NewPCG(5, 6))
	chunk := &source.Chunk{}
	for range chunkRows {
		var parts []string
		for i, field := range fields {
			value := []string{`"a word"`, "%d", "%d.125", "true", `"2026-11-21T05:11:43Z"`, "%d", `"2026-11-21"`,
				"%d.95", `"6ba7b810-9dad-11d1-80b4-00c04fd430c8"`, `"Zürich"`}[i%10]
			if strings.Contains(value, "%") {
				value = fmt.Sprintf(value, random.IntN(1e6))
			}
			if random.IntN(40) == 0 {
				value = "null"
			}
			if random.IntN(40) > 0 {
				parts = append(parts, fmt.Sprintf(`"%s":%s`, field.Name, value))
			}
		}
		chunk.Records = append(chunk.Records, source.Record{Value: []byte("{" + strings.Join(parts, ",") + "}")})
	}
	plan, err := NewPlan(testSchema(withMetadata(fields)...), Options{Format: FormatJSON})
	require.NoError(b, err)
	benchmarkDecode(b, plan, chunk)
}
