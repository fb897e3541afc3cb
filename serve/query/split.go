package query

import "strings"

// Split cuts a text at semicolons, as they stand outside of quotes and comments. What follows the last one is rest:
// a statement that has not ended yet, or nothing.
func Split(text string) (statements []string, rest string) {
	from := 0
	for _, t := range scanTokens(text) {
		if t.text != ";" {
			continue
		}
		if sql := strings.TrimSpace(text[from:t.start]); sql != "" {
			statements = append(statements, sql)
		}
		from = t.end
	}
	if len(scanTokens(text[from:])) == 0 {
		return statements, ""
	}
	return statements, strings.TrimSpace(text[from:])
}
