package stage

import (
	"context"
	"fmt"
	"strings"

	"github.com/apache/iceberg-go"
	"github.com/google/uuid"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/ingest/decode"
	"github.com/firthlake/firth/ingest/gen"
	"github.com/firthlake/firth/ingest/registry"
	"github.com/firthlake/firth/ingest/source"
	"github.com/firthlake/firth/ingest/spec"
)

// Feed says which rows a stage works on and how they are written.
type Feed struct {
	Workload, Format string
}

// schemaID is the id of the one schema of the benchmark's registry.
const schemaID = 1

// Generator makes the feed's rows.
func (f Feed) Generator() (*gen.Generator, error) {
	options := gen.Options{Workload: f.Workload, Format: gen.Format(f.Format), Seed: 1}
	if options.Format != gen.JSON {
		options.SchemaID = schemaID
	}
	return gen.New(options)
}

// Spec is a table for the generator's rows from one source, all else left to the defaults.
func Spec(name string, from spec.Source, g *gen.Generator) spec.Spec {
	s := spec.Spec{Name: name, Sources: []spec.Source{from}}
	for _, f := range g.Schema().Fields() {
		s.Schema.Columns = append(s.Schema.Columns, spec.Column{Name: f.Name, Type: spec.FormatType(f.Type)})
	}
	return s
}

// Schemas is a schema registry that knows the one schema of a feed.
type Schemas struct{ schema registry.Schema }

// NewSchemas returns the registry for a format and the text of its schema. Plain JSON and CSV need none.
func NewSchemas(format, text string) *Schemas {
	languages := map[gen.Format]registry.Format{gen.Avro: registry.Avro, gen.Protobuf: registry.Protobuf,
		gen.JSONSchema: registry.JSONSchema}
	return &Schemas{registry.Schema{ID: schemaID, Format: languages[gen.Format(format)], Text: text}}
}

// ByID returns the schema if it has the id.
func (s *Schemas) ByID(_ context.Context, id int32) (*registry.Schema, error) {
	if id != s.schema.ID {
		return nil, registry.ErrUnknownID
	}
	return &s.schema, nil
}

// topic is the name of the topic that made records seem to come from.
const topic = "firth-bench"

// plan compiles how the feed's records become rows; without a schema, those of a table that was just
// created for them.
func (f Feed) plan(ctx context.Context, g *gen.Generator, schema *iceberg.Schema) (*decode.Plan, error) {
	described := Spec("bench.rows", spec.Source{Topics: []string{topic}, Format: f.Format}, g)
	text, err := spec.Marshal(&described)
	if err != nil {
		return nil, err
	}
	s, err := spec.Parse("bench.yaml", text)
	if err != nil {
		return nil, err
	}
	if schema == nil {
		if schema, err = s.TableSchema(); err != nil {
			return nil, err
		}
	}
	options, err := s.DecodeOptions(s.Sources[0])
	if err != nil {
		return nil, err
	}
	if g.SchemaText() == "" {
		return decode.NewPlan(schema, options)
	}
	return decode.NewWriterPlan(ctx, schema, options,
		decode.WriterOptions{Schemas: NewSchemas(f.Format, g.SchemaText())})
}

// Bounds of what is made ready. A chunk is what one worker of the service decodes at once; all of them are
// more than the caches of a machine hold, and little beside the memory of the process.
const (
	chunkRows    = 8 << 10
	chunkBytes   = 4 << 20
	poolBytesMax = 32 << 20
)

// chunks makes rows ready as chunks of one topic partition, as many as the bound allows.
func chunks(g *gen.Generator, rows int64) []source.Chunk {
	log := newMadeLog(g)
	var out []source.Chunk
	for bytes := 0; bytes < poolBytesMax && int64(log.next) < rows; {
		chunk := log.chunk(min(chunkRows, rows-int64(log.next)))
		bytes += chunkSize(&chunk)
		out = append(out, chunk)
	}
	return out
}

// madeLog is a topic partition that holds the rows of a generator.
type madeLog struct {
	g    *gen.Generator
	id   commit.TopicPartition
	next commit.Offset
}

func newMadeLog(g *gen.Generator) *madeLog {
	return &madeLog{g: g, id: commit.TopicPartition{Cluster: "bench", Topic: topic, TopicID: uuid.Max}}
}

// chunk makes the next rows, fewer when they are large.
func (l *madeLog) chunk(rows int64) source.Chunk {
	const begun = 1_790_000_000_000 // milliseconds
	chunk := source.Chunk{TopicPartition: l.id, From: l.next}
	var buffer []byte
	ends := make([]int, 0, rows)
	for int64(len(ends)) < rows && len(buffer) < chunkBytes {
		buffer = l.g.Append(buffer, int64(l.next)+int64(len(ends)))
		ends = append(ends, len(buffer))
	}
	chunk.Records = make([]source.Record, len(ends))
	start := 0
	for i, end := range ends {
		chunk.Records[i] = source.Record{Value: buffer[start:end:end], Offset: l.next,
			Timestamp: begun + int64(l.next)/1000}
		l.next++
		start = end
	}
	chunk.Next = l.next
	return chunk
}

// chunkSize is the bytes of a chunk's values.
func chunkSize(chunk *source.Chunk) int {
	n := 0
	for i := range chunk.Records {
		n += len(chunk.Records[i].Value)
	}
	return n
}

// decoded refuses rows with failures: the figures would be of something else.
func decoded(out decode.Decoded) error {
	if len(out.Failures) == 0 {
		return nil
	}
	f := out.Failures[0]
	return fmt.Errorf("row %d: %s: %s", f.Row, f.Class, strings.TrimSpace(f.Message))
}
