package query

import "strings"

// token is a word, a number, a quoted text or name, or one other byte of a statement; spaces and comments are none.
type token struct {
	text       string
	start, end int
	kind       tokenKind
}

type tokenKind int

const (
	tokenSymbol tokenKind = iota
	tokenWord
	tokenQuotedName
	tokenText
	tokenNumber
)

// isName says whether the token may be a part of a name. Words that are reserved may be too, which does no harm: what
// stands before a state is a name or no SQL.
func (t token) isName() bool { return t.kind == tokenWord || t.kind == tokenQuotedName }

// name is the name that the token spells.
func (t token) name() string {
	if t.kind == tokenQuotedName {
		return strings.ReplaceAll(t.text[1:len(t.text)-1], `""`, `"`)
	}
	return t.text
}

// upper is the word in capitals, or nothing.
func (t token) upper() string {
	if t.kind != tokenWord {
		return ""
	}
	return strings.ToUpper(t.text)
}

// literal is the content of a quoted text.
func (t token) literal() (string, bool) {
	if t.kind != tokenText || !strings.HasPrefix(t.text, "'") {
		return "", false
	}
	return strings.ReplaceAll(t.text[1:len(t.text)-1], "''", "'"), true
}

// scanTokens splits a statement as DuckDB does. Where it is no right SQL, the rest is one token, and the engine says
// what is wrong.
func scanTokens(sql string) []token {
	var tokens []token
	for at := 0; at < len(sql); {
		kind, end := scanToken(sql, at)
		if kind >= 0 {
			tokens = append(tokens, token{text: sql[at:end], start: at, end: end, kind: kind})
		}
		at = end
	}
	return tokens
}

// tokenNone is a space or comment.
const tokenNone tokenKind = -1

func scanToken(sql string, at int) (tokenKind, int) {
	rest := sql[at:]
	c := rest[0]
	switch {
	case strings.IndexByte(" \t\r\n\f\v", c) >= 0:
		return tokenNone, at + 1
	case strings.HasPrefix(rest, "--"):
		return tokenNone, at + until(rest, "\n")
	case strings.HasPrefix(rest, "/*"):
		return tokenNone, at + comment(rest)
	case c == '\'':
		return quoted(sql, at, tokenText)
	case c == '"':
		return quoted(sql, at, tokenQuotedName)
	case (c == 'e' || c == 'E') && len(rest) > 1 && rest[1] == '\'':
		return tokenText, at + escaped(rest)
	case c == '$':
		if n := dollarQuoted(rest); n > 0 {
			return tokenText, at + n
		}
	case c >= '0' && c <= '9':
		return tokenNumber, at + span(rest, func(c byte) bool { return isWord(c) || c == '.' })
	case isWord(c):
		return tokenWord, at + span(rest, isWord)
	}
	return tokenSymbol, at + 1
}

func isWord(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}

func span(text string, in func(byte) bool) int {
	n := 0
	for n < len(text) && in(text[n]) {
		n++
	}
	return n
}

// until is the length of text up to and with end.
func until(text, end string) int {
	if i := strings.Index(text, end); i >= 0 {
		return i + len(end)
	}
	return len(text)
}

// comment is the length of a comment, which may hold comments.
func comment(text string) int {
	depth := 0
	for i := 0; i+1 < len(text); i++ {
		switch text[i : i+2] {
		case "/*":
			depth++
			i++
		case "*/":
			i++
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return len(text)
}

// quoted finds the end of what is quoted by the byte at at; the quote is written twice inside.
func quoted(sql string, at int, kind tokenKind) (tokenKind, int) {
	for i := at + 1; i < len(sql); i++ {
		if sql[i] != sql[at] {
			continue
		}
		if i+1 == len(sql) || sql[i+1] != sql[at] {
			return kind, i + 1
		}
		i++
	}
	return tokenSymbol, len(sql)
}

// escaped is the length of E'…', in which a backslash takes the next byte with it.
func escaped(text string) int {
	for i := 2; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '\'':
			return i + 1
		}
	}
	return len(text)
}

// dollarQuoted is the length of $tag$…$tag$, or 0.
func dollarQuoted(text string) int {
	tag := 1 + span(text[1:], isWord)
	if tag >= len(text) || text[tag] != '$' || tag > 1 && text[1] >= '0' && text[1] <= '9' {
		return 0
	}
	return tag + 1 + until(text[tag+1:], text[:tag+1])
}
