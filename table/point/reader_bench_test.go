package point

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/firthlake/firth/table/objstore"
)

// BenchmarkRow reads rows of a file of 200,000 that has a copy, and makes the copy.
func BenchmarkRow(b *testing.B) {
	const rows = 200_000
	store := objstore.NewMemory(time.Now)
	of, location := written(b, store, rows)
	b.Run("copy", func(b *testing.B) {
		for b.Loop() {
			r := NewReader(store, b.TempDir(), 1<<30)
			out, err := r.Row(b.Context(), of, location, 0)
			if err != nil {
				b.Fatal(err)
			}
			out.Release()
			b.ReportMetric(float64(r.bytes)/rows, "bytes/row")
		}
	})
	b.Run("read", func(b *testing.B) {
		r, random := NewReader(store, b.TempDir(), 1<<30), rand.New(rand.NewPCG(1, 2))
		out, err := r.Row(b.Context(), of, location, 0)
		if err != nil {
			b.Fatal(err)
		}
		out.Release()
		for b.Loop() {
			out, err := r.Row(b.Context(), of, location, random.Uint32N(rows))
			if err != nil {
				b.Fatal(err)
			}
			out.Release()
		}
	})
}
