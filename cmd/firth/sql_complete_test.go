package main

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func someWords() vocabulary {
	return vocabulary{tables: []string{"db.events", "db.errors", `db."My Table"`, "other.t"},
		columns: map[string][]string{"db.events": {"event_id", "user_id", "country"}, "db.errors": {"code"},
			`db."My Table"`: {`"a b"`}, "other.t": {"events"}}}
}

func TestWordsAreCompleted(t *testing.T) {
	for _, each := range []struct {
		line, word string // the cursor is at the bar, or at the end
		choices    []string
	}{
		{"SELECT * FROM ", "", []string{`db."My Table"`, "db.errors", "db.events", "other.t"}},
		{"SELECT * FROM db.e", "db.e", []string{"db.errors", "db.events"}},
		{"select * from DB.EV", "DB.EV", []string{"db.events"}},
		{`DESCRIBE db."`, `db."`, []string{`db."My Table"`}},
		{"SELECT ev", "ev", []string{"event_id", "events"}},
		{"SELECT ev| FROM db.events", "ev", []string{"event_id"}},
		{"SELECT count(e.us| FROM db.events e", "e.us", []string{"e.user_id"}},
		{"SELECT c| FROM db.events", "c", []string{"case", "cast", "count", "country", "cross"}},
		{"SEL", "SEL", []string{"SELECT"}},
		{"sel", "sel", []string{"select"}},
		{"SELECT x", "x", nil},
	} {
		before, after := each.line, ""
		for i, c := range each.line {
			if c == '|' {
				before, after = each.line[:i], each.line[i+1:]
			}
		}
		word, choices := someWords().choices(before, before+after)
		require.Equal(t, each.word, word, each.line)
		require.Equal(t, each.choices, choices, each.line)
	}
}

func TestNamesAreAskedForOnceAMinute(t *testing.T) {
	asked, now := 0, time.Unix(0, 0)
	c := &completer{now: func() time.Time { return now }, begun: func() string { return "SELECT country\n" },
		ask: func() (vocabulary, error) {
			if asked++; asked == 2 {
				return vocabulary{}, errors.New("no server")
			}
			return someWords(), nil
		}}
	for _, later := range []time.Duration{0, time.Second, vocabularyAge, time.Second} {
		now = now.Add(later)
		length, choices := c.complete("FROM db.ev", 10)
		require.Equal(t, 5, length)
		require.Equal(t, []string{"db.events"}, choices)
	}
	require.Equal(t, 2, asked)
}

func TestNamesAreWrittenAsSQLTakesThem(t *testing.T) {
	for name, want := range map[string]string{"id": "id", "a_1": "a_1", "1a": `"1a"`, "a b": `"a b"`, "a.b": `"a.b"`,
		`a"b`: `"a""b"`, "": `""`} {
		require.Equal(t, want, sqlName(name))
	}
}
