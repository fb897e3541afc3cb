package filter

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTextsThatColumnsAreComparedWith(t *testing.T) {
	expr, err := Parse("not (kind = 'a' or kind in ('b', 'c')) and \"who\".name <> 'd' and n = 4 and kind like 'e%'")
	require.NoError(t, err)
	require.Equal(t, map[string][]string{"kind": {"a", "b", "c"}, "who.name": {"d"}}, expr.Texts())
}
