package filter

import (
	"errors"
	"strings"
	"unicode/utf8"
)

// pattern is a LIKE pattern taken apart: % is any text, _ any one character, and a backslash takes
// the meaning from what follows.
type pattern struct {
	prefix string // all before the first wildcard
	rest   []atom
}

type atomKind int

const (
	atomText atomKind = iota
	atomAnyText
	atomAnyCharacter
)

type atom struct {
	kind atomKind
	text string
}

func parsePattern(text string) (pattern, error) {
	var atoms []atom
	var run strings.Builder
	flush := func() {
		if run.Len() > 0 {
			atoms = append(atoms, atom{atomText, run.String()})
			run.Reset()
		}
	}
	for i := 0; i < len(text); i++ {
		switch c := text[i]; c {
		case '%':
			flush()
			if n := len(atoms); n == 0 || atoms[n-1].kind != atomAnyText {
				atoms = append(atoms, atom{kind: atomAnyText})
			}
		case '_':
			flush()
			atoms = append(atoms, atom{kind: atomAnyCharacter})
		case '\\':
			if i++; i == len(text) {
				return pattern{}, errors.New(`the pattern ends in \, which must stand before %, _ or \`)
			}
			run.WriteByte(text[i])
		default:
			run.WriteByte(c)
		}
	}
	flush()
	var p pattern
	if len(atoms) > 0 && atoms[0].kind == atomText {
		p.prefix, atoms = atoms[0].text, atoms[1:]
	}
	p.rest = atoms
	return p, nil
}

func (p pattern) exact() bool { return len(p.rest) == 0 }

func (p pattern) onlyPrefix() bool { return len(p.rest) == 1 && p.rest[0].kind == atomAnyText }

// matches takes time in proportion to the lengths of text and pattern multiplied, at worst.
func (p pattern) matches(text string) bool {
	text, ok := strings.CutPrefix(text, p.prefix)
	if !ok {
		return false
	}
	next := 0
	again, againText := -1, "" // where to go on when a guess about the last % was wrong
	for {
		if next == len(p.rest) {
			if text == "" {
				return true
			}
		} else if a := p.rest[next]; a.kind == atomAnyText {
			again, againText = next, text
			next++
			continue
		} else if left, ok := a.cut(text); ok {
			text = left
			next++
			continue
		}
		if again < 0 || againText == "" {
			return false
		}
		_, size := utf8.DecodeRuneInString(againText)
		againText = againText[size:]
		text, next = againText, again+1
	}
}

// cut takes what a matches from the front of text.
func (a atom) cut(text string) (string, bool) {
	if a.kind == atomText {
		return strings.CutPrefix(text, a.text)
	}
	if text == "" {
		return "", false
	}
	_, size := utf8.DecodeRuneInString(text)
	return text[size:], true
}
