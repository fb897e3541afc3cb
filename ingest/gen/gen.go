package gen

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/cespare/xxhash/v2"
)

// Format is how values are written.
type Format string

// The formats.
const (
	JSON       Format = "json"
	Avro       Format = "avro"
	Protobuf   Format = "protobuf"
	JSONSchema Format = "jsonschema" // JSON behind the registry's prefix
	CSV        Format = "csv"
)

// Options say what to generate.
type Options struct {
	Workload string
	Format   Format
	Seed     uint64
	// SchemaID is the registry's id of Schema; values of Avro, Protobuf and JSON Schema begin with
	// it unless it is 0.
	SchemaID int32
}

// Generator makes the rows of one workload and seed in one format. It belongs to one goroutine;
// Clone makes another.
type Generator struct {
	opts     Options
	workload workload
	row      row
	scratch  [][]byte // for nested Protobuf messages, by depth
}

// New returns a generator, or an error that lists the choices.
func New(opts Options) (*Generator, error) {
	w, err := findWorkload(opts.Workload)
	if err != nil {
		return nil, err
	}
	switch opts.Format {
	case JSON, Avro, Protobuf:
	case JSONSchema:
		if opts.SchemaID == 0 {
			return nil, errors.New("format jsonschema needs the id of a registered schema")
		}
	case CSV:
		for _, f := range w.fields {
			if f.kind >= kindRecord {
				return nil, fmt.Errorf("workload %s has nested fields, which CSV cannot hold", w.name)
			}
		}
	default:
		return nil, fmt.Errorf("no format %q: choose one of json, avro, protobuf, jsonschema, csv", opts.Format)
	}
	return &Generator{opts: opts, workload: w}, nil
}

// Clone returns an independent generator of the same rows.
func (g *Generator) Clone() *Generator {
	return &Generator{opts: g.opts, workload: g.workload}
}

// Append draws row number and appends its encoded value to dst. Key, Partition and Totals.Add speak
// about the row drawn last.
func (g *Generator) Append(dst []byte, number int64) []byte {
	g.row.reset(g.opts.Seed, number)
	draw(&g.row, g.workload.fields)
	dst = g.appendPrefix(dst)
	switch g.opts.Format {
	case Avro:
		dst, _ = appendAvro(dst, g.workload.fields, g.row.values)
	case Protobuf:
		dst, _ = g.appendProtobuf(dst, g.workload.fields, g.row.values, 0)
	case CSV:
		dst = appendCSV(dst, g.workload.fields, g.row.values)
	default:
		dst, _ = appendJSON(dst, g.workload.fields, g.row.values)
	}
	return dst
}

func draw(r *row, fields []field) {
	for i := range fields {
		f := &fields[i]
		switch {
		case f.kind == kindRecord:
			draw(r, f.fields)
		case f.kind == kindList && f.fields != nil:
			f.draw(r)
			for range r.values[len(r.values)-1].n {
				draw(r, f.fields)
			}
		default:
			f.draw(r)
		}
	}
}

// appendPrefix appends the registry's wire prefix: a zero byte, the schema id, and for Protobuf the
// index of the message in its file (0, the first, in its short form).
func (g *Generator) appendPrefix(dst []byte) []byte {
	id := g.opts.SchemaID
	if id == 0 || g.opts.Format == JSON || g.opts.Format == CSV {
		return dst
	}
	dst = append(dst, 0, byte(id>>24), byte(id>>16), byte(id>>8), byte(id))
	if g.opts.Format == Protobuf {
		dst = append(dst, 0)
	}
	return dst
}

// AppendKey appends the key of the row drawn last.
func (g *Generator) AppendKey(dst []byte) []byte {
	key := g.row.values[g.workload.keyField]
	if g.workload.fields[g.workload.keyField].kind == kindText {
		return append(dst, key.text...)
	}
	return strconv.AppendInt(dst, key.n, 10)
}

// Partition says to which of a topic's partitions a key goes.
func Partition(key []byte, partitions int32) int32 {
	return int32(xxhash.Sum64(key) % uint64(partitions))
}

// Header is the line that names the columns of a CSV file, with its line end; nil for other formats.
func (g *Generator) Header() []byte {
	if g.opts.Format != CSV {
		return nil
	}
	var names []string
	for _, f := range g.workload.fields {
		names = append(names, f.name)
	}
	return []byte(strings.Join(names, ",") + "\n")
}
