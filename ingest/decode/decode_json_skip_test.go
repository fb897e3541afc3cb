package decode

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestFlatObjectsEndWhereTheyEnd damages objects: what is passed over at once is JSON, and what is not
// damaged is passed over.
func TestFlatObjectsEndWhereTheyEnd(t *testing.T) {
	w := &world{random: rand.New(rand.NewPCG(9, 9))}
	for i := range 200_000 {
		var b strings.Builder
		b.WriteByte('{')
		for k := range 1 + w.random.IntN(5) {
			if k > 0 {
				b.WriteByte(',')
			}
			w.writeString(&b, w.word())
			b.WriteByte(':')
			switch w.random.IntN(3) {
			case 0:
				w.writeString(&b, w.word())
			case 1:
				b.WriteString(w.numberText())
			default:
				b.WriteString([]string{"true", "false", "null"}[w.random.IntN(3)])
			}
		}
		b.WriteByte('}')
		whole := append([]byte(b.String()), []string{"", ",", "}}}}}}}}"}[i%3]...)
		require.Equal(t, b.Len(), flatObjectEnd(whole, 0), "%s", whole)
		other := w.damage(whole)
		if end := flatObjectEnd(other, 0); end >= 0 {
			require.True(t, json.Valid(other[:end]), "%q", other)
		}
	}
	for _, text := range []string{"", "{", "{}", `{"a"`, `{"a":`, `{"a":1`, `{"a":01}`, `{"a":1.}`,
		`{"a":-}`, `{"a":1,}`, `{"a":nul}`, `{"a":"\x"}`, `{"a":"` + "\n" + `"}`, `{"a":{}}`, `{"a" :1}`,
		`{"a":1 }`, `{"a":00000000000000000}`} {
		require.Equal(t, -1, flatObjectEnd([]byte(text), 0), text)
		require.Equal(t, -1, flatObjectEnd(fmt.Appendf(nil, "%s            ", text), 0), text)
	}
}
