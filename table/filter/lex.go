package filter

import (
	"encoding/hex"
	"fmt"
	"strings"
	"unicode/utf8"
)

type tokenKind int

const (
	tokenEnd tokenKind = iota
	tokenWord
	tokenQuoted // a name in double quotes or backticks
	tokenString
	tokenNumber
	tokenBinary
	tokenSymbol
)

type token struct {
	kind tokenKind
	text string // for words as written; for quoted things what is inside
	pos  int
}

// keyword is the token in upper case when it is a word, so that it can be compared with keywords.
func (t token) keyword() string {
	if t.kind != tokenWord {
		return ""
	}
	return strings.ToUpper(t.text)
}

func (t token) is(symbol string) bool { return t.kind == tokenSymbol && t.text == symbol }

// describe names the token in an error.
func (t token) describe() string {
	switch t.kind {
	case tokenEnd:
		return "the end"
	case tokenString:
		return "the string '" + shorten(t.text) + "'"
	case tokenBinary:
		return "a binary literal"
	}
	return `"` + shorten(t.text) + `"`
}

func shorten(s string) string {
	const runesMax = 40
	if utf8.RuneCountInString(s) <= runesMax {
		return s
	}
	return string([]rune(s)[:runesMax]) + "…"
}

func isKeyword(word string) bool {
	switch strings.ToUpper(word) {
	case "AND", "OR", "NOT", "IN", "BETWEEN", "LIKE", "IS", "NULL", "NAN", "TRUE", "FALSE", "ESCAPE":
		return true
	}
	return false
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func isNameByte(c byte) bool {
	return c == '_' || c == '$' || isDigit(c) || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' ||
		c >= utf8.RuneSelf
}

type lexer struct {
	text string
	pos  int
}

func (l *lexer) fail(pos int, format string, args ...any) error {
	return &Error{Text: l.text, Pos: pos, Message: fmt.Sprintf(format, args...)}
}

func (l *lexer) next() (token, error) {
	for l.pos < len(l.text) && strings.IndexByte(" \t\r\n", l.text[l.pos]) >= 0 {
		l.pos++
	}
	start := l.pos
	if start == len(l.text) {
		return token{kind: tokenEnd, pos: start}, nil
	}
	switch c := l.text[start]; {
	case c == '\'':
		return l.quoted(tokenString)
	case c == '"' || c == '`':
		return l.quoted(tokenQuoted)
	case isDigit(c) || c == '.' && start+1 < len(l.text) && isDigit(l.text[start+1]):
		return l.number()
	case isNameByte(c):
		if (c == 'x' || c == 'X') && strings.HasPrefix(l.text[start+1:], "'") {
			return l.binary()
		}
		for l.pos < len(l.text) && isNameByte(l.text[l.pos]) {
			l.pos++
		}
		return token{tokenWord, l.text[start:l.pos], start}, nil
	}
	for _, symbol := range [...]string{
		"<=", ">=", "<>", "!=", "==", "<", ">", "=", "(", ")", ",", ".", "-", "+",
	} {
		if strings.HasPrefix(l.text[start:], symbol) {
			l.pos += len(symbol)
			return token{tokenSymbol, symbol, start}, nil
		}
	}
	r, _ := utf8.DecodeRuneInString(l.text[start:])
	return token{}, l.fail(start, "unexpected character %q", r)
}

// quoted reads up to the closing quote; a doubled quote stands for one.
func (l *lexer) quoted(kind tokenKind) (token, error) {
	start, quote := l.pos, l.text[l.pos]
	var inside strings.Builder
	for i := start + 1; i < len(l.text); i++ {
		if l.text[i] != quote {
			inside.WriteByte(l.text[i])
			continue
		}
		if i+1 < len(l.text) && l.text[i+1] == quote {
			inside.WriteByte(quote)
			i++
			continue
		}
		l.pos = i + 1
		return token{kind, inside.String(), start}, nil
	}
	return token{}, l.fail(start,
		"the quote %c is never closed; a quote inside is written twice", quote)
}

func (l *lexer) binary() (token, error) {
	start := l.pos
	l.pos++
	inside, err := l.quoted(tokenString)
	if err != nil {
		return token{}, err
	}
	content, err := hex.DecodeString(inside.text)
	if err != nil {
		return token{}, l.fail(start, "X'%s' is not hexadecimal digits in pairs", shorten(inside.text))
	}
	return token{tokenBinary, string(content), start}, nil
}

func (l *lexer) number() (token, error) {
	start := l.pos
	digits := func() {
		for l.pos < len(l.text) && isDigit(l.text[l.pos]) {
			l.pos++
		}
	}
	digits()
	if l.pos < len(l.text) && l.text[l.pos] == '.' {
		l.pos++
		digits()
	}
	if l.pos < len(l.text) && (l.text[l.pos] == 'e' || l.text[l.pos] == 'E') {
		l.pos++
		if l.pos < len(l.text) && (l.text[l.pos] == '-' || l.text[l.pos] == '+') {
			l.pos++
		}
		before := l.pos
		digits()
		if l.pos == before {
			return token{}, l.fail(start, "the number %s lacks its exponent", l.text[start:l.pos])
		}
	}
	if l.pos < len(l.text) && isNameByte(l.text[l.pos]) {
		return token{}, l.fail(l.pos, "a number is followed by %q; names that begin with a digit are "+
			`written in double quotes`, l.text[l.pos])
	}
	return token{tokenNumber, l.text[start:l.pos], start}, nil
}
