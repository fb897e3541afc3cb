package decode

import (
	"github.com/firthlake/firth/ingest/messageschema"
)

// avroEventCompiler makes the parts of one writer schema.
type avroEventCompiler struct {
	program *avroEventProgram
	root    *eventObject
	rows    *avroCompiler
	row     *destination // of the row
	keys    *avroCompiler
	key     *destination // of the row's key
	// fillsAll says that each column of the row has a field.
	fillsAll bool
}

// event compiles an object outside of the rows; o says what is in it.
func (c *avroEventCompiler) event(of *messageschema.AvroType, o *eventObject) *avroPart {
	switch of.Kind {
	case messageschema.AvroUnion:
		part := &avroPart{code: partUnion}
		for _, branch := range of.Branches {
			part.inside = append(part.inside, c.event(branch, o))
		}
		return part
	case messageschema.AvroRecord:
		part := &avroPart{code: partRecord}
		for _, field := range of.Fields {
			i := o.fields.find([]byte(field.Name))
			if i == skipColumn {
				part.inside = append(part.inside, c.skipped(field.Type))
				continue
			}
			part.inside = append(part.inside, c.field(field.Type, &o.targets[i]))
		}
		return part
	}
	return c.skipped(of)
}

func (c *avroEventCompiler) skipped(of *messageschema.AvroType) *avroPart {
	return &avroPart{code: partSkip, op: c.rows.skip(of)}
}

// field compiles a field of the event in which there is something.
func (c *avroEventCompiler) field(of *messageschema.AvroType, t *envelopeTarget) *avroPart {
	var part *avroPart
	switch {
	case t.inner != nil && t.role == roleNone:
		part = c.event(of, t.inner)
	case t.role == roleNone || t.role == roleSchema || t.role == rolePayload:
		part = c.skipped(of)
	default:
		part = c.role(of, t)
	}
	for _, i := range t.outer {
		column := c.program.events.out.envelope.outer[i]
		c.program.outer[i] = c.column(of, column)
		part.outer = append(part.outer, i)
	}
	return part
}

// column compiles a value into a top-level column.
func (c *avroEventCompiler) column(of *messageschema.AvroType, column int) *avroOp {
	out := c.program.events.out
	n := out.plan.columns[column]
	op := c.keys.value(c.keys.newDestination(n, out.columns[column], []string{n.name}), of)
	op.top = column
	return op
}

// role compiles what has a role, behind the unions that it lies in.
func (c *avroEventCompiler) role(of *messageschema.AvroType, t *envelopeTarget) *avroPart {
	part := &avroPart{name: t.name, role: t.role, code: partWrong, op: c.rows.skip(of)}
	images := t.role == roleAfter || t.role == roleBefore
	switch {
	case of.Kind == messageschema.AvroUnion:
		part.code = partUnion
		for _, branch := range of.Branches {
			part.inside = append(part.inside, c.role(branch, t))
		}
	case of.Kind == messageschema.AvroNull:
		part.code = partSkip
	case images && of.Kind == messageschema.AvroRecord:
		part.code = partRow
		c.image(part, of)
	case images && of.Kind == messageschema.AvroArray && c.program.events.out.envelope.options.Many:
		part.code, part.inside = partRows, []*avroPart{c.role(of.Items, t)}
	case t.role == roleOp && (of.Kind == messageschema.AvroString || of.Kind == messageschema.AvroEnum):
		part.code = partText
		if of.Kind == messageschema.AvroEnum {
			part.op = &avroOp{code: avroSkipVarint, top: skipColumn}
			for _, symbol := range of.Symbols {
				part.op.symbols = append(part.op.symbols, []byte(symbol))
			}
		}
	case t.role == roleDDL && of.Kind == messageschema.AvroBoolean:
		part.code = partFlag
	}
	return part
}

// image compiles the row that an image is.
func (c *avroEventCompiler) image(part *avroPart, of *messageschema.AvroType) {
	c.program.key[part.role] = c.keys.object(c.key, of)
	if part.role == roleAfter {
		part.op = c.rows.object(c.row, of)
		filled := map[int]bool{}
		for _, op := range part.op.inside {
			if op.top != skipColumn {
				filled[op.top] = true
			}
		}
		c.fillsAll = c.program.events.values.fillsAll(len(filled))
	}
}
