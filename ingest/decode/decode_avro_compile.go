package decode

import (
	"fmt"
	"unicode/utf8"

	"github.com/apache/iceberg-go"

	"github.com/firthlake/firth/ingest/messageschema"
	"github.com/firthlake/firth/ingest/registry"
)

// avroCompiler makes the ops of one writer schema. Ops that skip are shared by type, so that a
// recursive type has a finite program; ops that append belong to one column.
type avroCompiler struct {
	*resolver
	skips map[*messageschema.AvroType]*avroOp
	// open are the records that lead to what is being compiled.
	open []*messageschema.AvroType
}

func compileAvro(c compilation) (program, error) {
	schema, err := parseAvro(c.schema)
	if err != nil {
		return nil, err
	}
	compiler := avroCompiler{resolver: c.resolver, skips: map[*messageschema.AvroType]*avroOp{}}
	root, columns := compiler.root(c.root, schema), 0
	for _, op := range root.inside {
		if root.code == avroObject && op.top != skipColumn {
			columns++
		}
	}
	return c.finish(&avroProgram{root: root, fillsAll: c.decoder.fillsAll(columns),
		depthMax: c.decoder.plan.options.DepthMax, cells: &c.decoder.cells})
}

// parseAvro reads a writer schema with those it refers to.
func parseAvro(schema *registry.Schema) (*messageschema.AvroType, error) {
	var imports []string
	for _, imported := range schema.Imports {
		imports = append(imports, imported.Text)
	}
	parsed, err := messageschema.ParseAvro(schema.Text, imports...)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errSchema, err)
	}
	return parsed, nil
}

// root compiles the schema as a whole. One that is no record fills the column named for it.
func (c *avroCompiler) root(t *destination, schema *messageschema.AvroType) *avroOp {
	inner, _ := schema.Optional()
	if inner.Kind == messageschema.AvroRecord {
		return c.object(t, schema)
	}
	record := &messageschema.AvroType{Kind: messageschema.AvroRecord,
		Fields: []messageschema.AvroField{{Name: messageschema.ValueColumn, Type: schema}}}
	return c.record(t, record)
}

// object compiles a record, or a union of records, that is no column itself.
func (c *avroCompiler) object(t *destination, of *messageschema.AvroType) *avroOp {
	switch of.Kind {
	case messageschema.AvroRecord:
		return c.record(t, of)
	case messageschema.AvroUnion:
		op := &avroOp{code: avroUnion, top: skipColumn}
		for _, branch := range of.Branches {
			op.inside = append(op.inside, c.object(t, branch))
		}
		return op
	}
	return c.skip(of)
}

// record compiles the fields of a record into a struct, or into the columns that an object leads to.
func (c *avroCompiler) record(t *destination, of *messageschema.AvroType) *avroOp {
	c.open = append(c.open, of)
	defer func() { c.open = c.open[:len(c.open)-1] }()
	op := &avroOp{code: avroObject, top: skipColumn}
	if t.node != nil {
		op.code, op.put = avroRecord, put{node: t.node, column: t.column}
	}
	has := map[string]bool{}
	for _, field := range of.Fields {
		has[field.Name] = true
	}
	found := map[*destination]bool{}
	for _, field := range of.Fields {
		inside := t.find(field.Name, field.Aliases, func(name string) bool { return has[name] })
		if inside == nil || found[inside] {
			c.unknownAvro(t, field)
			skip := c.skip(field.Type)
			skip.step = avroStepOf(skip)
			op.inside = append(op.inside, skip)
			continue
		}
		found[inside] = true
		if inside.source != field.Name {
			c.renamed(inside, field.Name)
		}
		value := c.value(inside, field.Type)
		if inside.top != skipColumn {
			// A shared op (a skip) is never a column's, so this one may be marked.
			value.top = inside.top
		}
		value.step = avroStepOf(value)
		op.inside = append(op.inside, value)
	}
	missing := c.missing(t, func(inside *destination) bool { return found[inside] })
	if t.node != nil {
		op.missing = missing
	}
	return op
}

func (c *avroCompiler) unknownAvro(t *destination, field messageschema.AvroField) {
	of, _, _ := field.Type.Iceberg(c.writer.columns(), c.open...)
	c.unknownField(t, iceberg.NestedField{Name: field.Name, Type: of, Doc: field.Doc})
}

// value compiles a field's type into a target.
func (c *avroCompiler) value(t *destination, of *messageschema.AvroType) *avroOp {
	if t.node == nil {
		return c.object(t, of)
	}
	inner, nullable := of.Optional()
	if nullable {
		c.optional(t)
	}
	switch {
	case of.Kind != messageschema.AvroUnion:
		return c.typed(t, of)
	case inner.Kind == messageschema.AvroUnion && t.node.kind == kindStruct && c.namesBranch(t, of):
		return c.branches(t, of)
	}
	op := &avroOp{code: avroUnion, top: skipColumn}
	for _, branch := range of.Branches {
		value := c.typed(t, branch)
		value.step = avroStepOf(value)
		op.inside = append(op.inside, value)
	}
	return op
}

func (c *avroCompiler) namesBranch(t *destination, of *messageschema.AvroType) bool {
	for _, field := range of.UnionFields() {
		if t.find(field.Name, nil, func(string) bool { return false }) != nil {
			return true
		}
	}
	return false
}

// branches compiles a union into a struct with a field for each branch.
func (c *avroCompiler) branches(t *destination, of *messageschema.AvroType) *avroOp {
	op := &avroOp{code: avroBranches, top: skipColumn, put: put{node: t.node, column: t.column}}
	fields := of.UnionFields()
	for _, branch := range of.Branches {
		var others []*Column
		value := &avroOp{code: avroNull, top: skipColumn, put: op.put}
		var own *destination
		if branch.Kind != messageschema.AvroNull {
			field := fields[0]
			fields = fields[1:]
			if own = t.find(field.Name, nil, func(string) bool { return false }); own != nil {
				value = c.value(own, branch)
			} else {
				c.unknownAvro(t, field)
				value = c.skip(branch)
			}
		}
		for i, inside := range t.inside {
			c.optional(inside)
			if inside != own {
				others = append(others, t.column.Child(i))
			}
		}
		op.inside, op.others = append(op.inside, value), append(op.others, others)
	}
	return op
}

// typed compiles a type that is no union.
func (c *avroCompiler) typed(t *destination, of *messageschema.AvroType) *avroOp {
	op := &avroOp{top: skipColumn, size: of.Size, put: put{node: t.node, column: t.column}}
	switch of.Kind {
	case messageschema.AvroNull:
		op.code, op.empty = avroNull, true
		return op
	case messageschema.AvroRecord:
		if of.Logical == messageschema.AvroVariableDecimal && t.node.kind == kindDecimal {
			return c.variableDecimal(op, of)
		}
		if t.node.kind != kindStruct || of.Logical == messageschema.AvroGeometry {
			return c.mismatch(op, of)
		}
		op = c.record(t, of)
		op.empty = avroEmpty(of, map[*messageschema.AvroType]bool{})
		return op
	case messageschema.AvroArray, messageschema.AvroMap:
		return c.list(t, of, op)
	case messageschema.AvroUnion:
		panic("BUG: a union in a union")
	}
	column, _, _ := of.Iceberg(c.writer.columns())
	c.compare(t, column)
	op.put = newPut(avroScalar(of), t.node, t.column)
	if op.put.code == putMismatch {
		return c.mismatch(op, of)
	}
	op.code = avroScalarCode(of.Kind)
	op.empty = of.Kind == messageschema.AvroFixed && of.Size == 0
	for _, symbol := range of.Symbols {
		op.symbols = append(op.symbols, []byte(symbol))
	}
	return op
}

func (c *avroCompiler) list(t *destination, of *messageschema.AvroType, op *avroOp) *avroOp {
	isMap := of.Kind == messageschema.AvroMap
	switch {
	case isMap && t.node.kind == kindMap && t.node.children[0].kind == kindString:
		op.code = avroMap
	case !isMap && t.node.kind == kindList:
		op.code = avroArray
	default:
		return c.mismatch(op, of)
	}
	element := t.inside[len(t.inside)-1]
	value := c.value(element, of.Items)
	value.step = avroStepOf(value)
	op.inside = []*avroOp{value}
	for _, inside := range t.node.children {
		op.width += inside.cells()
	}
	return op
}

func (c *avroCompiler) mismatch(op *avroOp, of *messageschema.AvroType) *avroOp {
	op.code, op.put.code, op.put.from.name = avroMismatch, putMismatch, avroScalar(of).name
	op.inside = []*avroOp{c.skip(of)}
	op.empty = avroEmpty(of, map[*messageschema.AvroType]bool{})
	return op
}

// skip compiles a type that no column takes.
func (c *avroCompiler) skip(of *messageschema.AvroType) *avroOp {
	if op, ok := c.skips[of]; ok {
		return op
	}
	op := &avroOp{top: skipColumn, size: of.Size}
	c.skips[of] = op
	op.empty = avroEmpty(of, map[*messageschema.AvroType]bool{})
	switch of.Kind {
	case messageschema.AvroNull:
		op.code = avroSkipNull
	case messageschema.AvroBoolean:
		op.code = avroSkipBool
	case messageschema.AvroInt, messageschema.AvroLong, messageschema.AvroEnum:
		op.code = avroSkipVarint
	case messageschema.AvroFloat:
		op.code, op.size = avroSkipFixed, 4
	case messageschema.AvroDouble:
		op.code, op.size = avroSkipFixed, 8
	case messageschema.AvroFixed:
		op.code = avroSkipFixed
	case messageschema.AvroBytes, messageschema.AvroString:
		op.code = avroSkipBytes
	case messageschema.AvroRecord:
		op.code = avroSkipRecord
		for _, field := range of.Fields {
			op.inside = append(op.inside, c.skip(field.Type))
		}
	case messageschema.AvroUnion:
		op.code = avroSkipUnion
		for _, branch := range of.Branches {
			op.inside = append(op.inside, c.skip(branch))
		}
	case messageschema.AvroArray, messageschema.AvroMap:
		op.code = avroSkipBlocks
		if of.Kind == messageschema.AvroMap {
			op.code = avroSkipMap
		}
		op.inside = []*avroOp{c.skip(of.Items)}
	}
	return op
}

// avroEmpty tells whether values of a type take no bytes. A type that holds itself without choice has
// no values at all; it counts as not empty.
func avroEmpty(of *messageschema.AvroType, open map[*messageschema.AvroType]bool) bool {
	switch of.Kind {
	case messageschema.AvroNull:
		return true
	case messageschema.AvroFixed:
		return of.Size == 0
	case messageschema.AvroRecord:
		if open[of] {
			return false
		}
		open[of] = true
		for _, field := range of.Fields {
			if !avroEmpty(field.Type, open) {
				return false
			}
		}
		delete(open, of)
		return true
	}
	return false
}

func avroScalarCode(kind messageschema.AvroKind) avroCode {
	switch kind {
	case messageschema.AvroBoolean:
		return avroBool
	case messageschema.AvroInt, messageschema.AvroLong:
		return avroLong
	case messageschema.AvroFloat:
		return avroFloat
	case messageschema.AvroDouble:
		return avroDouble
	case messageschema.AvroFixed:
		return avroFixed
	case messageschema.AvroEnum:
		return avroEnum
	}
	return avroBytes
}

// avroScalar is what a scalar of the writer means. Others have a name only.
func avroScalar(of *messageschema.AvroType) scalar {
	if of.Logical != messageschema.AvroPlain {
		return avroLogicalScalar(of)
	}
	switch of.Kind {
	case messageschema.AvroBoolean:
		return scalar{kind: scalarBool, name: "boolean"}
	case messageschema.AvroInt:
		return scalar{kind: scalarLong, name: "int"}
	case messageschema.AvroLong:
		return scalar{kind: scalarLong, name: "long"}
	case messageschema.AvroFloat:
		return scalar{kind: scalarFloat, name: "float"}
	case messageschema.AvroDouble:
		return scalar{kind: scalarDouble, name: "double"}
	case messageschema.AvroString:
		return scalar{kind: scalarText, name: "string"}
	case messageschema.AvroEnum:
		for _, symbol := range of.Symbols {
			if !utf8.ValidString(symbol) {
				return scalar{kind: scalarBytes, name: "enum"}
			}
		}
		return scalar{kind: scalarText, name: "enum"}
	case messageschema.AvroRecord:
		return scalar{name: "record"}
	case messageschema.AvroArray:
		return scalar{name: "array"}
	case messageschema.AvroMap:
		return scalar{name: "map"}
	}
	return scalar{kind: scalarBytes, name: "bytes"}
}

func avroLogicalScalar(of *messageschema.AvroType) scalar {
	switch of.Logical {
	case messageschema.AvroDecimal:
		if of.Precision > decimalDigits {
			return scalar{kind: scalarBytes, name: "decimal"}
		}
		return scalar{kind: scalarDecimal, scale: int32(of.Scale), name: "decimal"}
	case messageschema.AvroUUID:
		if of.Kind == messageschema.AvroFixed {
			return scalar{kind: scalarUUID, name: "uuid"}
		}
		return scalar{kind: scalarText, name: "uuid"}
	case messageschema.AvroDate:
		return scalar{kind: scalarDate, name: "date"}
	case messageschema.AvroTimeMillis:
		return scalar{kind: scalarTime, perSecond: 1e3, name: "time"}
	case messageschema.AvroTimeMicros:
		return scalar{kind: scalarTime, perSecond: 1e6, name: "time"}
	case messageschema.AvroTimeNanos:
		return scalar{kind: scalarTime, perSecond: 1e9, name: "time"}
	case messageschema.AvroZonedTimestamp:
		return scalar{kind: scalarZoned, name: "zoned timestamp"}
	case messageschema.AvroVariableDecimal, messageschema.AvroGeometry:
		return scalar{name: of.Name}
	case messageschema.AvroTimestampMillis, messageschema.AvroLocalTimestampMillis:
		return scalar{kind: scalarTimestamp, perSecond: 1e3, name: "timestamp"}
	case messageschema.AvroTimestampMicros, messageschema.AvroLocalTimestampMicros:
		return scalar{kind: scalarTimestamp, perSecond: 1e6, name: "timestamp"}
	case messageschema.AvroTimestampNanos, messageschema.AvroLocalTimestampNanos:
		return scalar{kind: scalarTimestamp, perSecond: 1e9, name: "timestamp"}
	}
	return scalar{kind: scalarBytes, name: "duration"}
}
