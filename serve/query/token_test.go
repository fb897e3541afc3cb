package query

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTokensOfNames(t *testing.T) {
	tokens := scanTokens(`a."b""c".é1 -- x`)
	require.Len(t, tokens, 5)
	require.Equal(t, `b"c`, tokens[2].name())
	require.Equal(t, "é1", tokens[4].name())
	text, ok := scanTokens("'it''s'")[0].literal()
	require.True(t, ok)
	require.Equal(t, "it's", text)
}
