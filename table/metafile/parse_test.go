package metafile

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	icetable "github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"
)

// document is metadata of a table with snapshots 1, 2, ... of which main is at the last and a tag at the
// second.
func document(version, snapshots int) string {
	var list, log []string
	for n := 1; n <= snapshots; n++ {
		parent := ""
		if n > 1 {
			parent = fmt.Sprintf(`"parent-snapshot-id":%d,`, n-1)
		}
		if version > 2 {
			parent += fmt.Sprintf(`"first-row-id":%d,"added-rows":10,`, 10*n)
		}
		list = append(list, fmt.Sprintf(`{"snapshot-id":%d,%s"sequence-number":%d,"timestamp-ms":%d,`+
			`"manifest-list":"s3://b/m\u002f%d.avro","summary":{"operation":"append","firth.state":"a\"\\%d",`+
			`"total-records":"%d"},"schema-id":0}`, n, parent, n, 1700000000000+n, n, n, n))
		log = append(log, fmt.Sprintf(`{"snapshot-id":%d,"timestamp-ms":%d}`, n, 1700000000000+n))
	}
	return fmt.Sprintf(`{"format-version":%d,"table-uuid":"9c12d441-03fe-4693-9a96-a0705ddf69c1",`+
		`"location":"s3://b/t","last-sequence-number":%d,"next-row-id":7000,"last-updated-ms":1800000000000,`+
		`"last-column-id":1,"current-schema-id":0,"schemas":[{"type":"struct","schema-id":0,"fields":[`+
		`{"id":1,"name":"snapshots\"]}","required":false,"type":"long"}]}],"default-spec-id":0,`+
		`"partition-specs":[{"spec-id":0,"fields":[]}],"last-partition-id":999,"default-sort-order-id":0,`+
		`"sort-orders":[{"order-id":0,"fields":[]}],"properties":{"a":"{[\\"},"current-snapshot-id":%d,`+
		`"refs":{"main":{"snapshot-id":%d,"type":"branch"},"old":{"snapshot-id":2,"type":"tag"}},`+
		`"snapshots":[%s],"snapshot-log":[%s],"metadata-log":[]}`,
		version, snapshots, snapshots, snapshots, strings.Join(list, ","), strings.Join(log, ","))
}

func v2(snapshots int) string {
	return strings.Replace(document(2, snapshots), `"next-row-id":7000,`, "", 1)
}

// same holds Parse against the library, and says whether the text was accepted.
func same(t *testing.T, text string) bool {
	t.Helper()
	want, wantErr := icetable.ParseMetadataBytes([]byte(text))
	got, err := Parse([]byte(text))
	if wantErr != nil {
		require.Error(t, err)
		require.IsType(t, wantErr, err)
		return false
	}
	require.NoError(t, err)
	require.Equal(t, len(want.Snapshots()), SnapshotCount(got))
	require.Equal(t, want.CurrentSnapshot(), got.CurrentSnapshot())
	require.Equal(t, want.SnapshotByName(icetable.MainBranch), got.SnapshotByName(icetable.MainBranch))
	require.Equal(t, want.Properties(), got.Properties())
	require.Equal(t, want.LastSequenceNumber(), got.LastSequenceNumber())
	for _, s := range want.Snapshots() {
		require.Equal(t, want.SnapshotByID(s.SnapshotID), got.SnapshotByID(s.SnapshotID))
	}
	require.Equal(t, want.SnapshotByID(-5), got.SnapshotByID(-5))
	require.Equal(t, want.Snapshots(), got.Snapshots())
	require.True(t, want.Equals(Whole(got)))
	require.True(t, got.Equals(want))
	wantJSON, err := json.Marshal(want)
	require.NoError(t, err)
	gotJSON, err := json.Marshal(got)
	require.NoError(t, err)
	require.Equal(t, string(wantJSON), string(gotJSON))
	return true
}

func TestParseDecodesOnlyWhatIsNamed(t *testing.T) {
	for _, text := range []string{v2(20), document(3, 20), " " + v2(3) + "\n"} {
		m, err := Parse([]byte(text))
		require.NoError(t, err)
		h, ok := m.(*heads)
		require.True(t, ok)
		whole, asked := h.whole, 0
		h.whole = func() icetable.Metadata { asked++; return whole() }
		require.Len(t, h.Metadata.Snapshots(), 2)
		require.NotNil(t, m.CurrentSnapshot())
		require.NotNil(t, m.SnapshotByName("old"))
		require.NotNil(t, m.SnapshotByID(2))
		require.GreaterOrEqual(t, SnapshotCount(m), 3)
		require.Zero(t, asked)
		require.NotNil(t, m.SnapshotByID(1))
		require.Equal(t, 1, asked)
		require.True(t, same(t, text))
	}
}

func TestParseAcceptsWhatTheLibraryAccepts(t *testing.T) {
	for _, each := range []struct{ was, is string }{
		{`"snapshot-id":3,`, ``},
		{`"snapshot-id":3,`, `"snapshot-id":null,`},
		{`"snapshot-id":3,`, `"snapshot-id":4,`},
		{`"snapshot-id":3,`, `"snapshot-id":03,`},
		{`"snapshot-id":3,`, `"snapshot-id":3.0,`},
		{`"snapshot-id":3,`, `"snapshot-id":-0,`},
		{`"snapshot-id":3,`, `"snapshot-id":-,`},
		{`"snapshot-id":3,`, `"snapshot-id":9223372036854775807,`},
		{`"snapshot-id":3,`, `"snapshot-id":9223372036854775808,`},
		{`"snapshot-id":3,`, `"snapshot-id":3,"snapshot-id":33,`},
		{`"snapshot-id":3,`, `"snapshot-id":3,"Snapshot-ID":33,`},
		{`"snapshot-id":3,`, `"snapshot-id":3,"ſnapshot-id":33,`},
		{`"snapshot-id":3,`, `"\u0073napshot-id":3,`},
		{`"snapshot-id":3,`, `"snapshot-id":3,"key-id":"k",`},
		{`"snapshot-id":3,`, `"snapshot-id":3,"first-row-id":-1,`},
		{`"first-row-id":30,`, `"first-row-id":-1,`},
		{`"snapshot-id":3,`, `"snapshot-id":3,"manifests":["a"],`},
		{`"snapshot-id":3,`, `"snapshot-id":3,,`},
		{`"sequence-number":3,`, `"sequence-number":99,`},
		{`"sequence-number":3,`, ``},
		{`"timestamp-ms":1700000000003,`, ``},
		{`"operation":"append",`, ``},
		{`"operation":"append",`, `"operation":"",`},
		{`"operation":"append",`, `"operation":null,`},
		{`"operation":"append",`, `"operation":"append","operation":"",`},
		{`"operation":"append",`, `"operation":"append","operatio\u006e":"",`},
		{`"operation":"append",`, `"Operation":"",`},
		{`"operation":"append",`, `"operation":"append","n":1,`},
		{`"operation":"append",`, "\"operation\":\"a\x01\","},
		{`"operation":"append",`, "\"operation\":\"a\xff\","},
		{`"operation":"append",`, `"operation":"\ud800",`},
		{`"operation":"append",`, `"operation":"\u12g4",`},
		{`"operation":"append",`, `"operation":"\x",`},
		{`"total-records":"3"}`, `"total-records":"3"},"summary":{}`},
		{`"total-records":"3"}`, `"total-records":"3",}`},
		{`"schema-id":0},{"snapshot-id":4`, `"schema-id":0} , { "snapshot-id" : 4`},
		{`"schema-id":0},{"snapshot-id":4`, `"schema-id":"0"},{"snapshot-id":4`},
		{`"schema-id":0},{"snapshot-id":4`, `"schema-id":0},null,{"snapshot-id":4`},
		{`"schema-id":0},{"snapshot-id":4`, `"schema-id":0}{"snapshot-id":4`},
		{`"snapshots":[`, `"snapshots":[],"snapshots":[`},
		{`"snapshots":[`, `"Snapshots":[`},
		{`"snapshots":[`, `"Snapshots":[],"snapshots":[`},
		{`"snapshots":[`, `"snapshots":["x",`},
		{`"snapshots":[`, `"other":[`},
		{`"snapshot-log":[`, `"snapshot-log":{`},
		{`"metadata-log":[]}`, `"metadata-log":[]} x`},
		{`"metadata-log":[]}`, `"metadata-log":[],"snapshots":[]}`},
		{`"metadata-log":[]}`, `"metadata-log":[],"SNAPSHOTS":null}`},
		{`"metadata-log":[]}`, `"metadata-log":[],"SNAPSHOTS":[{"snapshot-id":2,"timestamp-ms":1},` +
			`{"snapshot-id":5,"timestamp-ms":2}]}`},
		{`"metadata-log":[]}`, `"metadata-log":[],"refs":{}}`},
		{`"metadata-log":[]}`, `"metadata-log":[],"snap\u0073hots":null}`},
		{`"metadata-log":[]}`, `"metadata-log":[],"x":tru}`},
		{`"metadata-log":[]}`, `"metadata-log":[]`},
		{`"current-snapshot-id":5,`, `"current-snapshot-id":-1,`},
		{`"current-snapshot-id":5,`, `"current-snapshot-id":null,`},
		{`"current-snapshot-id":5,`, `"current-snapshot-id":4,`},
		{`"current-snapshot-id":5,`, `"current-snapshot-id":"5",`},
		{`"current-snapshot-id":5,`, ``},
		{`"main":{"snapshot-id":5`, `"main":{"snapshot-id":77`},
		{`"old":{"snapshot-id":2`, `"old":{"SNAPSHOT-ID":4`},
		{`"old":{"snapshot-id":2`, `"old":{"snapshot-id":99`},
		{`"refs":{`, `"refs":[{`},
		{`"format-version":2`, `"format-version":1`},
		{`"last-sequence-number":5,`, ``},
		{`"last-sequence-number":5,`, `"last-sequence-number":2,`},
	} {
		for _, text := range []string{v2(5), document(3, 5)} {
			edited := strings.Replace(text, each.was, each.is, 1)
			t.Run(each.is, func(t *testing.T) { same(t, edited) })
		}
	}
	for _, text := range []string{"", "{", "null", "[]", "{}", `{"snapshots":[]}`, v2(0), v2(1), v2(2)} {
		same(t, text)
	}
}

// TestParseAcceptsWhatTheLibraryAcceptsAtRandom changes one to three bytes of a document, or cuts a piece out.
func TestParseAcceptsWhatTheLibraryAcceptsAtRandom(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	const bytes = "{}[]\",:\\0123456789-+.eE ntru\x00\xff\nabSs"
	accepted := 0
	for range 6000 {
		text := []byte(v2(3))
		for range 1 + random.IntN(3) {
			text[random.IntN(len(text))] = bytes[random.IntN(len(bytes))]
		}
		if random.IntN(4) == 0 {
			from := random.IntN(len(text))
			text = append(text[:from], text[min(len(text), from+random.IntN(40)):]...)
		}
		if same(t, string(text)) {
			accepted++
		}
	}
	require.Greater(t, accepted, 100)
}

func FuzzParse(f *testing.F) {
	f.Add(v2(3))
	f.Add(document(3, 3))
	f.Fuzz(func(t *testing.T, text string) { same(t, text) })
}

func BenchmarkParse(b *testing.B) {
	text := []byte(v2(200))
	for name, parse := range map[string]func([]byte) (icetable.Metadata, error){
		"heads": Parse, "library": icetable.ParseMetadataBytes,
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := parse(text); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
