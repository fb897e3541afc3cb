package mapping

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

const grammar = "write FIELD = FIELD, a literal ('text', 12.5, true, null), cast(… as TYPE) or coalesce(…, …)"

// textBytesMax bounds an assignment, depthMax how deep its calls are nested.
const (
	textBytesMax = 4096
	depthMax     = 16
)

// parser reads one assignment, left to right.
type parser struct {
	text  string
	at    int
	depth int
}

func parseAssignment(text string) (assignment, error) {
	a := assignment{text: text}
	if len(text) > textBytesMax {
		return a, fmt.Errorf("it is longer than %d bytes", textBytesMax)
	}
	p := &parser{text: text}
	var err error
	if a.target, err = p.path(); err != nil {
		return a, err
	}
	if !p.take("=") {
		return a, p.wrong("'='")
	}
	if a.value, err = p.expr(); err != nil {
		return a, err
	}
	if p.space(); p.at < len(p.text) {
		return a, p.wrong("the end")
	}
	return a, nil
}

// wrong says what is missing at the place.
func (p *parser) wrong(want string) error {
	p.space()
	found := "the end"
	if p.at < len(p.text) {
		found = fmt.Sprintf("%.20q", p.text[p.at:])
	}
	return fmt.Errorf("column %d: want %s, found %s: %s", p.at+1, want, found, grammar)
}

func (p *parser) space() {
	p.at += len(p.text[p.at:]) - len(strings.TrimLeft(p.text[p.at:], " \t\n"))
}

// take takes a sign if it is next.
func (p *parser) take(sign string) bool {
	p.space()
	if !strings.HasPrefix(p.text[p.at:], sign) {
		return false
	}
	p.at += len(sign)
	return true
}

// path reads names with dots between; one in double quotes may hold anything.
func (p *parser) path() (path, error) {
	var out path
	for {
		name, err := p.name()
		if err != nil {
			return nil, err
		}
		if out = append(out, name); !p.take(".") {
			return out, nil
		}
	}
}

func (p *parser) name() (string, error) {
	if p.take(`"`) {
		return p.quoted('"')
	}
	word := p.word()
	if word == "" {
		return "", p.wrong("a field")
	}
	return word, nil
}

// word takes letters, digits, '_', '-', '@' and '$', of which a digit or '-' is not the first.
func (p *parser) word() string {
	p.space()
	end := strings.IndexFunc(p.text[p.at:], func(r rune) bool {
		return r < 128 && r != '_' && r != '-' && r != '@' && r != '$' && (r < '0' || r > '9') &&
			(r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	})
	if end < 0 {
		end = len(p.text) - p.at
	}
	word := p.text[p.at : p.at+end]
	if word == "" || strings.ContainsRune("-0123456789", rune(word[0])) {
		return ""
	}
	p.at += end
	return word
}

// quoted reads to the closing quote; two of them are one.
func (p *parser) quoted(quote byte) (string, error) {
	var out strings.Builder
	for ; p.at < len(p.text); p.at++ {
		if p.text[p.at] == quote {
			p.at++
			if p.at == len(p.text) || p.text[p.at] != quote {
				return out.String(), nil
			}
		}
		out.WriteByte(p.text[p.at])
	}
	return "", errors.New("a quote is not closed")
}

func (p *parser) expr() (expr, error) {
	p.space()
	if p.depth++; p.depth > depthMax {
		return nil, fmt.Errorf("calls are nested deeper than %d", depthMax)
	}
	defer func() { p.depth-- }()
	if p.take("'") {
		text, err := p.quoted('\'')
		return literal{text}, err
	}
	if number := p.number(); number != "" {
		return literal{number}, nil
	}
	begin := p.at
	switch word := strings.ToLower(p.word()); {
	case word == "true" || word == "false":
		return literal{word == "true"}, nil
	case word == "null":
		return literal{nil}, nil
	case word == "cast" && p.take("("):
		return p.cast()
	case word == "coalesce" && p.take("("):
		return p.coalesce()
	}
	p.at = begin
	field, err := p.path()
	return fieldRead(field), err
}

// number takes a JSON number if one is next.
func (p *parser) number() json.Number {
	end := strings.IndexFunc(p.text[p.at:], func(r rune) bool { return !strings.ContainsRune("+-.eE0123456789", r) })
	if end < 0 {
		end = len(p.text) - p.at
	}
	number := p.text[p.at : p.at+end]
	if number == "" || !strings.ContainsRune("-0123456789", rune(number[0])) || !json.Valid([]byte(number)) {
		return ""
	}
	p.at += end
	return json.Number(number)
}

func (p *parser) cast() (expr, error) {
	of, err := p.expr()
	if err != nil {
		return nil, err
	}
	if !strings.EqualFold(p.word(), "as") {
		return nil, p.wrong("'as'")
	}
	name := strings.ToLower(p.word())
	var names []string
	for _, c := range casts() {
		if !slices.Contains(c.names, name) {
			names = append(names, c.names[0])
			continue
		}
		if !p.take(")") {
			return nil, p.wrong("')'")
		}
		return cast{of, c}, nil
	}
	return nil, fmt.Errorf("there is no type %q to cast to: write %s", name, strings.Join(names, ", "))
}

func (p *parser) coalesce() (expr, error) {
	var of coalesce
	for {
		e, err := p.expr()
		if err != nil {
			return nil, err
		}
		of = append(of, e)
		switch {
		case p.take(","):
		case p.take(")"):
			return of, nil
		default:
			return nil, p.wrong("',' or ')'")
		}
	}
}
