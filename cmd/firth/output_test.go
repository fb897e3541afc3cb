package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestShellWordQuotesWhatAShellWouldSplit(t *testing.T) {
	for text, want := range map[string]string{
		"firth-demo/firth.yaml": "firth-demo/firth.yaml",
		"größe":                 "größe",
		"my lake":               "'my lake'",
		"it's":                  `'it'\''s'`,
		"$HOME":                 "'$HOME'",
		"":                      "''",
	} {
		require.Equal(t, want, shellWord(text))
	}
}
