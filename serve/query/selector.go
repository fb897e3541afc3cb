package query

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Selected is a statement in which every table that is read at another state than the newest has a namespace of its
// own: an engine that knows nothing of states finds both by name.
type Selected struct {
	// SQL is the statement with other names.
	SQL string
	// Ats are the states by the suffixes of namespaces: "db" at a state is "db" and the suffix.
	Ats map[string]At
}

// suffixMark begins a suffix. A namespace of the catalog that holds it cannot be read at a state.
const suffixMark = "@"

// Select takes the states out of a statement. They stand behind the name of a table, in one of these forms:
//
//	namespace.table AT (VERSION => 123)            a snapshot by its id; 'name' is a branch or tag
//	namespace.table AT (TIMESTAMP => '2026-01-31') what was committed then; without a zone it is UTC
//	namespace.table FOR VERSION AS OF 123          the same, as other engines write it
//	namespace.table FOR TIMESTAMP AS OF '…'        (also FOR SYSTEM_VERSION, FOR SYSTEM_TIME)
func Select(sql string) (Selected, error) {
	out := Selected{Ats: map[string]At{}}
	tokens := scanTokens(sql)
	var text strings.Builder
	copied := 0
	for i := range tokens {
		name, next := qualifiedName(tokens, i)
		if name == nil {
			continue
		}
		at, end, err := parseAt(tokens, next)
		if err != nil {
			return out, err
		}
		if end == 0 {
			continue
		}
		if len(name) < 2 {
			return out, fmt.Errorf("%w: table %s has no namespace: write namespace.table", ErrInvalid, tokens[i].text)
		}
		suffix := suffixMark + strconv.Itoa(len(out.Ats)+1)
		out.Ats[suffix] = at
		space := &name[len(name)-2]
		space.text = quoteName(space.name() + suffix)
		text.WriteString(sql[copied:tokens[i].start])
		for n, part := range name {
			if n > 0 {
				text.WriteByte('.')
			}
			text.WriteString(part.text)
		}
		copied = tokens[end-1].end
	}
	text.WriteString(sql[copied:])
	out.SQL = text.String()
	return out, nil
}

func quoteName(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// qualifiedName returns the parts of the dotted name that begins at token i, and the token behind it; nil when no name
// begins there.
func qualifiedName(tokens []token, i int) (name []token, next int) {
	if !tokens[i].isName() || i > 0 && tokens[i-1].text == "." {
		return nil, 0
	}
	name = []token{tokens[i]}
	for i++; i+1 < len(tokens) && tokens[i].text == "." && tokens[i+1].isName(); i += 2 {
		name = append(name, tokens[i+1])
	}
	return name, i
}

// parseAt reads a state at token i. It returns the token behind it, or 0 when there is none.
func parseAt(tokens []token, i int) (at At, end int, err error) {
	p := atParser{tokens: tokens, at: i}
	kind, closes := "", false
	switch p.anyWord("AT", "FOR") {
	case "AT":
		if p.symbol("(") {
			kind, closes = p.anyWord("VERSION", "TIMESTAMP"), true
		}
		if kind == "" || !p.symbol("=>") {
			return at, 0, nil
		}
	case "FOR":
		kind = strings.TrimPrefix(p.anyWord("VERSION", "TIMESTAMP", "SYSTEM_VERSION", "SYSTEM_TIME"), "SYSTEM_")
		if kind == "" || !p.word("AS") || !p.word("OF") {
			return at, 0, nil
		}
	default:
		return at, 0, nil
	}
	if kind != "VERSION" {
		p.anyWord("TIMESTAMP", "TIMESTAMPTZ")
	}
	if at, err = p.value(kind); err != nil {
		return at, 0, err
	}
	if closes && !p.symbol(")") {
		return at, 0, fmt.Errorf("%w: AT (%s => …) takes one number or text and nothing else", ErrInvalid, kind)
	}
	return at, p.at, nil
}

// atParser walks over tokens.
type atParser struct {
	tokens []token
	at     int
}

func (p *atParser) word(word string) bool { return p.anyWord(word) != "" }

func (p *atParser) anyWord(words ...string) string {
	if p.at < len(p.tokens) {
		for _, word := range words {
			if p.tokens[p.at].upper() == word {
				p.at++
				return word
			}
		}
	}
	return ""
}

// symbol takes a symbol, which may be several tokens.
func (p *atParser) symbol(text string) bool {
	for i := range text {
		if p.at+i >= len(p.tokens) || p.tokens[p.at+i].text != text[i:i+1] {
			return false
		}
	}
	p.at += len(text)
	return true
}

func (p *atParser) value(kind string) (At, error) {
	if p.at >= len(p.tokens) {
		return At{}, fmt.Errorf("%w: a state of a table is missing behind %s", ErrInvalid, kind)
	}
	t := p.tokens[p.at]
	p.at++
	text, isText := t.literal()
	if kind != "VERSION" {
		moment, err := parseMoment(text)
		if !isText || err != nil {
			return At{}, fmt.Errorf("%w: %s is no time: write it as '2026-01-31 12:00:00'", ErrInvalid, t.text)
		}
		return At{Time: moment}, nil
	}
	if isText {
		return At{Ref: text}, nil
	}
	id, err := strconv.ParseInt(t.text, 10, 64)
	if err != nil || id == 0 {
		return At{}, fmt.Errorf("%w: %s is no snapshot: write its id, or the name of a tag or branch as 'name'",
			ErrInvalid, t.text)
	}
	return At{SnapshotID: id}, nil
}

// parseMoment reads a time as SQL and RFC 3339 write it. Without a zone it is UTC.
func parseMoment(text string) (time.Time, error) {
	var err error
	forms := []string{"2006-01-02T15:04:05Z07:00", "2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02"}
	for _, form := range forms {
		for _, separator := range []string{"T", " "} {
			var moment time.Time
			if moment, err = time.Parse(strings.Replace(form, "T", separator, 1), text); err == nil {
				return moment, nil
			}
		}
	}
	return time.Time{}, err
}
