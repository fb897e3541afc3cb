package filter

import (
	"strings"
	"unicode/utf8"
)

// Bounds on what Parse takes, so that no text of a user costs more than it may.
const (
	textBytesMax = 1 << 20
	depthMax     = 200
	listMax      = 100_000
)

// Parse reads a filter. Errors are *Error.
func Parse(text string) (*Expr, error) {
	p := &parser{lexer: lexer{text: text}}
	switch {
	case len(text) > textBytesMax:
		return nil, p.fail(0, "the filter is longer than %d bytes", textBytesMax)
	case !utf8.ValidString(text):
		return nil, p.fail(0, "the filter is not UTF-8")
	case strings.TrimSpace(text) == "":
		return nil, p.fail(0, "the filter is empty; leave it out, or write TRUE to keep all rows")
	}
	if err := p.advance(); err != nil {
		return nil, err
	}
	root, err := p.disjunction(0)
	if err != nil {
		return nil, err
	}
	if p.token.kind != tokenEnd {
		return nil, p.fail(p.token.pos, "expected AND, OR or the end, found %s", p.token.describe())
	}
	return &Expr{root: root}, nil
}

type parser struct {
	lexer
	token token // not yet taken
}

func (p *parser) advance() (err error) {
	p.token, err = p.next()
	return err
}

// take says whether the token is the keyword, and if so goes past it.
func (p *parser) take(keyword string) (bool, error) {
	if p.token.keyword() != keyword {
		return false, nil
	}
	return true, p.advance()
}

func (p *parser) disjunction(depth int) (node, error) {
	return p.terms("OR", func() (node, error) {
		return p.terms("AND", func() (node, error) { return p.negation(depth) })
	})
}

// terms reads one or more terms with keyword between them.
func (p *parser) terms(keyword string, term func() (node, error)) (node, error) {
	first, err := term()
	if err != nil {
		return nil, err
	}
	terms := []node{first}
	for {
		found, err := p.take(keyword)
		if err != nil {
			return nil, err
		}
		if !found {
			break
		}
		next, err := term()
		if err != nil {
			return nil, err
		}
		terms = append(terms, next)
	}
	if len(terms) == 1 {
		return first, nil
	}
	return &logic{or: keyword == "OR", terms: terms}, nil
}

func (p *parser) negation(depth int) (node, error) {
	if depth > depthMax {
		return nil, p.fail(p.token.pos, "nested deeper than %d levels", depthMax)
	}
	found, err := p.take("NOT")
	if err != nil {
		return nil, err
	}
	if found {
		term, err := p.negation(depth + 1)
		return &not{term: term}, err
	}
	if p.token.is("(") {
		open := p.token.pos
		if err := p.advance(); err != nil {
			return nil, err
		}
		inside, err := p.disjunction(depth + 1)
		if err != nil {
			return nil, err
		}
		if !p.token.is(")") {
			return nil, p.fail(p.token.pos, "expected ) for the ( at character %d, found %s",
				utf8.RuneCountInString(p.text[:open])+1, p.token.describe())
		}
		return inside, p.advance()
	}
	return p.predicate()
}

func (p *parser) predicate() (node, error) {
	if p.atLiteral() {
		return p.literalFirst()
	}
	col, err := p.column()
	if err != nil {
		return nil, err
	}
	if op, ok := p.operator(); ok {
		if err := p.advance(); err != nil {
			return nil, err
		}
		value, err := p.literal()
		return &compare{column: col, op: op, literal: value}, err
	}
	if p.token.keyword() == "IS" {
		return p.is(col)
	}
	negated, err := p.take("NOT")
	if err != nil {
		return nil, err
	}
	test, err := p.test(col)
	switch {
	case err != nil:
		return nil, err
	case test == nil && negated:
		return nil, p.fail(p.token.pos, "expected IN, BETWEEN or LIKE after NOT, found %s",
			p.token.describe())
	case test == nil:
		return &truth{column: col}, nil
	case negated:
		return &not{term: test}, nil
	}
	return test, nil
}

// test reads IN, BETWEEN or LIKE; it returns nil when there is none.
func (p *parser) test(col column) (node, error) {
	switch p.token.keyword() {
	case "IN":
		literals, err := p.list()
		return &in{column: col, literals: literals}, err
	case "BETWEEN":
		if err := p.advance(); err != nil {
			return nil, err
		}
		low, err := p.literal()
		if err != nil {
			return nil, err
		}
		if found, err := p.take("AND"); err != nil || !found {
			return nil, orElse(err, p.fail(p.token.pos,
				"expected AND of BETWEEN, found %s", p.token.describe()))
		}
		high, err := p.literal()
		return &logic{terms: []node{
			&compare{column: col, op: opGreaterEqual, literal: low},
			&compare{column: col, op: opLessEqual, literal: high},
		}}, err
	case "LIKE":
		if err := p.advance(); err != nil {
			return nil, err
		}
		if p.token.kind != tokenString {
			return nil, p.fail(p.token.pos, "expected a pattern in single quotes after LIKE, found %s",
				p.token.describe())
		}
		pattern := literal{kind: literalString, text: p.token.text, pos: p.token.pos}
		return &like{column: col, pattern: pattern}, p.advance()
	}
	return nil, nil
}

func orElse(err, other error) error {
	if err != nil {
		return err
	}
	return other
}

func (p *parser) is(col column) (node, error) {
	if err := p.advance(); err != nil {
		return nil, err
	}
	negated, err := p.take("NOT")
	if err != nil {
		return nil, err
	}
	var test node
	switch p.token.keyword() {
	case "NULL":
		test = &isNull{column: col}
	case "NAN":
		test = &isNaN{column: col}
	default:
		return nil, p.fail(p.token.pos, "expected NULL or NAN after IS, found %s", p.token.describe())
	}
	if negated {
		test = &not{term: test}
	}
	return test, p.advance()
}

// list reads IN ( literal, ... ).
func (p *parser) list() ([]literal, error) {
	if err := p.advance(); err != nil {
		return nil, err
	}
	if !p.token.is("(") {
		return nil, p.fail(p.token.pos, "expected ( after IN, found %s", p.token.describe())
	}
	var literals []literal
	for {
		if err := p.advance(); err != nil { // past ( or ,
			return nil, err
		}
		value, err := p.literal()
		if err != nil {
			return nil, err
		}
		if literals = append(literals, value); len(literals) > listMax {
			return nil, p.fail(value.pos, "IN has more than %d values", listMax)
		}
		if p.token.is(")") {
			return literals, p.advance()
		}
		if !p.token.is(",") {
			return nil, p.fail(p.token.pos, "expected , or ) in the list of IN, found %s",
				p.token.describe())
		}
	}
}

// literalFirst reads TRUE, FALSE, or a comparison whose literal comes first.
func (p *parser) literalFirst() (node, error) {
	value, err := p.literal()
	if err != nil {
		return nil, err
	}
	op, ok := p.operator()
	if !ok && value.kind == literalBool {
		return &constant{value: value.text == "true"}, nil
	}
	if !ok {
		return nil, p.fail(p.token.pos, "expected a comparison after a literal, found %s",
			p.token.describe())
	}
	if err := p.advance(); err != nil {
		return nil, err
	}
	if p.atLiteral() {
		return nil, p.fail(p.token.pos, "both sides are literals; one must be a column")
	}
	col, err := p.column()
	return &compare{column: col, op: op.flip(), literal: value}, err
}

func (p *parser) operator() (compareOp, bool) {
	if p.token.kind != tokenSymbol {
		return 0, false
	}
	switch p.token.text {
	case "=", "==":
		return opEqual, true
	case "!=", "<>":
		return opNotEqual, true
	case "<":
		return opLess, true
	case "<=":
		return opLessEqual, true
	case ">":
		return opGreater, true
	case ">=":
		return opGreaterEqual, true
	}
	return 0, false
}

func (p *parser) column() (column, error) {
	col := column{pos: p.token.pos}
	for {
		inside := len(col.parts) > 0 // behind a dot no keyword can stand
		switch {
		case p.token.kind == tokenQuoted:
		case p.token.kind == tokenWord && (inside || !isKeyword(p.token.text)):
		default:
			return column{}, p.fail(p.token.pos, "expected a column, found %s%s",
				p.token.describe(), quoteHint(p.token))
		}
		col.parts = append(col.parts, p.token.text)
		if err := p.advance(); err != nil {
			return column{}, err
		}
		if !p.token.is(".") {
			return col, nil
		}
		if err := p.advance(); err != nil {
			return column{}, err
		}
	}
}

func quoteHint(t token) string {
	if isKeyword(t.keyword()) {
		return "; a column of that name is written in double quotes"
	}
	return ""
}

// atLiteral looks one token ahead where a word may be a type name or a column (date, timestamp).
func (p *parser) atLiteral() bool {
	switch p.token.kind {
	case tokenString, tokenNumber, tokenBinary:
		return true
	case tokenSymbol:
		return p.token.text == "-" || p.token.text == "+"
	}
	switch p.token.keyword() {
	case "TRUE", "FALSE", "NULL":
		return true
	case "DATE", "TIMESTAMP":
		ahead := p.lexer
		next, err := ahead.next()
		return err == nil && next.kind == tokenString
	}
	return false
}

func (p *parser) literal() (literal, error) {
	start := p.token
	if !p.atLiteral() {
		hint := ""
		if start.kind == tokenWord || start.kind == tokenQuoted {
			hint = "; strings are written in single quotes, and two columns cannot be compared"
		}
		return literal{}, p.fail(start.pos, "expected a literal, found %s%s", start.describe(), hint)
	}
	value := literal{text: start.text, pos: start.pos}
	switch {
	case start.kind == tokenString:
		value.kind = literalString
	case start.kind == tokenNumber:
		value.kind = literalNumber
	case start.kind == tokenBinary:
		value.kind = literalBinary
	case start.kind == tokenSymbol:
		if err := p.advance(); err != nil {
			return literal{}, err
		}
		if p.token.kind != tokenNumber {
			return literal{}, p.fail(p.token.pos, "expected a number after %s, found %s",
				start.text, p.token.describe())
		}
		value.kind, value.text = literalNumber, strings.TrimPrefix(start.text, "+")+p.token.text
	case start.keyword() == "NULL":
		return literal{}, p.fail(start.pos, "nothing equals NULL; write IS NULL or IS NOT NULL")
	case start.keyword() == "DATE" || start.keyword() == "TIMESTAMP":
		value.kind = literalDate
		if start.keyword() == "TIMESTAMP" {
			value.kind = literalTimestamp
		}
		if err := p.advance(); err != nil {
			return literal{}, err
		}
		value.text = p.token.text
	default:
		value.kind, value.text = literalBool, strings.ToLower(start.text)
	}
	return value, p.advance()
}
