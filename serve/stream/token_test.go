package stream_test

import (
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/serve/stream"
	"github.com/firthlake/firth/table"
)

func sampleToken() stream.Token {
	return stream.Token{Table: uuid.UUID{1, 2, 3}, Expired: 12, Cut: table.Position{
		{Cluster: "c", Topic: "events", TopicID: uuid.UUID{9}, Partition: 0}: 17,
		{Cluster: "c", Topic: "events", TopicID: uuid.UUID{9}, Partition: 3}: 1 << 40,
		{Cluster: "c", Topic: "orders", TopicID: uuid.UUID{8}, Partition: 1}: 0,
	}}
}

func TestATokenComesBackAsItWas(t *testing.T) {
	for _, token := range []stream.Token{sampleToken(), {Cut: table.Position{}},
		{Cut: table.Position{}, RolledBack: 7}} {
		text := token.String()
		require.Equal(t, strings.Map(func(r rune) rune {
			if strings.ContainsRune("+/=&? ", r) {
				return -1
			}
			return r
		}, text), text, "safe in a URL")
		back, err := stream.ParseToken(text)
		require.NoError(t, err)
		require.Equal(t, token, back)
	}
}

func TestATokenThatWasChangedIsRefused(t *testing.T) {
	text := sampleToken().String()
	for i := range text {
		_, err := stream.ParseToken(text[:i])
		require.ErrorIs(t, err, stream.ErrToken, "cut off at %d", i)
		changed := []byte(text)
		if changed[i]++; changed[i] == text[i] {
			continue
		}
		_, err = stream.ParseToken(string(changed))
		require.ErrorIs(t, err, stream.ErrToken, "changed at %d", i)
	}
	for _, text := range []string{"", "end", "1234", "AQ", strings.Repeat("A", 9<<20)} {
		_, err := stream.ParseToken(text)
		require.ErrorIs(t, err, stream.ErrToken)
	}
}

func FuzzParseToken(f *testing.F) {
	f.Add(sampleToken().String())
	f.Add(stream.Token{}.String())
	f.Add("AQAA")
	f.Fuzz(func(t *testing.T, text string) {
		token, err := stream.ParseToken(text)
		if err != nil {
			require.ErrorIs(t, err, stream.ErrToken)
			return
		}
		again, err := stream.ParseToken(token.String())
		require.NoError(t, err)
		require.Equal(t, token, again)
	})
}
