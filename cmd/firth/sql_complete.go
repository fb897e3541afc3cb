package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/firthlake/firth/serve/query"
)

// vocabulary are the names that statements may hold, as SQL writes them.
type vocabulary struct {
	tables  []string            // namespace.table
	columns map[string][]string // by table
}

// sqlWords are the words of SQL that are completed.
func sqlWords() []string {
	return strings.Fields("ALL AND AS ASC AT BETWEEN BY CASE CAST COUNT CROSS DATE DESC DESCRIBE DISTINCT ELSE END " +
		"EXCEPT EXISTS EXTRACT FILTER FOR FROM FULL GROUP HAVING ILIKE IN INNER INTERSECT INTERVAL IS JOIN LAST LEFT " +
		"LIKE LIMIT NATURAL NOT NULL NULLS OFFSET ON OR ORDER OUTER OVER PARTITION QUALIFY RIGHT SELECT SHOW " +
		"SUMMARIZE TABLES THEN TIMESTAMP UNION USING VALUES VERSION WHEN WHERE WINDOW WITH")
}

// choices are what the word that before ends with may become, in a statement of which before is the beginning.
func (v vocabulary) choices(before, statement string) (word string, choices []string) {
	word = before[len(strings.TrimRightFunc(before, isNameRune)):]
	wanted := strings.ToLower(word)
	add := func(choice string) {
		if strings.HasPrefix(strings.ToLower(choice), wanted) {
			choices = append(choices, choice)
		}
	}
	for _, table := range v.tables {
		add(table)
	}
	if !namesTable(before[:len(before)-len(word)]) {
		qualifier := word[:strings.LastIndexByte(word, '.')+1]
		for _, column := range v.columnsOf(statement) {
			add(qualifier + column)
		}
		if qualifier == "" && word != "" {
			for _, each := range sqlWords() {
				if word == wanted {
					each = strings.ToLower(each)
				}
				add(each)
			}
		}
	}
	slices.Sort(choices)
	return word, slices.Compact(choices)
}

// columnsOf are the columns of the tables that a statement names, or of all when it names none yet.
func (v vocabulary) columnsOf(statement string) []string {
	statement = strings.ToLower(statement)
	var named, all []string
	for _, table := range v.tables {
		all = append(all, v.columns[table]...)
		if strings.Contains(statement, strings.ToLower(table)) {
			named = append(named, v.columns[table]...)
		}
	}
	if named == nil {
		return all
	}
	return named
}

// isNameRune says whether a rune may be in a name, dots and quotes between names among them.
func isNameRune(r rune) bool {
	return r == '_' || r == '.' || r == '"' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' ||
		r > 127
}

// namesTable says whether the name of a table comes after text.
func namesTable(text string) bool {
	words := strings.Fields(strings.ToUpper(text))
	return len(words) > 0 && slices.Contains([]string{"FROM", "JOIN", "DESCRIBE", "SUMMARIZE", "TABLE"},
		words[len(words)-1])
}

// sqlName writes a name as SQL takes it.
func sqlName(name string) string {
	plain := name != "" && (name[0] < '0' || name[0] > '9')
	for _, r := range name {
		plain = plain && isNameRune(r) && r != '.' && r != '"'
	}
	if plain {
		return name
	}
	return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
}

const (
	// vocabularyAge is how old the names may be, vocabularyTime how long whoever completes waits for them.
	vocabularyAge  = time.Minute
	vocabularyTime = 10 * time.Second

	vocabularySQL = "SELECT table_schema, table_name, column_name FROM information_schema.columns " +
		"WHERE table_catalog = '" + sqlCatalog + "' ORDER BY ALL"
)

// completer completes words with the names that an engine has.
type completer struct {
	ask func() (vocabulary, error)
	now func() time.Time
	// begun is the text of the statement before the line.
	begun func() string

	known vocabulary
	asked time.Time
}

func newCompleter(ctx context.Context, engine query.Engine, now func() time.Time, begun func() string) *completer {
	return &completer{now: now, begun: begun, ask: func() (vocabulary, error) {
		ctx, cancel := context.WithTimeout(ctx, vocabularyTime)
		defer cancel()
		return readVocabulary(ctx, engine)
	}}
}

// complete tells what the word before pos may become, and how long it is. Without an engine it knows the words of SQL.
func (c *completer) complete(line string, pos int) (length int, choices []string) {
	if c.asked.IsZero() || c.now().Sub(c.asked) > vocabularyAge {
		if known, err := c.ask(); err == nil {
			c.known = known
		}
		c.asked = c.now()
	}
	word, choices := c.known.choices(c.begun()+line[:pos], c.begun()+line)
	return len(word), choices
}

// readVocabulary asks an engine for the names of all columns.
func readVocabulary(ctx context.Context, engine query.Engine) (vocabulary, error) {
	out := vocabulary{columns: map[string][]string{}}
	reader, err := engine.Run(ctx, vocabularySQL, nil)
	if err != nil {
		return out, err
	}
	defer reader.Release()
	for reader.Next() {
		var texts [3]*array.String
		for i := range texts {
			column, ok := reader.RecordBatch().Column(i).(*array.String)
			if !ok {
				return out, errors.New("names of columns are no texts")
			}
			texts[i] = column
		}
		for row := range int(reader.RecordBatch().NumRows()) {
			// Names are cloned when they are written: batches go.
			table := sqlName(texts[0].Value(row)) + "." + sqlName(texts[1].Value(row))
			if _, known := out.columns[table]; !known {
				out.tables = append(out.tables, table)
			}
			out.columns[table] = append(out.columns[table], strings.Clone(sqlName(texts[2].Value(row))))
		}
	}
	return out, reader.Err()
}
