package decode

import (
	"fmt"

	"github.com/firthlake/firth/ingest/messageschema"
)

// variableDecimal compiles a record of a decimal's scale and unscaled value into a decimal column. size
// tells which of the two comes first: 0 is the scale.
func (c *avroCompiler) variableDecimal(op *avroOp, of *messageschema.AvroType) *avroOp {
	op.code, op.size = avroVariable, 0
	if of.Fields[0].Name != "scale" {
		op.size = 1
	}
	op.put.code, op.put.from = putDecimal, scalar{kind: scalarDecimal, name: of.Name}
	return op
}

func (r *avroRun) variableDecimal(op *avroOp) bool {
	var scale int64
	var value []byte
	for i := range 2 {
		var ok bool
		if i == op.size {
			scale, ok = r.zigzag()
		} else {
			value, ok = r.lengthBytes()
		}
		if !ok {
			return r.truncated()
		}
	}
	if scale < -decimalDigits || scale > decimalDigits {
		op.put.fail(&r.fault, ClassRange, fmt.Sprintf("a decimal of scale %d", scale))
		return true
	}
	p := op.put
	p.from.scale = int32(scale)
	p.bytes(&r.fault, value)
	return true
}
