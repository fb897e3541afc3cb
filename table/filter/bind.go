package filter

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/iceberg-go"
)

// Bound is a filter whose columns and literals are resolved against a schema. It is immutable and
// may be shared; batches are evaluated by an Evaluator, files are pruned by MayMatch.
type Bound struct {
	root   *test
	fields []int
	depth  int
}

// test is a conjunction, a disjunction or, when leaf is set, one condition on one column. There
// is no NOT: it was moved into the leaves, so a row for which a leaf is unknown can count as not
// matching.
type test struct {
	or    bool
	terms []*test
	leaf  *leaf
}

type leafKind int

const (
	leafConstant leafKind = iota // negate is its value
	leafNull
	leafSpan
	leafSet
	leafPattern
)

// leaf is one condition on one column. All kinds but leafNull match no null.
type leaf struct {
	kind   leafKind
	negate bool

	path   []int // of the column: index in the batch, then in each struct
	id     int
	typ    iceberg.Type
	domain domain

	span     span
	wholes   []int64          // sorted
	decimals []decimal128.Num // sorted
	texts    map[string]struct{}
	pattern  pattern
}

// Bind resolves expr against schema: columns by name, exactly as written, and literals by the
// type of their column. Evaluation wants batches in the form that table.ArrowSchema gives the
// same schema. Errors are *Error.
func Bind(expr *Expr, schema *iceberg.Schema) (*Bound, error) {
	b := binder{schema: schema, text: expr.String()}
	root, err := b.bind(expr.root, false)
	if err != nil {
		return nil, err
	}
	slices.Sort(b.fields)
	return &Bound{root: root, fields: slices.Compact(b.fields), depth: root.height()}, nil
}

// ParseAndBind is Parse and Bind; positions in errors are those of text.
func ParseAndBind(text string, schema *iceberg.Schema) (*Bound, error) {
	expr, err := Parse(text)
	if err != nil {
		return nil, err
	}
	bound, err := Bind(expr, schema)
	var located *Error
	if errors.As(err, &located) {
		located.Text = text
	}
	return bound, err
}

// FieldIDs are the columns that the filter reads, in order.
func (b *Bound) FieldIDs() []int { return slices.Clone(b.fields) }

func (t *test) height() int {
	tallest := 0
	for _, term := range t.terms {
		tallest = max(tallest, term.height())
	}
	return tallest + 1
}

type binder struct {
	schema *iceberg.Schema
	text   string
	fields []int
}

func (b *binder) fail(pos int, err error) error {
	return &Error{Text: b.text, Pos: pos, Message: err.Error()}
}

// bind builds the test of n, or of NOT n.
func (b *binder) bind(n node, negate bool) (*test, error) {
	switch n := n.(type) {
	case *logic:
		t := &test{or: n.or != negate}
		for _, term := range n.terms {
			bound, err := b.bind(term, negate)
			if err != nil {
				return nil, err
			}
			t.terms = append(t.terms, bound)
		}
		return t.joinSpans(), nil
	case *not:
		return b.bind(n.term, !negate)
	case *constant:
		return &test{leaf: &leaf{kind: leafConstant, negate: n.value != negate}}, nil
	case *isNull:
		l, err := b.column(n.column)
		if err != nil {
			return nil, err
		}
		l.kind, l.negate = leafNull, negate
		return &test{leaf: l}, nil
	}
	l, err := b.condition(n)
	if err != nil {
		return nil, err
	}
	l.negate = l.negate != negate
	return &test{leaf: l}, nil
}

// condition builds the leaf of a condition on the column's value.
func (b *binder) condition(n node) (*leaf, error) {
	switch n := n.(type) {
	case *compare:
		l, err := b.scalar(n.column)
		if err != nil {
			return nil, err
		}
		op := n.op
		if op == opNotEqual {
			op, l.negate = opEqual, true
		}
		return l, b.comparison(l, op, n.literal)
	case *truth:
		l, err := b.scalar(n.column)
		if err != nil {
			return nil, err
		}
		if _, ok := l.typ.(iceberg.BooleanType); !ok {
			return nil, b.fail(n.column.pos, fmt.Errorf(
				"column %s (%s) stands alone, which only a boolean can; compare it with something",
				n.column, l.typ))
		}
		return l, b.comparison(l, opEqual, literal{kind: literalBool, text: "true"})
	case *isNaN:
		l, err := b.scalar(n.column)
		if err != nil {
			return nil, err
		}
		if !isFloat(l.typ) {
			return nil, b.fail(n.column.pos, fmt.Errorf(
				"column %s (%s) is never NaN; only float and double are", n.column, l.typ))
		}
		l.setSpan(keySpan(opEqual, nanKey))
		return l, nil
	case *in:
		return b.set(n)
	case *like:
		return b.like(n)
	}
	panic(fmt.Sprintf("BUG: no condition for %T", n))
}

func (b *binder) comparison(l *leaf, op compareOp, lit literal) error {
	if l.domain == texts {
		text, err := textOf(l.typ, lit)
		if err != nil {
			return b.fail(lit.pos, err)
		}
		l.setSpan(textSpan(op, text), true)
		return nil
	}
	place, err := ordered(l.typ, lit)
	if err != nil {
		return b.fail(lit.pos, err)
	}
	l.setSpan(intSpan(l.domain, op, place))
	return nil
}

// setSpan makes the leaf a span; one without a member is the empty set.
func (l *leaf) setSpan(s span, some bool) {
	l.kind, l.span = leafSpan, s
	if !some {
		l.kind = leafSet
	}
}

func (b *binder) set(n *in) (*leaf, error) {
	l, err := b.scalar(n.column)
	if err != nil {
		return nil, err
	}
	l.kind, l.texts = leafSet, map[string]struct{}{}
	for _, lit := range n.literals {
		one := *l
		if err := b.comparison(&one, opEqual, lit); err != nil {
			return nil, err
		}
		if one.kind == leafSet {
			continue // no value of the column equals it
		}
		switch l.domain {
		case texts:
			l.texts[one.span.low.text] = struct{}{}
		case decimals:
			l.decimals = append(l.decimals, one.span.low.decimal)
		default:
			l.wholes = append(l.wholes, one.span.low.whole)
		}
	}
	slices.Sort(l.wholes)
	slices.SortFunc(l.decimals, decimal128.Num.Cmp)
	return l, nil
}

func (b *binder) like(n *like) (*leaf, error) {
	l, err := b.scalar(n.column)
	if err != nil {
		return nil, err
	}
	if _, ok := l.typ.(iceberg.StringType); !ok {
		return nil, b.fail(n.column.pos, fmt.Errorf("LIKE needs a string column, and %s is %s",
			n.column, l.typ))
	}
	p, err := parsePattern(n.pattern.text)
	if err != nil {
		return nil, b.fail(n.pattern.pos, err)
	}
	switch {
	case p.exact():
		l.setSpan(textSpan(opEqual, p.prefix), true)
	case p.onlyPrefix():
		l.setSpan(prefixSpan(p.prefix), true)
	default:
		l.kind, l.pattern, l.span = leafPattern, p, prefixSpan(p.prefix)
	}
	return l, nil
}

// scalar resolves a column whose values can be compared.
func (b *binder) scalar(c column) (*leaf, error) {
	l, err := b.column(c)
	if err == nil && l.domain == structural {
		return nil, b.fail(c.pos, fmt.Errorf(
			"column %s is a %s, which can only be tested by IS [NOT] NULL", c, shortType(l.typ)))
	}
	return l, err
}

func shortType(typ iceberg.Type) string {
	if nested, ok := typ.(iceberg.NestedType); ok {
		return nested.Type()
	}
	return typ.String()
}

// column resolves a path of names.
func (b *binder) column(c column) (*leaf, error) {
	l := &leaf{}
	fields := b.schema.Fields()
	for i, part := range c.parts {
		at := slices.IndexFunc(fields, func(f iceberg.NestedField) bool { return f.Name == part })
		if at < 0 {
			return nil, b.fail(c.pos, errUnknown(c, part, fields))
		}
		l.path, l.id, l.typ = append(l.path, at), fields[at].ID, fields[at].Type
		if i == len(c.parts)-1 {
			break
		}
		inside, ok := l.typ.(*iceberg.StructType)
		if !ok {
			return nil, b.fail(c.pos, fmt.Errorf("%s is a %s: only structs have fields to filter by",
				column{parts: c.parts[:i+1]}, shortType(l.typ)))
		}
		fields = inside.FieldList
	}
	l.domain = domainOf(l.typ)
	b.fields = append(b.fields, l.id)
	return l, nil
}

func errUnknown(c column, part string, fields []iceberg.NestedField) error {
	const namesMax = 20
	names := make([]string, 0, len(fields))
	for _, field := range fields {
		if strings.EqualFold(field.Name, part) {
			return fmt.Errorf("unknown column %s: did you mean %s? Names are case-sensitive",
				c, column{parts: []string{field.Name}})
		}
		names = append(names, column{parts: []string{field.Name}}.String())
	}
	if len(names) > namesMax {
		names = append(names[:namesMax], "…")
	}
	return fmt.Errorf("unknown column %s: there are %s", c, strings.Join(names, ", "))
}
