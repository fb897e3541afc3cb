package stage

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strconv"

	"github.com/firthlake/firth/ingest/gen"
	"github.com/firthlake/firth/ingest/spec"
)

// ColumnKey is the identifier of rows with keys, and ColumnVersion has their version.
const (
	ColumnKey     = "row_key"
	ColumnVersion = "row_version"
)

// The distributions of keys: all are as likely, or few are drawn often.
const (
	Uniform = "uniform"
	Zipf    = "zipf"
)

const (
	// VersionBegin is the least version: so all are equally long.
	VersionBegin = 1_000_000_000
	keyDigits    = 9
	// rowsReady are rows that are made beforehand and taken again and again, each time with another key and version.
	rowsReady = 8 << 10
	// drawsReady are keys that are drawn beforehand and taken again and again, each time elsewhere.
	drawsReady = 1 << 20
	// zipfExponent is that of the benchmarks of key-value stores, rounded up to what the generator takes.
	zipfExponent = 1.1
)

// KeyedSpec is a table of the generator's rows, each with a key and a version.
func KeyedSpec(name string, from spec.Source, g *gen.Generator) spec.Spec {
	s := Spec(name, from, g)
	s.Schema.Columns = append([]spec.Column{{Name: ColumnKey, Type: "string", Required: true},
		{Name: ColumnVersion, Type: "long"}}, s.Schema.Columns...)
	s.Identifier = []string{ColumnKey}
	return s
}

// KeyedRows are rows of a feed that have room for a key and a version.
type KeyedRows struct{ values [][]byte }

// NewKeyedRows makes the rows.
func NewKeyedRows(feed Feed) (*KeyedRows, error) {
	g, err := feed.Generator()
	if err != nil {
		return nil, err
	}
	out := &KeyedRows{}
	head := fmt.Sprintf(`{"%s":"%s","%s":%d,`, ColumnKey, KeyText(0), ColumnVersion, VersionBegin)
	for i := range int64(rowsReady) {
		row := g.Append(nil, i)
		if len(row) < 2 || row[0] != '{' {
			return nil, fmt.Errorf("rows of workload %s as %s are no JSON objects", feed.Workload, feed.Format)
		}
		out.values = append(out.values, append([]byte(head), row[1:]...))
	}
	return out, nil
}

// Append appends a row with a key and a version.
func (r *KeyedRows) Append(dst []byte, row int64, key int, version int64) []byte {
	at := len(dst)
	dst = append(dst, r.values[row%rowsReady]...)
	value := dst[at:]
	digits(value[bytes.IndexByte(value, ':')+3:][:keyDigits], int64(key))
	digits(value[len(ColumnKey)+keyDigits+len(ColumnVersion)+11:][:10], version)
	return dst
}

// AppendKey appends the key of a record whose row has the key.
func AppendKey(dst []byte, key int) []byte {
	return fmt.Appendf(dst, `{"%s":"%s"}`, ColumnKey, KeyText(key))
}

// KeyText is a key as rows have it.
func KeyText(key int) string { return fmt.Sprintf("k%0*d", keyDigits, key) }

// KeyNumber reads what KeyText wrote.
func KeyNumber(text string) (int, error) {
	if len(text) != keyDigits+1 || text[0] != 'k' {
		return 0, fmt.Errorf("%q is no key", text)
	}
	return strconv.Atoi(text[1:])
}

// digits writes a number into all of dst.
func digits(dst []byte, n int64) {
	for i := len(dst) - 1; i >= 0; i-- {
		dst[i] = byte('0' + n%10)
		n /= 10
	}
}

// KeyDraws are keys in an order of chance that is the same each time.
type KeyDraws struct {
	keys  []uint32
	among int
	zipf  bool
}

// NewKeyDraws draws among so many keys by a distribution, Uniform or Zipf.
func NewKeyDraws(among int, distribution string) *KeyDraws {
	d := &KeyDraws{keys: make([]uint32, drawsReady), among: among, zipf: distribution == Zipf}
	random := rand.New(rand.NewPCG(1, uint64(among)))
	zipf := rand.NewZipf(random, zipfExponent, 1, uint64(among-1))
	for i := range d.keys {
		if d.keys[i] = uint32(random.IntN(among)); d.zipf {
			d.keys[i] = uint32(zipf.Uint64())
		}
	}
	return d
}

// Key is that of a draw. Each round of the draws is shifted, so that more keys are drawn than were made ready; few
// that are drawn often stay so.
func (d *KeyDraws) Key(draw int64) int {
	key := int(d.keys[draw%drawsReady])
	if !d.zipf {
		key = (key + int(draw/drawsReady)*7919) % d.among
	}
	return key
}
