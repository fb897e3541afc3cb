package decode

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/ingest/source"
)

// slowly makes a decoder read every field by its name and every value one way slower.
func (d *jsonDecoder) slowly() {
	var never func(n *node)
	never = func(n *node) {
		n.straight = straightNever
		for _, child := range n.children {
			never(child)
		}
	}
	for _, n := range d.plan.columns {
		never(n)
	}
	d.orders = nil
}

// lane is a JSON decoder of its own plan.
type lane struct {
	json    *jsonDecoder
	decoder Decoder
}

func newLane(t testing.TB, mem memory.Allocator, fields []iceberg.NestedField,
	options Options,
) lane {
	t.Helper()
	plan, err := NewPlan(iceberg.NewSchema(0, fields...), options)
	require.NoError(t, err)
	rows := newRows(plan, mem)
	json := newJSONDecoder(plan, rows)
	return lane{json, newChunkDecoder(rows, json)}
}

// guessed is the number of fields that were read where they were expected.
func (l lane) guessed() (hits int64) {
	for i := range l.json.orders {
		hits += l.json.orders[i].hits
	}
	return hits
}

// checkLanes decodes chunks with and without guesses and wants the same batches and failures. It
// returns how many fields were guessed.
func checkLanes(t testing.TB, fields []iceberg.NestedField, options Options,
	chunks [][][]byte,
) int64 {
	t.Helper()
	mem := memory.NewCheckedAllocator(memory.NewGoAllocator())
	defer mem.AssertSize(t, 0)
	fast, slow := newLane(t, mem, fields, options), newLane(t, mem, fields, options)
	defer fast.decoder.Close()
	defer slow.decoder.Close()
	slow.json.slowly()
	for _, documents := range chunks {
		chunk := &source.Chunk{}
		for _, document := range documents {
			chunk.Records = append(chunk.Records, source.Record{Value: document})
		}
		got, gotErr := fast.decoder.Decode(t.Context(), chunk)
		want, wantErr := slow.decoder.Decode(t.Context(), chunk)
		require.Equal(t, wantErr, gotErr)
		if wantErr != nil {
			continue
		}
		requireSameRows(t, want, got, slow.json.plan, documents)
		want.Batch.Release()
		got.Batch.Release()
	}
	return fast.guessed()
}

// requireSameRows compares values bit by bit: -0 is not 0.
func requireSameRows(t testing.TB, want, got Decoded, plan *Plan, documents [][]byte) {
	t.Helper()
	require.Equal(t, want.Failures, got.Failures)
	require.EqualValues(t, len(documents), got.Batch.NumRows())
	for k, n := range plan.columns {
		a, b := want.Batch.Column(k), got.Batch.Column(k)
		for i, document := range documents {
			x, y := arrowValue(a, i, n), arrowValue(b, i, n)
			require.True(t, reflect.DeepEqual(x, y), "record %d column %s: %v and %v: %s",
				i, n.path, x, y, document)
		}
	}
}

// part is one field of a uniform record.
type part struct {
	key      string
	value    func(b *strings.Builder)
	straight bool // into a column
}

// uniform are records of one shape, as a producer writes them.
type uniform struct {
	*world
	parts              []part
	comma, colon, tail string
}

func (w *world) uniform(plan *Plan) uniform {
	u := uniform{world: w}
	u.comma = []string{",", ", ", ",\n  "}[w.random.IntN(3)]
	u.colon = []string{":", ": "}[w.random.IntN(2)]
	u.tail = []string{"}", "\n}", " } "}[w.random.IntN(3)]
	for _, n := range plan.columns {
		path := n.options.Path
		if len(path) > 1 || w.chance(10) {
			continue
		}
		u.parts = append(u.parts, part{n.sourceName(), func(b *strings.Builder) { u.plain(b, n) },
			n.straight != straightNever})
	}
	for i := range w.random.IntN(3) {
		u.parts = append(u.parts, part{fmt.Sprintf("stranger %d", i),
			func(b *strings.Builder) { w.writeAny(b, 1) }, false})
	}
	if w.chance(2) {
		w.random.Shuffle(len(u.parts), func(i, k int) {
			u.parts[i], u.parts[k] = u.parts[k], u.parts[i]
		})
	}
	return u
}

// plain writes a value that the node takes, in its usual form.
func (u uniform) plain(b *strings.Builder, n *node) {
	if !n.required && u.chance(20) {
		b.WriteString("null")
		return
	}
	switch n.kind {
	case kindBool:
		fmt.Fprint(b, u.chance(2))
	case kindInt:
		fmt.Fprint(b, int32(u.random.Uint32())>>u.random.IntN(32))
	case kindLong:
		fmt.Fprint(b, int64(u.random.Uint64())>>u.random.IntN(64))
	case kindFloat, kindDouble:
		fmt.Fprintf(b, "%.*f", u.random.IntN(9), (u.random.Float64()-0.5)*1e6)
	case kindDecimal:
		quote := []string{"", `"`}[u.random.IntN(2)]
		fmt.Fprintf(b, "%s%.*f%s", quote, u.random.IntN(int(n.scale)+1),
			float64(u.random.IntN(1000)-500)/8, quote)
	case kindDate:
		fmt.Fprintf(b, `"20%02d-0%d-%02d"`, u.random.IntN(100), 1+u.random.IntN(9),
			1+u.random.IntN(28))
	case kindTime, kindTimestamp, kindTimestampNs:
		if u.chance(2) {
			fmt.Fprint(b, 1_700_000_000_000+u.random.Int64N(1e9))
			return
		}
		u.writeString(b, u.timeText())
	case kindUUID:
		fmt.Fprintf(b, `"%08x-9dad-11d1-80B4-%012x"`, u.random.Uint32(), u.random.Uint64N(1<<48))
	case kindStruct:
		for i, child := range n.children {
			b.WriteString([]string{",", "{"}[btoi(i == 0)])
			fmt.Fprintf(b, "%q:", child.sourceName())
			u.plain(b, child)
		}
		b.WriteByte('}')
	case kindString:
		words := []string{"view", "click", "Zürich", "smile 😀", "",
			strings.Repeat("long ", u.random.IntN(120))}
		fmt.Fprintf(b, `"%s%0*d"`, words[u.random.IntN(len(words))], u.random.IntN(20),
			u.random.IntN(1000))
	default:
		u.writeValue(b, n)
	}
}

func btoi(v bool) int {
	if v {
		return 1
	}
	return 0
}

func (u uniform) record(parts []part) []byte {
	var b strings.Builder
	b.WriteByte('{')
	for i, part := range parts {
		if i > 0 {
			b.WriteString(u.comma)
		}
		fmt.Fprintf(&b, `"%s"%s`, strings.ReplaceAll(part.key, `"`, `\"`), u.colon)
		part.value(&b)
	}
	b.WriteString(u.tail)
	return []byte(b.String())
}

// deviant is a record that differs from the others in one thing.
func (u uniform) deviant() []byte {
	parts := append([]part{}, u.parts...)
	at := u.random.IntN(len(parts))
	text := func(texts ...string) func(*strings.Builder) {
		return func(b *strings.Builder) { b.WriteString(texts[u.random.IntN(len(texts))]) }
	}
	switch u.random.IntN(10) {
	case 0:
		return u.damage(u.record(parts))
	case 1:
		parts = append(parts[:at], parts[at+1:]...)
	case 2:
		parts = append(parts, part{"extra", func(b *strings.Builder) { u.writeAny(b, 2) }, false})
	case 3:
		u.random.Shuffle(len(parts), func(i, k int) { parts[i], parts[k] = parts[k], parts[i] })
	case 4:
		parts[at].value = func(b *strings.Builder) { u.writeAny(b, 3) }
	case 5:
		parts = append(parts, parts[at])
	case 6:
		parts[at].value = text(`"a\u00e4\n"`, `"\ud800"`, "\"\xff\"", "\"\xc3\"",
			"\"tab\there\"", `"\x"`, `"open`)
	case 7:
		parts[at].value = text("NaN", "Infinity", "-", "+1", ".5", "1.", "01", "-01", "0x1", "1e",
			"nul", "truE", "falsy", "1 2", `"NaN"`, `"12"`, `"-0.0"`, `"1.50"`,
			`" 1"`, `"1`, "12\"", `""`)
	case 8:
		number := u.numberText()
		parts[at].value = text(number, `"`+number+`"`)
	case 9:
		lead := []string{" ", "\n", "\x00", "[", ","}[u.random.IntN(5)]
		return append([]byte(lead), u.record(parts)...)
	}
	return u.record(parts)
}

// checkUniform checks chunks of uniform records with some deviants, one of which is changed by edit.
// It returns how many values of scalar columns were written and how many of them were guessed.
func checkUniform(t testing.TB, seed uint64, edit func([]byte) []byte) (written, guessed int64) {
	t.Helper()
	w := &world{random: rand.New(rand.NewPCG(seed, 23))}
	fields := w.fieldList(2)
	options := w.options(fields)
	if w.chance(10) {
		options.UnknownFields = UnknownEvolve
	}
	plan, err := NewPlan(iceberg.NewSchema(0, fields...), options)
	require.NoError(t, err)
	var shapes []uniform
	for range 1 + w.random.IntN(3) {
		if u := w.uniform(plan); len(u.parts) > 0 {
			shapes = append(shapes, u)
		}
	}
	var chunks [][][]byte
	for range 3 {
		var documents [][]byte
		for range 40 {
			if len(shapes) == 0 {
				documents = append(documents, []byte("{}"))
				continue
			}
			u := shapes[w.random.IntN(len(shapes))]
			for _, part := range u.parts {
				written += int64(btoi(part.straight))
			}
			if w.chance(8) {
				documents = append(documents, u.deviant())
			} else {
				documents = append(documents, u.record(u.parts))
			}
		}
		at := w.random.IntN(len(documents))
		documents[at] = edit(documents[at])
		chunks = append(chunks, documents)
	}
	return written, checkLanes(t, fields, options, chunks)
}

func TestJSONGuessesChangeNothing(t *testing.T) {
	worlds := uint64(600)
	if testing.Short() {
		worlds = 60
	}
	var written, guessed int64
	for seed := range worlds {
		w, g := checkUniform(t, seed, func(document []byte) []byte { return document })
		written, guessed = written+w, guessed+g
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	t.Logf("%d of %d scalar fields were guessed", guessed, written)
	require.Greater(t, guessed, written/2, "the guesses are what is tested")
}

// FuzzJSONGuesses puts bytes of its own over, or into, a record among uniform ones.
func FuzzJSONGuesses(f *testing.F) {
	for seed := range uint64(20) {
		f.Add(seed, []byte(`"a\u00e4"`), uint16(seed*7), false)
		f.Add(seed, []byte(`-1.5e3,`), uint16(seed*5), true)
		f.Add(seed, []byte("\xff"), uint16(seed*3), true)
	}
	f.Fuzz(func(t *testing.T, seed uint64, bytes []byte, at uint16, over bool) {
		checkUniform(t, seed, func(document []byte) []byte {
			from := int(at) % (len(document) + 1)
			to := from
			if over {
				to = min(len(document), from+len(bytes))
			}
			return slices.Concat(document[:from], bytes, document[to:])
		})
	})
}
