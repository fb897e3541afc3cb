package tpch

import (
	"fmt"
	"hash/fnv"
	"iter"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
)

// Dates of the specification, as days since the Unix epoch: orders are placed from 1992-01-01 to 1998-08-02, and the
// present is 1995-06-17.
const (
	firstDay   = 8035
	lastDay    = 10440
	presentDay = 9298
)

// writer makes the lines of one table.
type writer struct {
	lexicon
	random *rand.Rand
	scale  float64
	line   []byte
}

// Lines are the rows of a table at a scale: fields between bars, in the order of the columns. A line is valid until
// the next.
func (t Table) Lines(scale float64) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		seed := fnv.New64()
		name := t.Name
		if name == "lineitem" {
			name = "orders" // which it belongs to
		}
		_, _ = seed.Write([]byte(name)) // a hash takes everything
		w := &writer{lexicon: newLexicon(), random: rand.New(rand.NewPCG(seed.Sum64(), 1)), scale: scale}
		for row := range t.steps(scale) {
			for range w.rows(t.Name, int64(row)) {
				if !yield(w.line) {
					return
				}
			}
		}
	}
}

// steps is how many rows a table has, or rows of the one that it belongs to.
func (t Table) steps(scale float64) int {
	switch t.Name {
	case "region":
		return 5
	case "nation":
		return 25
	}
	return scaled(t.perScale, scale)
}

func scaled(rows int, scale float64) int { return max(1, int(float64(rows)*scale)) }

// rows makes the lines of one step, each as it is asked for.
func (w *writer) rows(table string, row int64) iter.Seq[int] {
	return func(yield func(int) bool) {
		switch table {
		case "partsupp":
			for i := range int64(suppliersOfPart) {
				w.partsupp(row+1, i)
				if !yield(0) {
					return
				}
			}
		case "orders", "lineitem":
			order := w.order(row)
			if table == "orders" {
				w.set(order.fields()...)
				yield(0)
				return
			}
			for _, line := range order.lines {
				w.set(line...)
				if !yield(0) {
					return
				}
			}
		default:
			w.single(table, row)
			yield(0)
		}
	}
}

func (w *writer) single(table string, row int64) {
	switch table {
	case "region":
		w.set(row, w.regions[row], w.comment(31, 115))
	case "nation":
		name := w.nations[row]
		last := len(name) - 1
		w.set(row, name[:last], name[last:], w.comment(31, 114))
	case "supplier":
		nation := w.random.IntN(len(w.nations))
		w.set(row+1, fmt.Sprintf("Supplier#%09d", row+1), w.address(), nation, w.phone(nation), w.balance(),
			w.complaint(row, w.comment(25, 100)))
	case "customer":
		nation := w.random.IntN(len(w.nations))
		w.set(row+1, fmt.Sprintf("Customer#%09d", row+1), w.address(), nation, w.phone(nation), w.balance(),
			w.one(w.segments), w.comment(29, 116))
	case "part":
		maker := 1 + w.random.IntN(5)
		w.set(row+1, w.colorNames(), fmt.Sprintf("Manufacturer#%d", maker),
			fmt.Sprintf("Brand#%d%d", maker, 1+w.random.IntN(5)),
			w.one(w.types[0])+" "+w.one(w.types[1])+" "+w.one(w.types[2]), 1+w.random.IntN(50),
			w.one(w.containers[0])+" "+w.one(w.containers[1]), money(retailPrice(row+1)), w.comment(5, 22))
	}
}

func (w *writer) partsupp(part, i int64) {
	w.set(part, w.supplierOf(part, i), 1+w.random.IntN(9999), money(100+w.random.Int64N(99_901)), w.comment(49, 198))
}

// suppliersOfPart is how many suppliers a part has.
const suppliersOfPart = 4

func (w *writer) supplierOf(part, i int64) int64 {
	suppliers := int64(scaled(10_000, w.scale))
	return (part+i*(suppliers/suppliersOfPart+(part-1)/suppliers))%suppliers + 1
}

// set makes the line of fields.
func (w *writer) set(fields ...any) {
	w.line = w.line[:0]
	for i, field := range fields {
		if i > 0 {
			w.line = append(w.line, '|')
		}
		switch f := field.(type) {
		case string:
			w.line = append(w.line, f...)
		case int:
			w.line = strconv.AppendInt(w.line, int64(f), 10)
		case int64:
			w.line = strconv.AppendInt(w.line, f, 10)
		case money:
			w.line = f.append(w.line)
		case day:
			w.line = time.Unix(int64(f)*86400, 0).UTC().AppendFormat(w.line, time.DateOnly)
		}
	}
}

// money is hundredths, day is days since the Unix epoch.
type (
	money int64
	day   int64
)

func (m money) append(to []byte) []byte {
	if m < 0 {
		to, m = append(to, '-'), -m
	}
	to = append(strconv.AppendInt(to, int64(m/100), 10), '.')
	return append(to, '0'+byte(m/10%10), '0'+byte(m%10))
}

func retailPrice(part int64) int64 { return 90_000 + (part/10)%20_001 + 100*(part%1000) }

func (w *writer) one(of []string) string { return of[w.random.IntN(len(of))] }

func (w *writer) balance() money { return money(w.random.Int64N(1_099_999) - 99_999) }

func (w *writer) phone(nation int) string {
	return fmt.Sprintf("%d-%d-%d-%d", nation+10, 100+w.random.IntN(900), 100+w.random.IntN(900),
		1000+w.random.IntN(9000))
}

func (w *writer) address() string {
	const letters = "0123456789abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRSTUVWXYZ."
	out := make([]byte, 10+w.random.IntN(31))
	for i := range out {
		out[i] = letters[w.random.IntN(len(letters))]
	}
	return "a" + strings.TrimSpace(string(out))
}

func (w *writer) comment(least, most int) string {
	length := least + w.random.IntN(most-least+1)
	var out strings.Builder
	for out.Len() < length {
		if out.Len() > 0 {
			out.WriteByte(' ')
		}
		out.WriteString(w.one(w.words))
	}
	return strings.TrimSpace(out.String()[:length])
}

// complaint makes five of ten thousand suppliers complained of, and as many recommended.
func (w *writer) complaint(row int64, comment string) string {
	switch row % 2000 {
	case 3:
		return "Customer " + comment[:10] + "Complaints"
	case 4:
		return "Customer " + comment[:10] + "Recommends"
	}
	return comment
}

func (w *writer) colorNames() string {
	chosen := make([]string, 0, 5)
	for _, i := range w.random.Perm(len(w.colors))[:5] {
		chosen = append(chosen, w.colors[i])
	}
	return strings.Join(chosen, " ")
}
