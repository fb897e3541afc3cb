package decode

import (
	"encoding/binary"
	"math"
	"math/big"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

// avroShape is a type of a writer, as a test makes it.
type avroShape struct {
	kind, logical          string
	name                   string // of a record, enum or fixed
	size, precision, scale int
	symbols                []string
	fields                 []avroShapeField
	items                  *avroShape
	branches               []*avroShape
}

type avroShapeField struct {
	name    string
	aliases []string
	of      *avroShape
}

// empty tells whether values take no bytes.
func (s *avroShape) empty() bool {
	switch s.kind {
	case "null":
		return true
	case "fixed":
		return s.size == 0
	case "record":
		return !slices.ContainsFunc(s.fields, func(f avroShapeField) bool { return !f.of.empty() })
	}
	return false
}

func (s *avroShape) nullable() bool {
	return slices.ContainsFunc(s.branches, func(b *avroShape) bool { return b.kind == "null" })
}

// general tells whether a union has several branches that are not null.
func (s *avroShape) general() bool {
	values := len(s.branches)
	if s.nullable() {
		values--
	}
	return values > 1
}

// branchName is the field that a branch of a general union goes to.
func (s *avroShape) branchName() string {
	if s.name != "" {
		return s.name
	}
	return s.kind
}

// avroReader is the reference for Avro.
type avroReader struct {
	rowReader
	data []byte
}

// referenceAvro returns the reference for a writer's schema.
func referenceAvro(plan *Plan, schema *avroShape) writerReference {
	return func(value []byte) writerRow {
		r := avroReader{rowReader: newRowReader(plan), data: value}
		return r.read(func() {
			root, of := plan.targets(), schema
			if inner := schema; inner.kind != "record" && !(inner.kind == "union" && !inner.general() &&
				slices.ContainsFunc(inner.branches, func(b *avroShape) bool { return b.kind == "record" })) {
				of = &avroShape{kind: "record", fields: []avroShapeField{{name: "value", of: schema}}}
			}
			r.object(root, of)
			if len(r.data) > 0 {
				refuseRow(ClassSyntax)
			}
		})
	}
}

func (r *avroReader) take(n int64) []byte {
	if n < 0 || n > int64(len(r.data)) {
		refuseRow(ClassSyntax)
	}
	out := r.data[:n]
	r.data = r.data[n:]
	return out
}

func (r *avroReader) long() int64 {
	v, n := protowire.ConsumeVarint(r.data)
	if n < 0 {
		refuseRow(ClassSyntax)
	}
	r.data = r.data[n:]
	return protowire.DecodeZigZag(v)
}

func (r *avroReader) lengthBytes() []byte { return r.take(r.long()) }

func (r *avroReader) branch(s *avroShape) *avroShape {
	at := r.long()
	if at < 0 || at >= int64(len(s.branches)) {
		refuseRow(ClassSyntax)
	}
	return s.branches[at]
}

// object reads what is no column itself.
func (r *avroReader) object(t *target, s *avroShape) {
	switch s.kind {
	case "record":
		r.fields(t, s, func(_ int, inside *target, of *avroShape) { r.inObject(inside, of) })
	case "union":
		r.object(t, r.branch(s))
	default:
		r.skip(s, r.plan.options.DepthMax)
	}
}

func (r *avroReader) inObject(t *target, of *avroShape) {
	if t.node == nil {
		r.object(t, of)
		return
	}
	r.column(t.top, func() any { return r.value(t, of) })
}

// fields reads a record's fields and gives those that a target takes to read.
func (r *avroReader) fields(t *target, s *avroShape, read func(int, *target, *avroShape)) {
	var names []string
	var aliases [][]string
	for _, field := range s.fields {
		names, aliases = append(names, field.name), append(aliases, field.aliases)
	}
	for i, inside := range t.resolve(names, aliases) {
		if inside == nil {
			r.skip(s.fields[i].of, r.plan.options.DepthMax)
			continue
		}
		read(slices.Index(t.inside, inside), inside, s.fields[i].of)
	}
}

// value reads a value into a column or a field of one.
func (r *avroReader) value(t *target, s *avroShape) any {
	if s.kind != "union" {
		return r.typed(t, s)
	}
	branch := r.branch(s)
	if !s.general() || t.node.kind != kindStruct || !slices.ContainsFunc(s.branches,
		func(b *avroShape) bool { return b.kind != "null" && t.takesBranch(b) != nil }) {
		return r.typed(t, branch)
	}
	if branch.kind == "null" {
		return r.null(t.node)
	}
	values := make([]any, len(t.inside))
	own := t.takesBranch(branch)
	if own == nil {
		r.skip(branch, r.plan.options.DepthMax)
		return values
	}
	values[slices.Index(t.inside, own)] = r.value(own, branch)
	return values
}

func (t *target) takesBranch(branch *avroShape) *target {
	return t.resolve([]string{branch.branchName()}, nil)[0]
}

// typed reads a value of a type that is no union.
func (r *avroReader) typed(t *target, s *avroShape) any {
	n := t.node
	switch {
	case s.kind == "null":
		return r.null(n)
	case s.kind == "record" && n.kind == kindStruct:
		values, found := make([]any, len(t.inside)), make([]bool, len(t.inside))
		r.fields(t, s, func(at int, inside *target, of *avroShape) {
			values[at], found[at] = r.value(inside, of), true
		})
		for i, inside := range t.inside {
			if !found[i] && inside.node.required {
				r.fault(ClassRequired)
			}
		}
		return values
	case s.kind == "array" && n.kind == kindList:
		list := []any{}
		r.blocks(s, func() { list = append(list, r.value(t.inside[0], s.items)) })
		return list
	case s.kind == "map" && n.kind == kindMap && n.children[0].kind == kindString:
		return r.mapping(t, s)
	case s.scalarKind() < 0 || !takes(n, scalarKind(s.scalarKind())):
		r.skip(s, r.plan.options.DepthMax)
		return r.fault(ClassSchemaChanged)
	}
	return r.convert(n, r.scalar(s))
}

func (r *avroReader) mapping(t *target, s *avroShape) any {
	pairs, seen := []any{}, map[string]bool{}
	r.blocks(s, func() {
		key := string(r.lengthBytes())
		if seen[key] {
			r.fault(ClassDuplicateKey)
		}
		seen[key] = true
		text := r.convert(t.node.children[0], written{kind: scalarText, raw: key})
		pairs = append(pairs, []any{text, r.value(t.inside[1], s.items)})
	})
	return pairs
}

// blocks calls read for each element of an array or a map.
func (r *avroReader) blocks(s *avroShape, read func()) {
	for {
		count := r.long()
		if count == 0 {
			return
		}
		if count < 0 {
			count = -count
			if size := r.long(); size < 0 || size > int64(len(r.data)) {
				refuseRow(ClassSyntax)
			}
		}
		bare := s.items.empty()
		switch {
		case count < 0 || count > math.MaxInt32, count > int64(len(r.data)) && !bare:
			refuseRow(ClassSyntax)
		case bare && count > 1000:
			panic(vastRow{})
		}
		for range count {
			read()
		}
	}
}

// skip passes over a value that no column takes, checking no more than where it ends.
func (r *avroReader) skip(s *avroShape, depth int) {
	if depth == 0 {
		refuseRow(ClassTooDeep)
	}
	switch s.kind {
	case "boolean":
		r.take(1)
	case "int", "long", "enum":
		r.long()
	case "float":
		r.take(4)
	case "double":
		r.take(8)
	case "fixed":
		r.take(int64(s.size))
	case "bytes", "string":
		r.lengthBytes()
	case "record":
		for _, field := range s.fields {
			r.skip(field.of, depth-1)
		}
	case "union":
		r.skip(r.branch(s), depth-1)
	case "array", "map":
		r.skipBlocks(s, depth)
	}
}

func (r *avroReader) skipBlocks(s *avroShape, depth int) {
	for {
		count := r.long()
		switch {
		case count == 0:
			return
		case count < 0:
			r.lengthBytes()
			continue
		case s.kind == "array" && s.items.empty():
			continue
		case count > int64(len(r.data)):
			refuseRow(ClassSyntax)
		}
		for range count {
			if s.kind == "map" {
				r.lengthBytes()
			}
			r.skip(s.items, depth-1)
		}
	}
}

// avroLogicals are the logical types that have a meaning of their own.
var avroLogicals = map[string]scalarKind{
	"decimal": scalarDecimal, "date": scalarDate, "time-millis": scalarTime, "time-micros": scalarTime,
	"timestamp-millis": scalarTimestamp, "timestamp-micros": scalarTimestamp, "timestamp-nanos": scalarTimestamp,
	"local-timestamp-millis": scalarTimestamp, "local-timestamp-micros": scalarTimestamp,
	"local-timestamp-nanos": scalarTimestamp,
}

// scalarKind is what a scalar means, or -1 for what is none.
func (s *avroShape) scalarKind() int {
	if of, ok := avroLogicals[s.logical]; ok && s.precision <= 38 {
		return int(of)
	}
	if s.logical == "uuid" && s.kind == "fixed" {
		return int(scalarUUID)
	}
	kinds := map[string]scalarKind{"boolean": scalarBool, "int": scalarLong, "long": scalarLong,
		"float": scalarFloat, "double": scalarDouble, "string": scalarText, "enum": scalarText,
		"bytes": scalarBytes, "fixed": scalarBytes}
	if of, ok := kinds[s.kind]; ok {
		return int(of)
	}
	return -1
}

// avroUnits are how many make a second.
var avroUnits = map[string]int64{
	"time-millis": 1e3, "time-micros": 1e6, "timestamp-millis": 1e3, "timestamp-micros": 1e6,
	"timestamp-nanos": 1e9, "local-timestamp-millis": 1e3, "local-timestamp-micros": 1e6,
	"local-timestamp-nanos": 1e9,
}

// scalar reads the bytes of a scalar.
func (r *avroReader) scalar(s *avroShape) written {
	v := written{kind: scalarKind(s.scalarKind()), unit: avroUnits[s.logical], scale: int64(s.scale)}
	switch s.kind {
	case "boolean":
		b := r.take(1)[0]
		if b > 1 {
			refuseRow(ClassSyntax)
		}
		v.flag = b == 1
	case "int", "long":
		v.whole = big.NewInt(r.long())
	case "float":
		v.real = float64(math.Float32frombits(binary.LittleEndian.Uint32(r.take(4))))
	case "double":
		v.real = math.Float64frombits(binary.LittleEndian.Uint64(r.take(8)))
	case "enum":
		at := r.long()
		if at < 0 || at >= int64(len(s.symbols)) {
			refuseRow(ClassRange)
		}
		v.raw = s.symbols[at]
	case "fixed":
		v.raw = string(r.take(int64(s.size)))
	default:
		v.raw = string(r.lengthBytes())
	}
	if v.kind == scalarDecimal {
		v.whole = new(big.Int).SetBytes([]byte(v.raw))
		if len(v.raw) > 0 && v.raw[0] >= 0x80 {
			v.whole.Sub(v.whole, new(big.Int).Lsh(big.NewInt(1), uint(8*len(v.raw))))
		}
	}
	return v
}
