package decode

import (
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/extensions"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

func TestUUIDTakesHexDigitsOnly(t *testing.T) {
	mem := memory.NewCheckedAllocator(memory.NewGoAllocator())
	defer mem.AssertSize(t, 0)
	n := &node{kind: kindUUID, width: 16, dataType: extensions.NewUUIDType()}
	column := newColumn(n, mem)
	defer column.Release()
	const dashed = "01234567-89ab-cdef-FEDC-BA9876543210"
	for at := range dashed {
		for b := range 256 {
			text := []byte(dashed)
			text[at] = byte(b)
			want := ClassType
			if dash := dashed[at] == '-'; dash && b == '-' ||
				!dash && strings.ContainsRune("0123456789abcdefABCDEF", rune(b)) {
				want = ""
			}
			require.Equal(t, want, appendUUID(column, text), "%q", text)
			if want != "" {
				continue
			}
			bare := []byte(strings.ReplaceAll(string(text), "-", ""))
			require.Empty(t, appendUUID(column, bare))
			parsed := uuid.MustParse(string(text))
			require.Equal(t, parsed[:], column.bytes[16*(column.rows-1):][:16], "%s", bare)
			require.Equal(t, parsed[:], column.bytes[16*(column.rows-2):][:16])
		}
	}
	values := column.Finish()
	defer values.Release()
	require.IsType(t, &extensions.UUIDArray{}, values)
}
