package images

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/table/keyindex"
)

func TestPairTellsWhatBecameOfRows(t *testing.T) {
	// A row is its key and its content; its place is its place in the text.
	entries := func(portion uint32, text string) (out []entry) {
		for i, word := range strings.Fields(text) {
			out = append(out, entry{key: keyindex.Key{High: uint64(word[0])}, sum: uint64(word[1]),
				at: Place{portion, uint32(i)}})
		}
		return out
	}
	for _, c := range []struct{ went, came, want string }{
		{"", "b1 a1", "INSERT a1, INSERT b1"},
		{"b1 a1", "", "DELETE a1, DELETE b1"},
		{"a1 b1 c1", "c1 a2 b1", "UPDATE_BEFORE a1, UPDATE_AFTER a2"},
		{"a1", "a1", ""},
		{"a1 a1 b2", "a1 b2", "DELETE a1"},
		{"a1", "a1 a1", "INSERT a1"},
		{"a2 a1", "a3", "DELETE a2, UPDATE_BEFORE a1, UPDATE_AFTER a3"},
		{"a1", "a3 a2", "UPDATE_BEFORE a1, UPDATE_AFTER a3, INSERT a2"},
	} {
		rows := [][]string{strings.Fields(c.went), strings.Fields(c.came)}
		var told []string
		for i, image := range pair(entries(0, c.went), entries(1, c.came)) {
			require.Equal(t, int64(i), image.Ordinal)
			told = append(told, fmt.Sprint(image.Kind, " ", rows[image.At.Portion][image.At.Row]))
		}
		require.Equal(t, c.want, strings.Join(told, ", "), "%s becomes %s", c.went, c.came)
	}
}
