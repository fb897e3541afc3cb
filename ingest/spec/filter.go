package spec

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/apache/iceberg-go"
)

// filterDepthMax bounds nesting of parentheses and NOT, so that no text can exhaust the stack.
const filterDepthMax = 64

// ParseFilter reads a predicate over columns:
//
//	country in ('DE', 'FR') and amount >= 10.5 and not (url like 'https://test%') and ts > '2026-01-01T00:00:00Z'
//
// Operators: = != <> < <= > >= in, not in, is null, is not null, between, like 'prefix%', and, or,
// not. Names with other characters than letters, digits, _ and . stand in double quotes. The result
// is unbound: BindFilter checks it against a schema.
func ParseFilter(text string) (iceberg.BooleanExpression, error) {
	tokens, err := filterTokens(text)
	if err != nil {
		return nil, fmt.Errorf("filter %q: %w", text, err)
	}
	p := filterParser{tokens: tokens}
	expr, err := p.or(0)
	if err == nil && p.peek().kind != tokenEnd {
		err = fmt.Errorf("%q is left over", p.peek().text)
	}
	if err != nil {
		return nil, fmt.Errorf("filter %q: %w", text, err)
	}
	return expr, nil
}

// BindFilter parses text and checks that its columns exist in schema and its literals fit them.
func BindFilter(text string, schema *iceberg.Schema) (iceberg.BooleanExpression, error) {
	expr, err := ParseFilter(text)
	if err != nil {
		return nil, err
	}
	if _, err := iceberg.BindExpr(schema, expr, true); err != nil {
		// The library's message has several lines.
		return nil, fmt.Errorf("filter %q: %s", text, strings.ReplaceAll(err.Error(), "\n", ": "))
	}
	return expr, nil
}

type tokenKind int

const (
	tokenEnd    tokenKind = iota
	tokenWord             // a name or a keyword
	tokenQuoted           // "a name"
	tokenString           // 'a text'
	tokenNumber
	tokenSymbol
)

type token struct {
	kind tokenKind
	text string
}

func (t token) is(keyword string) bool {
	return (t.kind == tokenWord || t.kind == tokenSymbol) && strings.EqualFold(t.text, keyword)
}

func filterTokens(text string) ([]token, error) {
	if !utf8.ValidString(text) {
		return nil, fmt.Errorf("is not UTF-8")
	}
	var tokens []token
	for rest := strings.TrimLeft(text, " \t\n"); rest != ""; rest = strings.TrimLeft(rest, " \t\n") {
		t, size, err := nextToken(rest)
		if err != nil {
			return nil, err
		}
		tokens = append(tokens, t)
		rest = rest[size:]
	}
	return append(tokens, token{}), nil
}

func nextToken(rest string) (token, int, error) {
	first, _ := utf8.DecodeRuneInString(rest)
	switch {
	case first == '\'' || first == '"':
		return quotedToken(rest, byte(first))
	case unicode.IsDigit(first) || (first == '-' && len(rest) > 1 && unicode.IsDigit(rune(rest[1]))):
		end := strings.IndexFunc(rest[1:], func(r rune) bool {
			return !unicode.IsDigit(r) && !strings.ContainsRune(".eE+-", r)
		})
		if end < 0 {
			end = len(rest) - 1
		}
		return token{tokenNumber, rest[:end+1]}, end + 1, nil
	case first == '_' || unicode.IsLetter(first):
		end := strings.IndexFunc(rest, func(r rune) bool {
			return r != '_' && r != '.' && !unicode.IsLetter(r) && !unicode.IsDigit(r)
		})
		if end < 0 {
			end = len(rest)
		}
		return token{tokenWord, rest[:end]}, end, nil
	}
	for _, symbol := range []string{"!=", "<>", "<=", ">=", "=", "<", ">", "(", ")", ","} {
		if strings.HasPrefix(rest, symbol) {
			return token{tokenSymbol, symbol}, len(symbol), nil
		}
	}
	return token{}, 0, fmt.Errorf("%q does not belong here", string(first))
}

// quotedToken reads a text in single or a name in double quotes; a doubled quote stands for itself.
func quotedToken(rest string, quote byte) (token, int, error) {
	var b strings.Builder
	for i := 1; i < len(rest); i++ {
		if rest[i] != quote {
			b.WriteByte(rest[i])
			continue
		}
		if i+1 < len(rest) && rest[i+1] == quote {
			b.WriteByte(quote)
			i++
			continue
		}
		kind := tokenString
		if quote == '"' {
			kind = tokenQuoted
		}
		return token{kind, b.String()}, i + 1, nil
	}
	return token{}, 0, fmt.Errorf("a text that begins with %c does not end", quote)
}

type filterParser struct {
	tokens []token
	at     int
}

func (p *filterParser) peek() token { return p.tokens[p.at] }

func (p *filterParser) next() token {
	t := p.tokens[p.at]
	if t.kind != tokenEnd {
		p.at++
	}
	return t
}

func (p *filterParser) accept(keyword string) bool {
	if p.peek().is(keyword) {
		p.at++
		return true
	}
	return false
}

func (p *filterParser) expect(keyword string) error {
	if !p.accept(keyword) {
		return fmt.Errorf("%s belongs before %q", keyword, p.peek().text)
	}
	return nil
}

func (p *filterParser) or(depth int) (iceberg.BooleanExpression, error) {
	left, err := p.and(depth)
	for err == nil && p.accept("or") {
		var right iceberg.BooleanExpression
		if right, err = p.and(depth); err == nil {
			left = iceberg.NewOr(left, right)
		}
	}
	return left, err
}

func (p *filterParser) and(depth int) (iceberg.BooleanExpression, error) {
	left, err := p.not(depth)
	for err == nil && p.accept("and") {
		var right iceberg.BooleanExpression
		if right, err = p.not(depth); err == nil {
			left = iceberg.NewAnd(left, right)
		}
	}
	return left, err
}

func (p *filterParser) not(depth int) (iceberg.BooleanExpression, error) {
	if depth > filterDepthMax {
		return nil, fmt.Errorf("nested deeper than %d levels", filterDepthMax)
	}
	if p.accept("not") {
		inner, err := p.not(depth + 1)
		if err != nil {
			return nil, err
		}
		return iceberg.NewNot(inner), nil
	}
	if p.accept("(") {
		inner, err := p.or(depth + 1)
		if err != nil {
			return nil, err
		}
		return inner, p.expect(")")
	}
	return p.comparison()
}

func (p *filterParser) comparison() (iceberg.BooleanExpression, error) {
	name := p.next()
	if name.kind != tokenWord && name.kind != tokenQuoted {
		return nil, fmt.Errorf("a column belongs before %q", name.text)
	}
	column := iceberg.Reference(name.text)
	negated := p.accept("not")
	switch {
	case p.accept("in"):
		return p.in(column, negated)
	case p.accept("like"):
		return p.like(column, negated)
	case p.accept("between"):
		return p.between(column, negated)
	case negated:
		return nil, fmt.Errorf("in, like or between belongs after not")
	case p.accept("is"):
		op := iceberg.OpIsNull
		if p.accept("not") {
			op = iceberg.OpNotNull
		}
		return iceberg.UnaryPredicate(op, column), p.expect("null")
	}
	ops := map[string]iceberg.Operation{"=": iceberg.OpEQ, "!=": iceberg.OpNEQ, "<>": iceberg.OpNEQ,
		"<": iceberg.OpLT, "<=": iceberg.OpLTEQ, ">": iceberg.OpGT, ">=": iceberg.OpGTEQ}
	symbol := p.next()
	op, ok := ops[symbol.text]
	if !ok || symbol.kind != tokenSymbol {
		return nil, fmt.Errorf("a comparison belongs after %s, not %q", name.text, symbol.text)
	}
	value, err := p.literal()
	if err != nil {
		return nil, err
	}
	return iceberg.LiteralPredicate(op, column, value), nil
}

func (p *filterParser) in(column iceberg.Reference, negated bool) (iceberg.BooleanExpression, error) {
	if err := p.expect("("); err != nil {
		return nil, err
	}
	var values []iceberg.Literal
	for {
		value, err := p.literal()
		if err != nil {
			return nil, err
		}
		values = append(values, value)
		if !p.accept(",") {
			break
		}
	}
	op := iceberg.OpIn
	if negated {
		op = iceberg.OpNotIn
	}
	return iceberg.SetPredicate(op, column, values), p.expect(")")
}

func (p *filterParser) like(column iceberg.Reference, negated bool) (iceberg.BooleanExpression, error) {
	pattern := p.next()
	prefix, ok := strings.CutSuffix(pattern.text, "%")
	if pattern.kind != tokenString || !ok || strings.ContainsAny(prefix, "%_") {
		return nil, fmt.Errorf("like takes a prefix such as 'abc%%', not %q", pattern.text)
	}
	op := iceberg.OpStartsWith
	if negated {
		op = iceberg.OpNotStartsWith
	}
	return iceberg.LiteralPredicate(op, column, iceberg.NewLiteral(prefix)), nil
}

func (p *filterParser) between(column iceberg.Reference, negated bool) (iceberg.BooleanExpression, error) {
	low, err := p.literal()
	if err != nil {
		return nil, err
	}
	if err := p.expect("and"); err != nil {
		return nil, err
	}
	high, err := p.literal()
	if err != nil {
		return nil, err
	}
	within := iceberg.NewAnd(iceberg.LiteralPredicate(iceberg.OpGTEQ, column, low),
		iceberg.LiteralPredicate(iceberg.OpLTEQ, column, high))
	if negated {
		return iceberg.NewNot(within), nil
	}
	return within, nil
}

func (p *filterParser) literal() (iceberg.Literal, error) {
	t := p.next()
	switch {
	case t.kind == tokenString:
		return iceberg.NewLiteral(t.text), nil
	case t.kind == tokenNumber:
		if n, err := strconv.ParseInt(t.text, 10, 64); err == nil {
			return iceberg.NewLiteral(n), nil
		}
		f, err := strconv.ParseFloat(t.text, 64)
		if err != nil {
			return nil, fmt.Errorf("%q is not a number", t.text)
		}
		return iceberg.NewLiteral(f), nil
	case t.is("true"), t.is("false"):
		return iceberg.NewLiteral(t.is("true")), nil
	}
	return nil, fmt.Errorf("a value belongs before %q: texts stand in single quotes", t.text)
}
