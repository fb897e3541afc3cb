package flight

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPatternsMatch(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"", "x", true}, {"%", "", true}, {"ev%", "events", true}, {"e_ents", "events", true}, {"e_", "events", false},
		{`a\_b`, "a_b", true}, {`a\_b`, "axb", false}, {"a.b", "axb", false}, {"(", "(", true},
		{"EV%", "events", false},
	} {
		require.Equal(t, c.want, matches(&c.pattern, c.name), c)
	}
	require.True(t, matches(nil, "x"))
}
