package mapping

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestDocumentsAreChangedAsWritten(t *testing.T) {
	for _, c := range []struct{ maps, in, want string }{
		{`a = cast(a as double)`, `{"a":" 12.50 "}`, `{"a":12.5}`},
		{`a = cast(a as double)`, `{"a":"abc"}`, `a = cast(a as double): "abc" is no number`},
		{`a = cast(a as double)`, `{"a":"1e400"}`, `a = cast(a as double): "1e400" is no number`},
		{`a = cast(a as double)`, `{"a":"0x10"}`, `a = cast(a as double): "0x10" is no number`},
		{`a = cast(a as double)`, `{"a":[1]}`, `a = cast(a as double): [1] is no number`},
		{`a = cast(a as double)`, `{"b":1}`, `{"b":1}`},
		{`a = cast(a as double)`, `{"a":null}`, `{"a":null}`},
		{`a = cast(a as long)`, `{"a":"9223372036854775807"}`, `{"a":9223372036854775807}`},
		{`a = cast(a as bigint)`, `{"a":"12.00"}`, `{"a":12}`},
		{`a = cast(a as int)`, `{"a":12.5}`, `a = cast(a as int): 12.5 is no whole number of 64 bits`},
		{`a = cast(a as decimal)`, `{"a":"+12.30000000000000000001"}`, `{"a":12.30000000000000000001}`},
		{`a = cast(a as decimal)`, `{"a":""}`, `a = cast(a as decimal): "" is no decimal number`},
		{`a = cast(a as text)`, `{"a":12.50}`, `{"a":"12.50"}`},
		{`a = cast(a as string)`, `{"a":{"b":1}}`, `{"a":"{\"b\":1}"}`},
		{`a = cast(a as boolean)`, `{"a":"Yes"}`, `{"a":true}`},
		{`a = cast(a as bool)`, `{"a":2}`, `a = cast(a as bool): 2 is no boolean`},
		{`t = cast(t as timestamp)`, `{"t":"2026/01/31 12:00:00"}`, `{"t":"2026-01-31T12:00:00Z"}`},
		{`t = cast(t as timestamp)`, `{"t":"1700000000"}`, `{"t":"2023-11-14T22:13:20Z"}`},
		{`t = cast(t as timestamp)`, `{"t":1700000000123}`, `{"t":"2023-11-14T22:13:20.123Z"}`},
		{`t = cast(t as timestamp)`, `{"t":1700000000.5}`, `{"t":"2023-11-14T22:13:20.5Z"}`},
		{`t = cast(t as timestamp)`, `{"t":"soon"}`, `t = cast(t as timestamp): "soon" is no timestamp`},
		{`user_id = uid`, `{"uid":7,"x":"<&>"}`, `{"user_id":7,"x":"<&>"}`},
		{`user_id = uid`, `{"user_id":7}`, `{"user_id":7}`},
		{`user_id = cast(uid as long)`, `{"uid":"7"}`, `{"user_id":7}`},
		{`user.id = uid`, `{"uid":7}`, `{"user":{"id":7}}`},
		{`user.id = uid`, `{"uid":7,"user":3}`, `user.id = uid: user is no object`},
		{`id = user.id`, `{"user":{"id":1,"n":2}}`, `{"id":1,"user":{"n":2}}`},
		{`"odd ""name" = 'it''s'`, `{}`, `{"odd \"name":"it's"}`},
		{`v = -1.5e3`, `{}`, `{"v":-1.5e3}`},
		{`v = true`, `{}`, `{"v":true}`},
		{`v = null`, `{"v":1}`, `{"v":null}`},
		{`c = coalesce(c, 'none')`, `{"c":null}`, `{"c":"none"}`},
		{`c = coalesce(c, cast(d as long), 0)`, `{"d":"5"}`, `{"c":5}`},
		{`b = a; c = b`, `{"a":1}`, `{"c":1}`},
		{`v = 1`, `[1]`, `the payload is no JSON object`},
		{`v = 1`, `null`, `the payload is not one JSON object`},
		{`v = 1`, `{} {}`, `the payload is not one JSON object`},
		{`v = 1`, "{\"a\":\"\xff\"}", `the payload is not UTF-8`},
		{`v = 1`, `{"n":123456789012345678901234567890}`, `{"n":123456789012345678901234567890,"v":1}`},
	} {
		m, err := Parse(strings.Split(c.maps, "; "))
		require.NoError(t, err, c.maps)
		got, err := m.Apply([]byte(c.in))
		if err != nil {
			got = []byte(err.Error())
		}
		require.Contains(t, string(got), c.want, c.maps+" of "+c.in)
		require.Equal(t, c.want[0] == '{', err == nil, c.maps+" of "+c.in)
	}
}

func TestParseErrorsSayWhereAndWhatToWrite(t *testing.T) {
	for text, want := range map[string]string{
		``:                                   "column 1: want a field, found the end",
		`a`:                                  "column 2: want '='",
		`a =`:                                "column 4: want a field",
		`a = 'x`:                             "a quote is not closed",
		`a = cast(b as money)`:               "no type \"money\"",
		`a = cast(b double)`:                 "want 'as'",
		`a = cast(b as double`:               "want ')'",
		`a = coalesce(b; c)`:                 "want ',' or ')'",
		`a = b c`:                            "want the end",
		`a = 01`:                             "want a field",
		`1a = b`:                             "column 1: want a field",
		"a = " + strings.Repeat("cast(", 20): "nested deeper",
		"a = '" + strings.Repeat("x", 5000) + "'": "longer than",
	} {
		_, err := Parse([]string{text})
		require.ErrorContains(t, err, want, text)
	}
}

func FuzzParseAndApply(f *testing.F) {
	f.Add("a = cast(coalesce(b.c, '1') as double)", `{"b":{"c":"2"}}`)
	f.Add("t = cast(t as timestamp)", `{"t":1e300}`)
	f.Fuzz(func(t *testing.T, text, document string) {
		m, err := Parse([]string{text})
		if err != nil {
			return
		}
		out, err := m.Apply([]byte(document))
		if err != nil {
			return
		}
		_, err = (&Mapping{}).Apply(out)
		require.NoError(t, err, "what comes out is an object again")
	})
}
