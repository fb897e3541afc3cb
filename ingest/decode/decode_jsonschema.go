package decode

import (
	"context"
	"fmt"

	"github.com/apache/iceberg-go"

	"github.com/firthlake/firth/ingest/messageschema"
)

// jsonProgram decodes values of one JSON Schema, which are JSON like any other: the schema only says
// what the table lacks.
type jsonProgram struct{ values valueDecoder }

func compileJSONSchema(c compilation) (program, error) {
	imports := make(map[string]string, len(c.schema.Imports))
	for _, imported := range c.schema.Imports {
		imports[imported.Name] = imported.Text
	}
	columns, err := messageschema.JSONSchemaColumns(c.schema.Text, imports)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errSchema, err)
	}
	c.resolver.columns(c.root, columns.Fields)
	return c.finish(jsonProgram{values: c.decoder.json})
}

func (p jsonProgram) decode(ctx context.Context, value []byte, out *rows) error {
	return p.values.decodeValue(ctx, value, out)
}

// columns compares the fields of a writer, in their form as columns, with the fields of t.
func (r *resolver) columns(t *destination, fields []iceberg.NestedField) {
	found := map[*destination]bool{}
	for _, field := range fields {
		inside := t.find(field.Name, nil, func(string) bool { return false })
		if inside == nil {
			r.unknownField(t, field)
			continue
		}
		found[inside] = true
		if !field.Required {
			r.optional(inside)
		}
		r.compare(inside, field.Type)
		children := childFields(field.Type)
		if _, ok := field.Type.(*iceberg.StructType); ok && (inside.node == nil || inside.node.kind == kindStruct) {
			r.columns(inside, children)
		} else if inside.node != nil && len(children) == len(inside.inside) && len(children) > 0 {
			r.elements(inside, children)
		}
	}
	r.missing(t, func(inside *destination) bool { return found[inside] })
}

// elements compares a list's element, or a map's key and value, by place.
func (r *resolver) elements(t *destination, fields []iceberg.NestedField) {
	for i, field := range fields {
		inside := t.inside[i]
		if !field.Required {
			r.optional(inside)
		}
		r.compare(inside, field.Type)
		if of, ok := field.Type.(*iceberg.StructType); ok && inside.node.kind == kindStruct {
			r.columns(inside, of.FieldList)
		} else if nested := childFields(field.Type); len(nested) > 0 && len(nested) == len(inside.inside) {
			r.elements(inside, nested)
		}
	}
}
