package decode

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPlainMessagesAreReadStraight(t *testing.T) {
	const text = `syntax = "proto3"; message M { int64 a = 1; string s = 2; repeated int32 l = 3; I i = 4;
		map<string, I> m = 5; repeated I r = 300; oneof o { int32 x = 6; int32 y = 7; } optional bool b = 8; }
		message I { int32 n = 1; double d = 2; }`
	item := string(protoJoin(protoNum(1, 3)))
	for name, test := range map[string]struct {
		payload  []byte
		straight bool
	}{
		"nothing": {nil, true},
		"all in order": {protoJoin(protoNum(1, 1<<50), protoLen(2, "käse"), protoLen(3, "\x01\x02"),
			protoLen(4, item), protoLen(5, string(protoJoin(protoLen(1, "k"), protoLen(2, item)))),
			protoNum(6, 1), protoNum(8, 1), protoLen(300, item), protoLen(300, "")), true},
		"another order":      {protoJoin(protoLen(300, item), protoNum(8, 1), protoNum(1, 2)), true},
		"unpacked elements":  {protoJoin(protoNum(3, 1), protoNum(3, 2)), true},
		"strangers":          {protoJoin(protoNum(1, 2), protoLen(900, "x"), protoNum(8, 1)), true},
		"a field twice":      {protoJoin(protoNum(1, 2), protoNum(1, 3)), false},
		"two of a oneof":     {protoJoin(protoNum(6, 2), protoNum(7, 3)), false},
		"a message in parts": {protoJoin(protoLen(4, item), protoLen(4, "")), false},
		"text no UTF-8":      {protoLen(2, "\xff"), false},
		"cut short":          {[]byte{8}, false},
	} {
		t.Run(name, func(t *testing.T) {
			decoder := protoFixture(t, protoTable(t, text), text).decoder(t).(*chunkDecoder)
			decoded, err := decoder.Decode(t.Context(), chunkOf(framed(1, 0)))
			require.NoError(t, err)
			decoded.Batch.Release()
			program := decoder.values.(*writerDecoder).programs[1].(*protoProgram).first.(*protoRoot)
			decoder.rows.begin(0)
			require.Equal(t, test.straight, program.run.straight(program.message, test.payload, 0))
		})
	}
}
