package ingest

import (
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/firthlake/firth/table/filter"
	"github.com/firthlake/firth/table/gather"
)

// chosen are the rows that tables have chosen of chunks that are worked on together. Each batch's are
// copied while it is in the processor's cache, behind those of the table's batch before: whatever is done for
// a batch later on costs as much for a few hundred rows as for thousands.
//
//	chunks   1 2 3 4        4 portions of table A, 4 of B
//	          │
//	joint    A: 1─2─3─4─    one batch of A, of which each portion has a slice
//	         B: 1───2─3──4
type chosen struct {
	mem    memory.Allocator
	pieces int
	tables []*chosenRows
	of     map[*shape]*chosenRows
	parts  []gather.Part // of the batch at hand
}

// chosenRows are those of one table.
type chosenRows struct {
	gathered *gather.Gathered
	portions []*portion
}

func (c *chosen) begin(mem memory.Allocator, pieces int) {
	c.mem, c.pieces = mem, pieces
	if c.of == nil {
		c.of = map[*shape]*chosenRows{}
	}
}

// add says that rows of the batch at hand are the portion's.
func (c *chosen) add(p *portion, rows *filter.Selection) {
	t := c.of[p.shape]
	if t == nil {
		t = &chosenRows{gathered: gather.NewGathered(c.mem, p.shape.arrow, c.pieces)}
		c.of[p.shape] = t
		c.tables = append(c.tables, t)
	}
	p.first = int64(t.gathered.Count())
	t.portions = append(t.portions, p)
	part := gather.Part{To: t.gathered, Columns: p.shape.columns}
	if n := len(c.parts); n < cap(c.parts) {
		part.Rows = c.parts[:n+1][n].Rows[:0] // of a batch before
	}
	part.Rows = rows.AppendRows(part.Rows)
	c.parts = append(c.parts, part)
}

// take copies what was added out of the batch.
func (c *chosen) take(batch arrow.RecordBatch) {
	if len(c.parts) > 0 {
		gather.Share(batch, c.parts)
	}
	c.parts = c.parts[:0]
}

func (c *chosen) end() {
	clear(c.of)
	clear(c.tables)
	c.tables = c.tables[:0]
	for i := range c.parts[:cap(c.parts)] {
		c.parts[:cap(c.parts)][i].To = nil
	}
}

// share gives each portion its rows.
func (t *chosenRows) share() {
	joint := t.gathered.Batch()
	if len(t.portions) == 1 {
		t.portions[0].rows = joint
		return
	}
	defer joint.Release()
	for i, p := range t.portions {
		end := joint.NumRows()
		if i+1 < len(t.portions) {
			end = t.portions[i+1].first
		}
		joint.Retain()
		p.joint, p.rows = joint, joint.NewSlice(p.first, end)
	}
}
