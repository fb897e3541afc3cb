package tpch

import "fmt"

// order is an order with its lines.
type order struct {
	key, customer int64
	status        string
	price         money
	placed        day
	rest          []any
	lines         [][]any
}

func (o order) fields() []any {
	return append([]any{o.key, o.customer, o.status, o.price, o.placed}, o.rest...)
}

// order makes one. Keys take the first eight of every 32 numbers, and every third customer has ordered nothing.
func (w *writer) order(row int64) order {
	customers := int64(scaled(150_000, w.scale))
	customer := 1 + w.random.Int64N(customers)
	if customer%3 == 0 && customers > 1 {
		customer--
	}
	o := order{key: row/8*32 + row%8 + 1, customer: customer,
		placed: day(firstDay + w.random.Int64N(lastDay-firstDay+1))}
	open, count := 0, 1+w.random.IntN(7)
	for i := range count {
		line, price, isOpen := w.lineOf(o, int64(i+1))
		o.lines = append(o.lines, line)
		o.price += price
		if isOpen {
			open++
		}
	}
	switch open {
	case 0:
		o.status = "F"
	case count:
		o.status = "O"
	default:
		o.status = "P"
	}
	clerks := scaled(1000, w.scale)
	o.rest = []any{w.one(w.priorities), fmt.Sprintf("Clerk#%09d", 1+w.random.IntN(clerks)), 0, w.comment(19, 78)}
	return o
}

// lineOf makes a line of an order, and says what it costs and whether it is to be shipped yet.
func (w *writer) lineOf(o order, number int64) (line []any, price money, open bool) {
	part := 1 + w.random.Int64N(int64(scaled(200_000, w.scale)))
	supplier := w.supplierOf(part, w.random.Int64N(suppliersOfPart))
	quantity, discount, tax := 1+w.random.Int64N(50), w.random.Int64N(11), w.random.Int64N(9)
	extended := quantity * retailPrice(part)
	shipped := o.placed + day(1+w.random.Int64N(121))
	committed := o.placed + day(30+w.random.Int64N(61))
	received := shipped + day(1+w.random.Int64N(30))
	flag, status := "N", "F"
	if received <= presentDay {
		flag = []string{"R", "A"}[w.random.IntN(2)]
	}
	if open = shipped > presentDay; open {
		status = "O"
	}
	line = []any{o.key, part, supplier, number, money(quantity * 100), money(extended), money(discount), money(tax),
		flag, status, shipped, committed, received, w.one(w.instructs), w.one(w.modes), w.comment(10, 43)}
	return line, money(extended * (100 - discount) * (100 + tax) / 10_000), open
}
