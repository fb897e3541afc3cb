package query

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestStatementsAreSplit(t *testing.T) {
	for text, want := range map[string][]string{
		"":                                       {""},
		"SELECT 1":                               {"SELECT 1"},
		"SELECT 1;":                              {"SELECT 1", ""},
		"SELECT 1; ; SELECT ';' -- ; \n; FROM x": {"SELECT 1", "SELECT ';' -- ;", "FROM x"},
		"SELECT 1; -- done":                      {"SELECT 1", ""},
		"SELECT 'a; b":                           {"SELECT 'a; b"},
		"/* ; */ SELECT $$;$$ ; ":                {"/* ; */ SELECT $$;$$", ""},
	} {
		statements, rest := Split(text)
		require.Equal(t, want, append(statements, rest), text)
	}
}
