package sample

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/apache/iceberg-go"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/ingest/decode"
	"github.com/firthlake/firth/ingest/messageschema"
	"github.com/firthlake/firth/ingest/registry"
	"github.com/firthlake/firth/ingest/source"
)

// Options say for which table records are made.
type Options struct {
	// Schema holds the columns that records fill.
	Schema *iceberg.Schema
	// Decode is how the table's source is read.
	Decode decode.Options
	// Writer is the schema that Avro and Protobuf are written with. Values do not begin with its id.
	Writer *registry.Schema
	// Key and Sequence are columns that identify rows and put their versions in order.
	Key, Sequence []string
	// Texts are values that text columns take besides those of their kind, by the column's name.
	Texts map[string][]string
	Seed  uint64
}

// Maker makes records. It belongs to one goroutine.
type Maker struct {
	opts    Options
	random  *rand.Rand
	number  int64
	avro    *messageschema.AvroType
	message protoreflect.MessageDescriptor
}

// New returns a maker, or an error that says which records cannot be made.
func New(ctx context.Context, opts Options) (*Maker, error) {
	m := &Maker{opts: opts}
	switch opts.Decode.Format {
	case decode.FormatJSON, decode.FormatCSV, decode.FormatRaw, decode.FormatJSONSchema:
		return m, nil
	case decode.FormatAvro, decode.FormatProtobuf:
	default:
		return nil, fmt.Errorf("no records of format %q are made", opts.Decode.Format)
	}
	switch {
	case opts.Writer == nil:
		return nil, fmt.Errorf("records of format %s are made by the schema of their writer, and there is none",
			opts.Decode.Format)
	case len(opts.Decode.Envelope.After) > 0:
		return nil, fmt.Errorf("no change events are made in format %s", opts.Decode.Format)
	}
	return m, m.compile(ctx)
}

// compile reads the writer's schema.
func (m *Maker) compile(ctx context.Context) (err error) {
	imports := map[string]string{}
	var texts []string
	for _, i := range m.opts.Writer.Imports {
		imports[i.Name] = i.Text
		texts = append(texts, i.Text)
	}
	if m.opts.Decode.Format == decode.FormatAvro {
		if m.avro, err = messageschema.ParseAvro(m.opts.Writer.Text, texts...); err != nil {
			return err
		}
		if m.avro.Kind != messageschema.AvroRecord {
			return errors.New("the writer's schema is no record")
		}
		return nil
	}
	file, err := messageschema.ParseProtobuf(ctx, m.opts.Writer.Text, imports)
	if err != nil {
		return err
	}
	m.message, err = messageschema.ProtobufMessage(file, []int{0})
	return err
}

// firstMillis is the time of record 0, 2026-01-01T00:00:00Z; records are a second apart.
const firstMillis = 1_767_225_600_000

// millis is the time of the record at work.
func (m *Maker) millis() int64 { return Millis(m.number) }

// Record makes the record of a number. It owns its bytes.
func (m *Maker) Record(number int64) source.Record {
	m.number = number
	m.random = rand.New(rand.NewPCG(m.opts.Seed, uint64(number)))
	r := source.Record{Offset: commit.Offset(number), Timestamp: m.millis()}
	switch m.opts.Decode.Format {
	case decode.FormatAvro:
		r.Value = m.appendAvro(nil, avroValue{kind: m.avro})
	case decode.FormatProtobuf:
		r.Value = m.protobuf()
	case decode.FormatCSV:
		r.Value = m.csv()
	case decode.FormatRaw:
		r.Value = []byte(m.text("message"))
	default:
		r.Key, r.Value = m.json()
	}
	return r
}

// Spoil makes a record that is no row: by turns it breaks off in the middle, or holds a value of another
// kind than the column's where the format shows how and no delete can ignore it.
func (m *Maker) Spoil(r *source.Record) {
	plain := m.opts.Decode.Format == decode.FormatJSON && len(m.opts.Decode.Envelope.After) == 0
	if plain && r.Offset%2 == 0 {
		if value, ok := m.mistyped(r.Offset); ok {
			r.Value = value
			return
		}
	}
	r.Value = r.Value[:len(r.Value)/2]
}

// below returns a number from 0 up, less than n.
func (m *Maker) below(n int64) int64 { return m.random.Int64N(n) }

// isKey says whether a column identifies rows; few values make versions of one row meet.
func (m *Maker) isKey(name string) bool {
	return slices.Contains(m.opts.Key, name) || slices.Contains(m.opts.Decode.Envelope.Key, name)
}

// null says of an optional value whether it is missing: one in eight.
func (m *Maker) null(name string, required bool) bool {
	return !required && !m.isKey(name) && !slices.Contains(m.opts.Sequence, name) && m.below(8) == 0
}

// Millis is the timestamp of the record of a number.
func Millis(number int64) int64 { return firstMillis + 1000*number }
