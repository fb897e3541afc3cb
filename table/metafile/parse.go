package metafile

import (
	"encoding/json"
	"sync"

	icetable "github.com/apache/iceberg-go/table"
)

// Parse parses a metadata file. The text is kept; nobody may change it.
func Parse(text []byte) (icetable.Metadata, error) {
	if m := parseHeads(text); m != nil {
		return m, nil
	}
	return icetable.ParseMetadataBytes(text)
}

// Whole returns meta as the library made it, with every snapshot decoded, as its builder wants it.
func Whole(meta icetable.Metadata) icetable.Metadata {
	if m, ok := meta.(*heads); ok {
		return m.whole()
	}
	return meta
}

// SnapshotCount is the number of snapshots in meta.
func SnapshotCount(meta icetable.Metadata) int {
	if m, ok := meta.(*heads); ok {
		return m.snapshots
	}
	return len(meta.Snapshots())
}

// heads is metadata of which only the snapshots that branches and tags name are decoded.
type heads struct {
	icetable.Metadata // without the other snapshots

	snapshots int
	whole     func() icetable.Metadata
}

// parseHeads returns nil for what the library is to judge as a whole.
func parseHeads(text []byte) icetable.Metadata {
	found := scan(text)
	if found == nil {
		return nil
	}
	named, ok := found.named(text)
	if !ok {
		return nil
	}
	meta, err := icetable.ParseMetadataBytes(found.shorten(text, named))
	if err != nil || meta.Version() < 2 || !found.fits(meta) {
		return nil
	}
	if len(meta.Snapshots()) == len(found.snapshots) {
		return meta // it is whole
	}
	return &heads{Metadata: meta, snapshots: len(found.snapshots),
		whole: sync.OnceValue(func() icetable.Metadata {
			whole, err := icetable.ParseMetadataBytes(text)
			if err != nil {
				panic("BUG: table metadata that was checked cannot be parsed: " + err.Error())
			}
			return whole
		})}
}

// named returns the ids of the snapshots that are the current one or that branches and tags name.
func (l *layout) named(text []byte) (map[int64]bool, bool) {
	var current *int64
	var refs map[string]struct {
		SnapshotID int64 `json:"snapshot-id"`
	}
	if l.current.to > 0 && json.Unmarshal(text[l.current.from:l.current.to], &current) != nil {
		return nil, false
	}
	if l.refs.to > 0 && json.Unmarshal(text[l.refs.from:l.refs.to], &refs) != nil {
		return nil, false
	}
	named := make(map[int64]bool, len(refs)+1)
	if current != nil {
		named[*current] = true
	}
	for _, ref := range refs {
		named[ref.SnapshotID] = true
	}
	return named, true
}

// shorten is the text without the snapshots that are not named.
func (l *layout) shorten(text []byte, named map[int64]bool) []byte {
	var kept []byte
	for _, s := range l.snapshots {
		if !named[s.id] {
			continue
		}
		if len(kept) > 0 {
			kept = append(kept, ',')
		}
		kept = append(kept, text[s.from:s.to]...)
	}
	before, behind := text[:l.list.from], text[l.list.to:]
	short := make([]byte, 0, len(before)+len(kept)+len(behind)+len("[]"))
	short = append(append(short, before...), '[')
	short = append(append(short, kept...), ']')
	return append(short, behind...)
}

// fits says whether the snapshots keep to what the library asks of all of them together.
func (l *layout) fits(meta icetable.Metadata) bool {
	seen := make(map[int64]bool, len(l.snapshots))
	for _, s := range l.snapshots {
		if seen[s.id] || s.sequence > meta.LastSequenceNumber() {
			return false
		}
		seen[s.id] = true
	}
	return true
}

// Snapshots implements icetable.Metadata.
func (m *heads) Snapshots() []icetable.Snapshot { return m.whole().Snapshots() }

// SnapshotByID implements icetable.Metadata.
func (m *heads) SnapshotByID(id int64) *icetable.Snapshot {
	if s := m.Metadata.SnapshotByID(id); s != nil {
		return s
	}
	return m.whole().SnapshotByID(id)
}

// Equals implements icetable.Metadata.
func (m *heads) Equals(other icetable.Metadata) bool { return m.whole().Equals(Whole(other)) }

// MarshalJSON returns the metadata as the library writes it.
func (m *heads) MarshalJSON() ([]byte, error) { return json.Marshal(m.whole()) }
