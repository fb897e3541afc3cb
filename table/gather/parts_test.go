package gather

import (
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/stretchr/testify/require"
)

func TestPartsAreWhatRowsCopiesOfTheirColumns(t *testing.T) {
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	defer mem.AssertSize(t, 0)
	schema := everyType()
	for seed := range uint64(30) {
		d := newDice(seed, mem)
		batch := d.batch(schema, 1+d.IntN(200))
		parts := make([]Part, d.IntN(5))
		for i := range parts {
			parts[i].Columns = d.Perm(schema.NumFields())[:d.IntN(schema.NumFields()+1)]
			var fields []arrow.Field
			for _, place := range parts[i].Columns {
				fields = append(fields, schema.Field(place))
			}
			parts[i].Schema = arrow.NewSchema(fields, nil)
			for row := range uint32(batch.NumRows()) {
				if d.IntN(3) == 0 {
					parts[i].Rows = append(parts[i].Rows, row)
				}
			}
		}
		for i, got := range Parts(mem, batch, parts) {
			whole := Rows(mem, batch, parts[i].Rows)
			require.Equal(t, whole.NumRows(), got.NumRows())
			require.True(t, got.Schema().Equal(parts[i].Schema))
			for field, place := range parts[i].Columns {
				require.Equal(t, whole.Column(place).String(), got.Column(field).String())
			}
			whole.Release()
			got.Release()
		}
		batch.Release()
	}
}
