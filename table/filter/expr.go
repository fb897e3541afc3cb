package filter

import (
	"fmt"
	"strings"
)

// Expr is a parsed filter. It is immutable.
type Expr struct{ root node }

// String renders the expression so that it parses to an equal one.
func (e *Expr) String() string {
	var b strings.Builder
	e.root.render(&b)
	return b.String()
}

// Columns are the columns that the expression names, each once, in order of appearance.
func (e *Expr) Columns() [][]string {
	var columns [][]string
	seen := map[string]bool{}
	e.root.visit(func(c column) {
		if name := c.String(); !seen[name] {
			seen[name] = true
			columns = append(columns, c.parts)
		}
	})
	return columns
}

// Texts are the texts that columns are compared with for being equal or not, by dotted name of column.
func (e *Expr) Texts() map[string][]string {
	texts := map[string][]string{}
	collectTexts(e.root, texts)
	return texts
}

func collectTexts(n node, texts map[string][]string) {
	add := func(c column, literals ...literal) {
		for _, l := range literals {
			if name := strings.Join(c.parts, "."); l.kind == literalString {
				texts[name] = append(texts[name], l.text)
			}
		}
	}
	switch n := n.(type) {
	case *logic:
		for _, term := range n.terms {
			collectTexts(term, texts)
		}
	case *not:
		collectTexts(n.term, texts)
	case *compare:
		add(n.column, n.literal)
	case *in:
		add(n.column, n.literals...)
	}
}

// Error says what is wrong with a filter, and where.
type Error struct {
	// Text is the filter.
	Text string
	// Pos is the byte in Text at which the trouble shows.
	Pos int
	// Message names the trouble and the remedy.
	Message string
}

// Error names the position as a count of characters from 1.
func (e *Error) Error() string {
	character := len([]rune(e.Text[:min(e.Pos, len(e.Text))])) + 1
	return fmt.Sprintf("filter, character %d: %s", character, e.Message)
}

// node is one operation of an expression.
type node interface {
	render(b *strings.Builder)
	visit(func(column))
}

type column struct {
	parts []string
	pos   int
}

type literalKind int

const (
	literalString literalKind = iota
	literalNumber
	literalBool
	literalDate
	literalTimestamp
	literalBinary
)

type literal struct {
	kind literalKind
	text string // without quotes, unescaped; "true" or "false"; bytes of a binary
	pos  int
}

type compareOp int

const (
	opEqual compareOp = iota
	opNotEqual
	opLess
	opLessEqual
	opGreater
	opGreaterEqual
)

// symbols are the operators by compareOp.
func (op compareOp) String() string { return [...]string{"=", "!=", "<", "<=", ">", ">="}[op] }

// flip is the operator when its sides change places.
func (op compareOp) flip() compareOp {
	return [...]compareOp{
		opEqual, opNotEqual, opGreater, opGreaterEqual, opLess, opLessEqual,
	}[op]
}

type (
	// logic is a conjunction or disjunction of two or more terms.
	logic struct {
		or    bool
		terms []node
	}
	not      struct{ term node }
	constant struct{ value bool }
	compare  struct {
		column  column
		op      compareOp
		literal literal
	}
	in struct {
		column   column
		literals []literal
	}
	like struct {
		column  column
		pattern literal
	}
	isNull struct{ column column }
	isNaN  struct{ column column }
	// truth is a boolean column standing alone.
	truth struct{ column column }
)

func (n *logic) visit(f func(column)) {
	for _, term := range n.terms {
		term.visit(f)
	}
}
func (n *not) visit(f func(column))     { n.term.visit(f) }
func (n *constant) visit(func(column))  {}
func (n *compare) visit(f func(column)) { f(n.column) }
func (n *in) visit(f func(column))      { f(n.column) }
func (n *like) visit(f func(column))    { f(n.column) }
func (n *isNull) visit(f func(column))  { f(n.column) }
func (n *isNaN) visit(f func(column))   { f(n.column) }
func (n *truth) visit(f func(column))   { f(n.column) }

func (n *logic) render(b *strings.Builder) {
	word := " AND "
	if n.or {
		word = " OR "
	}
	b.WriteByte('(')
	for i, term := range n.terms {
		if i > 0 {
			b.WriteString(word)
		}
		term.render(b)
	}
	b.WriteByte(')')
}

func (n *not) render(b *strings.Builder) {
	b.WriteString("(NOT ")
	n.term.render(b)
	b.WriteByte(')')
}

func (n *constant) render(b *strings.Builder) {
	if n.value {
		b.WriteString("TRUE")
	} else {
		b.WriteString("FALSE")
	}
}

func (n *compare) render(b *strings.Builder) {
	b.WriteString(n.column.String() + " " + n.op.String() + " " + n.literal.String())
}

func (n *in) render(b *strings.Builder) {
	b.WriteString(n.column.String() + " IN (")
	for i, l := range n.literals {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(l.String())
	}
	b.WriteByte(')')
}

func (n *like) render(b *strings.Builder) {
	b.WriteString(n.column.String() + " LIKE " + n.pattern.String())
}
func (n *isNull) render(b *strings.Builder) { b.WriteString(n.column.String() + " IS NULL") }
func (n *isNaN) render(b *strings.Builder)  { b.WriteString(n.column.String() + " IS NAN") }
func (n *truth) render(b *strings.Builder)  { b.WriteString(n.column.String()) }

// String quotes the parts that would not read back as they are.
func (c column) String() string {
	quoted := make([]string, len(c.parts))
	for i, part := range c.parts {
		quoted[i] = part
		if !plainName(part) {
			quoted[i] = `"` + strings.ReplaceAll(part, `"`, `""`) + `"`
		}
	}
	return strings.Join(quoted, ".")
}

func plainName(name string) bool {
	if name == "" || isKeyword(name) {
		return false
	}
	for i := range len(name) {
		if !isNameByte(name[i]) || i == 0 && isDigit(name[i]) {
			return false
		}
	}
	return true
}

func (l literal) String() string {
	quoted := "'" + strings.ReplaceAll(l.text, "'", "''") + "'"
	switch l.kind {
	case literalString:
		return quoted
	case literalDate:
		return "DATE " + quoted
	case literalTimestamp:
		return "TIMESTAMP " + quoted
	case literalBinary:
		return fmt.Sprintf("X'%x'", l.text)
	case literalBool:
		return strings.ToUpper(l.text)
	}
	return l.text
}
