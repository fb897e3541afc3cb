package decode

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/ingest/messageschema"
)

// avroWorld makes random schemas of writers, and values of them.
type avroWorld struct {
	*writerWorld
	names int
	open  []*avroShape // the records that what is made lies in
}

func (w *avroWorld) name(prefix string) string {
	w.names++
	return fmt.Sprintf("%s%d", prefix, w.names)
}

func (w *avroWorld) scalar() *avroShape {
	switch kind := w.random.IntN(12); kind {
	case 0, 1, 2, 3, 4, 5, 6:
		return &avroShape{kind: []string{"boolean", "int", "long", "float", "double", "bytes", "string"}[kind]}
	case 7:
		s := &avroShape{kind: "enum", name: w.name("E")}
		for i := range 1 + w.random.IntN(5) {
			s.symbols = append(s.symbols, fmt.Sprintf("S%d", i))
		}
		return s
	case 8:
		s := &avroShape{kind: "fixed", name: w.name("F"), size: []int{0, 1, 3, 16, 12, 20}[w.random.IntN(6)]}
		switch {
		case s.size == 16 && w.chance(2):
			s.logical = "uuid"
		case s.size == 12 && w.chance(2):
			s.logical = "duration"
		case w.chance(2):
			w.decimal(s)
		}
		return s
	case 9:
		s := &avroShape{kind: "bytes"}
		w.decimal(s)
		return s
	case 10:
		return &avroShape{kind: "int", logical: []string{"date", "time-millis"}[w.random.IntN(2)]}
	}
	logicals := []string{"time-micros", "timestamp-millis", "timestamp-micros", "timestamp-nanos",
		"local-timestamp-millis", "local-timestamp-micros", "local-timestamp-nanos"}
	if w.chance(len(logicals) + 1) {
		return &avroShape{kind: "string", logical: "uuid"}
	}
	return &avroShape{kind: "long", logical: logicals[w.random.IntN(len(logicals))]}
}

func (w *avroWorld) decimal(s *avroShape) {
	s.logical, s.precision = "decimal", 1+w.random.IntN(40)
	s.scale = w.random.IntN(s.precision + 1)
}

func (w *avroWorld) shape(depth int) *avroShape {
	if depth == 0 || !w.chance(3) {
		if w.chance(25) {
			return &avroShape{kind: "null"}
		}
		return w.scalar()
	}
	switch w.random.IntN(5) {
	case 0:
		return w.record(depth)
	case 1:
		return &avroShape{kind: "array", items: w.shape(depth - 1)}
	case 2:
		return &avroShape{kind: "map", items: w.shape(depth - 1)}
	case 3:
		return w.union(w.notUnion(depth - 1))
	}
	if len(w.open) > 0 && w.chance(3) {
		return w.union(w.open[w.random.IntN(len(w.open))])
	}
	return w.generalUnion(depth)
}

func (w *avroWorld) notUnion(depth int) *avroShape {
	for {
		if s := w.shape(depth); s.kind != "union" && s.kind != "null" {
			return s
		}
	}
}

func (w *avroWorld) union(of *avroShape) *avroShape {
	null := &avroShape{kind: "null"}
	if w.chance(3) {
		return &avroShape{kind: "union", branches: []*avroShape{of, null}}
	}
	return &avroShape{kind: "union", branches: []*avroShape{null, of}}
}

func (w *avroWorld) generalUnion(depth int) *avroShape {
	s, seen := &avroShape{kind: "union"}, map[string]bool{}
	for range 2 + w.random.IntN(4) {
		of := w.shape(depth - 1)
		if of.kind != "union" && !seen[of.branchName()] {
			seen[of.branchName()] = true
			s.branches = append(s.branches, of)
		}
	}
	if len(s.branches) == 0 {
		return &avroShape{kind: "null"}
	}
	return s
}

func (w *avroWorld) record(depth int) *avroShape {
	s := &avroShape{kind: "record", name: w.name("R")}
	w.open = append(w.open, s)
	for i := range w.random.IntN(7) {
		field := avroShapeField{name: string(rune('a'+i)) + strings.Repeat("n", w.random.IntN(2))}
		field.of = w.shape(depth - 1)
		if w.chance(2) && field.of.kind != "union" && field.of.kind != "null" {
			field.of = w.union(field.of)
		}
		if w.chance(4) {
			field.aliases = []string{"older", "old_" + field.name}
		}
		s.fields = append(s.fields, field)
	}
	w.open = w.open[:len(w.open)-1]
	return s
}

// schemaText is the schema as JSON; named types are told in full once.
func (s *avroShape) schemaText(told map[*avroShape]bool) any {
	if told[s] {
		return s.name
	}
	m := map[string]any{"type": s.kind}
	if s.name != "" {
		told[s], m["name"] = true, s.name
	}
	if s.logical != "" {
		m["logicalType"], m["precision"], m["scale"] = s.logical, s.precision, s.scale
	}
	switch s.kind {
	case "record":
		fields := []any{}
		for _, field := range s.fields {
			fields = append(fields, map[string]any{"name": field.name, "aliases": field.aliases,
				"type": field.of.schemaText(told)})
		}
		m["fields"] = fields
	case "array":
		m["items"] = s.items.schemaText(told)
	case "map":
		m["values"] = s.items.schemaText(told)
	case "enum":
		m["symbols"] = s.symbols
	case "fixed":
		m["size"] = s.size
	case "union":
		branches := []any{}
		for _, branch := range s.branches {
			branches = append(branches, branch.schemaText(told))
		}
		return branches
	}
	return m
}

// value appends a value of a type.
func (w *avroWorld) value(b []byte, s *avroShape, depth int) []byte {
	switch s.kind {
	case "boolean":
		return append(b, byte(w.random.IntN(2)))
	case "int", "long":
		return binary.AppendVarint(b, w.number())
	case "float":
		return binary.LittleEndian.AppendUint32(b, math.Float32bits(float32(w.real())))
	case "double":
		return binary.LittleEndian.AppendUint64(b, math.Float64bits(w.real()))
	case "enum":
		return binary.AppendVarint(b, int64(w.random.IntN(len(s.symbols))))
	case "fixed":
		return append(b, w.bytes(s.size)...)
	case "bytes", "string":
		text := w.text()
		if s.kind == "bytes" && w.chance(2) {
			text = string(w.bytes(w.random.IntN(18)))
		}
		return append(binary.AppendVarint(b, int64(len(text))), text...)
	case "record":
		for _, field := range s.fields {
			b = w.value(b, field.of, depth-1)
		}
	case "array", "map":
		return w.blocks(b, s, depth)
	case "union":
		at := w.random.IntN(len(s.branches))
		for i, branch := range s.branches {
			if depth <= 0 && branch.kind == "null" {
				at = i
			}
		}
		return w.value(binary.AppendVarint(b, int64(at)), s.branches[at], depth-1)
	}
	return b
}

// bytes are random, or small as a number of big-endian bytes.
func (w *avroWorld) bytes(n int) []byte {
	out := make([]byte, n)
	fill := []byte{0, 0xff}[w.random.IntN(2)]
	from := w.random.IntN(n + 1)
	for i := range out {
		if out[i] = fill; i >= from {
			out[i] = byte(w.random.Uint32())
		}
	}
	return out
}

func (w *avroWorld) blocks(b []byte, s *avroShape, depth int) []byte {
	for depth > 0 && !w.chance(3) {
		count := 1 + w.random.IntN(3)
		if s.kind == "map" && w.chance(20) {
			count = 40
		}
		var block []byte
		for i := range count {
			if s.kind == "map" {
				key := w.text()
				if !w.chance(10) {
					key = fmt.Sprint(i, w.random.IntN(30))
				}
				block = append(binary.AppendVarint(block, int64(len(key))), key...)
			}
			block = w.value(block, s.items, depth-1)
		}
		if w.chance(3) {
			b = binary.AppendVarint(binary.AppendVarint(b, -int64(count)), int64(len(block)))
		} else {
			b = binary.AppendVarint(b, int64(count))
		}
		b = append(b, block...)
	}
	return append(b, 0)
}

// checkAvro compares a random writer's values, of which change changes one, with the reference.
func checkAvro(t *testing.T, seed uint64, count int, change func([]byte) []byte) {
	t.Helper()
	w := &avroWorld{writerWorld: newWriterWorld(seed, FormatAvro)}
	schema := w.record(1 + w.random.IntN(4))
	switch w.random.IntN(20) {
	case 0:
		schema = w.shape(2)
	case 1:
		schema = w.union(schema)
	}
	text, err := json.Marshal(schema.schemaText(map[*avroShape]bool{}))
	require.NoError(t, err)
	parsed, err := messageschema.ParseAvro(string(text))
	require.NoError(t, err, string(text))
	w.writer.Schemas = avroSchemas(string(text))
	plan := w.table(t, parsed.Columns(messageschema.Options{Nanoseconds: w.chance(2)}))
	decoder, end := checked(t, plan)
	defer end()
	var values [][]byte
	for range count {
		value := w.value(nil, schema, 6)
		if w.chance(8) {
			value = w.damaged(value)
		}
		values = append(values, value)
	}
	values[0] = change(values[0])
	checkWriter(t, plan, decoder, values, referenceAvro(plan, schema))
	if t.Failed() {
		t.Logf("writer %s\ntable %s", text, plan.schema)
	}
}

func TestAvroAgreesWithReference(t *testing.T) {
	worlds := uint64(300)
	if testing.Short() {
		worlds = 50
	}
	for seed := range worlds {
		if !t.Run(fmt.Sprint(seed), func(t *testing.T) {
			checkAvro(t, seed, 20, func(value []byte) []byte { return value })
		}) {
			return
		}
	}
}

// FuzzAvro decodes the values of a random schema into a random table, one of them changed by the
// fuzzer, and compares every row and failure with the reference.
func FuzzAvro(f *testing.F) {
	for seed := range uint64(150) {
		bytes := [][]byte{{byte(seed)}, {0x80, 0x80, 0x80, 0x80, 0x10}, {3, 8, 2, 'x', 2, 'y', 0}}[seed%3]
		f.Add(seed, bytes, uint16(seed*37))
	}
	f.Fuzz(func(t *testing.T, seed uint64, bytes []byte, at uint16) {
		checkAvro(t, seed, 12, func(value []byte) []byte { return mutate(value, bytes, at) })
	})
}
