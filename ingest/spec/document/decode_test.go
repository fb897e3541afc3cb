package document

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

type house struct {
	Name  string          `yaml:"name"`
	Rooms map[string]room `yaml:"rooms"`
	Doors []struct {
		W int `yaml:"w"`
	} `yaml:"doors"`
}

type room struct {
	Area float64 `yaml:"area"`
}

func TestDecodeReportsEveryFaultWithItsLine(t *testing.T) {
	for text, want := range map[string]string{
		"":                                    "house.yaml: is empty",
		"name: a\nroms: {}":                   "house.yaml:2: roms: unknown key; known here: name, rooms, doors",
		"rooms:\n  a:\n    aera: 1":           "house.yaml:3: aera: unknown key; known here: area",
		"doors:\n- {w: 1}\n- {x: 2}":          "house.yaml:3: x: unknown key; known here: w",
		"rooms: {a: {area: big}}":             "house.yaml:1: \"big\" where a number belongs",
		"rooms: []":                           "house.yaml:1: a list where a mapping belongs",
		"name: a\nname: b":                    "house.yaml:2: mapping key \"name\" already defined",
		"name: a\n---\nname: b":               "has more than one document",
		"name: &x a\nrooms: {b: {area: *x}}":  "house.yaml:2: uses a YAML alias",
		"name: ${nothing}":                    "house.yaml:1: nothing is not set; set it",
		"name: ${open":                        "house.yaml:1: a reference ${ has no end",
		"name: " + strings.Repeat("a", 2<<20): "is larger than",
		"roms: {}\nrooms: {a: {aera: 1}}":     "house.yaml:1: roms: unknown key",
		"rooms: {a: {area: 1}}\n\nmore: [":    "house.yaml:",
	} {
		_, err := Decode("house.yaml", []byte(text), &house{}, resolve)
		var faulty *Error
		require.ErrorAs(t, err, &faulty, text)
		require.Contains(t, err.Error(), want)
	}
}

func TestWhatCouldBeReadIsCheckedToo(t *testing.T) {
	h := house{Name: "default"}
	lines, err := Decode("house.yaml",
		[]byte("name: []\ndoors:\n- {w: wide}\n- {x: 1}\nrooms: {a: {area: -1}}\nroms: {}\n"), &h, resolve)
	require.Error(t, err)
	require.Equal(t, room{-1}, h.Rooms["a"], "what comes behind is read all the same")
	err = Also(err, Faulty("house.yaml", Fault{Line: lines.Line("rooms.a.area"), Text: "is less than 0"},
		Fault{Line: lines.Line("name"), Key: "name", Text: "is a default"}))
	var told []string
	for line := range strings.Lines(err.Error()) {
		told = append(told, line[:len("house.yaml:1")])
	}
	require.Equal(t, []string{"house.yaml:1", "house.yaml:3", "house.yaml:4", "house.yaml:5", "house.yaml:6"}, told)
	require.NotContains(t, err.Error(), "is a default", "a value that could not be read is told once")
	require.NoError(t, Also(nil, nil))
	require.ErrorContains(t, Also(nil, Faulty("f", Fault{Text: "bad"})), "bad")
	lines, err = Decode("house.yaml", []byte("name: ["), &h, resolve)
	require.Error(t, err)
	require.Nil(t, lines, "nothing was read")
}

func resolve(reference string) (string, error) {
	if reference == "NAME" {
		return "a: b # not YAML any more", nil
	}
	return "", errors.New(reference + " is not set")
}

func TestReferencesAreTextsAndNeverSyntax(t *testing.T) {
	var h house
	lines, err := Decode("house.yaml", []byte("doors: []\nname: \"x ${NAME} $${y}\"\n"), &h, resolve)
	require.NoError(t, err)
	require.Equal(t, "x a: b # not YAML any more ${y}", h.Name)
	require.Equal(t, 2, lines.Line("name"))
	require.Equal(t, 1, lines.Line("doors[3].w"), "the nearest value around it")
}

func TestDefaultsStayWhereNothingIsWritten(t *testing.T) {
	h := house{Name: "default", Rooms: map[string]room{"hall": {Area: 3}}}
	_, err := Decode("house.yaml", []byte("doors: [{w: 1}]"), &h, nil)
	require.NoError(t, err)
	require.Equal(t, "default", h.Name)
	require.InDelta(t, 3, h.Rooms["hall"].Area, 0)
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte("name: ${NAME}\nrooms: {a: {area: 1}}\ndoors: [{w: 1}]"))
	f.Add([]byte("name: [a"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if _, err := Decode("fuzz.yaml", text, &house{}, resolve); err != nil {
			require.NotEmpty(t, err.Error())
		}
	})
}
