package flight

import (
	"regexp"
	"strings"
)

// matches says whether a name matches a pattern: % is any text, _ any character, and a backslash takes the next one as
// it is. No pattern, or an empty one, matches everything.
func matches(pattern *string, name string) bool {
	if pattern == nil || *pattern == "" {
		return true
	}
	var out strings.Builder
	out.WriteString("(?s)^")
	escaped := false
	for _, r := range *pattern {
		switch {
		case escaped:
			out.WriteString(regexp.QuoteMeta(string(r)))
			escaped = false
		case r == '\\':
			escaped = true
		case r == '%':
			out.WriteString(".*")
		case r == '_':
			out.WriteString(".")
		default:
			out.WriteString(regexp.QuoteMeta(string(r)))
		}
	}
	out.WriteString("$")
	return regexp.MustCompile(out.String()).MatchString(name)
}
