package decode

import (
	"fmt"
	"math/big"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	"github.com/hamba/avro/v2"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/firthlake/firth/ingest/registry"
	"github.com/firthlake/firth/ingest/source"
)

// The ten mixed columns that the project measures with.
const (
	eventsAvro = `{"type":"record","name":"Event","fields":[
		{"name":"id","type":"long"},
		{"name":"at","type":{"type":"long","logicalType":"timestamp-micros"}},
		{"name":"user","type":"int"},{"name":"kind","type":"string"},
			{"name":"country","type":"string"},
		{"name":"url","type":"string"},{"name":"score","type":"double"},
		{"name":"price","type":{"type":"bytes","logicalType":"decimal","precision":12,"scale":2}},
		{"name":"ok","type":"boolean"},{"name":"token","type":"string"}]}`
	eventsProto = `syntax = "proto3"; message Event { int64 id = 1; int64 at = 2; int32 user = 3;
		string kind = 4; string country = 5; string url = 6; double score = 7; int64 price = 8;
		bool ok = 9; string token = 10; }`
)

// eventRows is the number of records of a benchmark's chunk.
const eventRows = 10_000

// eventStrings are kind, country, url and token of a random event.
func eventStrings(r *rand.Rand) [4]string {
	return [4]string{
		[]string{"view", "click", "purchase"}[r.IntN(3)], []string{"DE", "FR", "US",
			"JP"}[r.IntN(4)],
		fmt.Sprintf("https://shop.example/item/%d", r.IntN(10_000_000)),
		fmt.Sprintf("%016x%016x", r.Uint64(), r.Uint64()),
	}
}

func benchmarkWriter(b *testing.B, f writerFixture, values [][]byte) {
	plan, err := NewWriterPlan(b.Context(), f.columns, f.options, f.writer)
	if err != nil {
		b.Fatal(err)
	}
	decoder := plan.NewDecoder(memory.DefaultAllocator)
	defer decoder.Close()
	chunk, size := chunkOf(values...), 0
	for _, value := range values {
		size += len(value)
	}
	b.SetBytes(int64(size))
	b.ReportAllocs()
	before := cpuTime(b)
	for b.Loop() {
		decodeOnce(b, decoder, chunk)
	}
	b.ReportMetric(float64(b.N)*eventRows/(cpuTime(b)-before).Seconds(), "rows/cpu-s")
}

// cpuTime is what the process has used of all cores: on a busy machine wall time says little.
func cpuTime(tb testing.TB) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func decodeOnce(b testing.TB, decoder Decoder, chunk *source.Chunk) {
	decoded, err := decoder.Decode(b.Context(), chunk)
	if err != nil || len(decoded.Failures) > 0 {
		b.Fatal(err, decoded.Failures)
	}
	decoded.Batch.Release()
}

func avroEvents(tb testing.TB) [][]byte {
	schema, err := avro.Parse(eventsAvro)
	if err != nil {
		tb.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 1))
	var values [][]byte
	for i := range eventRows {
		texts := eventStrings(r)
		value := registry.AppendHeader(nil, 1)
		payload, err := avro.Marshal(schema, map[string]any{
			"id": int64(i), "at": int64(1_700_000_000_000_000 + i), "user": r.IntN(1_000_000),
			"kind": texts[0], "country": texts[1], "url": texts[2], "score": r.Float64(),
			"price": bigRat(r), "ok": r.IntN(2) == 0, "token": texts[3],
		})
		if err != nil {
			tb.Fatal(err)
		}
		values = append(values, append(value, payload...))
	}
	return values
}

func protoEvents(tb testing.TB) ([][]byte, *iceberg.Schema) {
	r := rand.New(rand.NewPCG(1, 1))
	descriptor := protoFile(tb, eventsProto).Messages().Get(0)
	var values [][]byte
	for i := range eventRows {
		texts := eventStrings(r)
		m := dynamicpb.NewMessage(descriptor)
		for n, v := range []any{int64(i), int64(1_700_000_000_000_000 + i),
			int32(r.IntN(1_000_000)),
			texts[0], texts[1], texts[2], r.Float64(), int64(r.IntN(1_000_000)), true, texts[3]} {
			m.Set(descriptor.Fields().Get(n), protoreflect.ValueOf(v))
		}
		// Writers send fields by number, which a dynamic message does only when it is told to.
		payload, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
		if err != nil {
			tb.Fatal(err)
		}
		values = append(values, append(framed(1, 0), payload...))
	}
	return values, protoTable(tb, eventsProto)
}

func BenchmarkAvroEvents(b *testing.B) {
	benchmarkWriter(b, avroFixture(b, eventsAvro, eventsAvro), avroEvents(b))
}

func BenchmarkProtobufEvents(b *testing.B) {
	values, table := protoEvents(b)
	benchmarkWriter(b, protoFixture(b, table, eventsProto), values)
}

func TestDecodingAllocatesNothingPerRecord(t *testing.T) {
	avroTable, avroValues := avroFixture(t, eventsAvro, eventsAvro), avroEvents(t)
	protoValues, table := protoEvents(t)
	for name, test := range map[string]struct {
		fixture writerFixture
		values  [][]byte
	}{
		"avro":     {avroTable, avroValues},
		"protobuf": {protoFixture(t, table, eventsProto), protoValues},
	} {
		plan, err := NewWriterPlan(t.Context(), test.fixture.columns, test.fixture.options,
			test.fixture.writer)
		if err != nil {
			t.Fatal(err)
		}
		decoder := plan.NewDecoder(memory.DefaultAllocator)
		chunk := chunkOf(test.values...)
		decodeOnce(t, decoder, chunk)
		allocations := testing.AllocsPerRun(5, func() { decodeOnce(t, decoder, chunk) })
		if allocations > 500 { // some for each column of the batch, none for its 10,000 records
			t.Errorf("%s: %.0f allocations", name, allocations)
		}
		decoder.Close()
	}
}

func bigRat(r *rand.Rand) *big.Rat { return big.NewRat(int64(r.IntN(1_000_000)), 100) }
