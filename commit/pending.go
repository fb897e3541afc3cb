package commit

import (
	"github.com/apache/iceberg-go"
	"github.com/google/uuid"
)

// Pending is a decision that the main table holds and that the dead-letter table does not show yet:
// append these manifests, under this snapshot id (docs/commit-protocol.md, "Dead letters").
type Pending struct {
	// CommitID is the main table's commit, Sequence its sequence number, by which the dead-letter
	// table knows what it has applied.
	CommitID uuid.UUID
	Sequence int64
	// SnapshotID is the snapshot of the dead-letter table that the manifests were written for.
	SnapshotID int64
	Manifests  []PendingManifest
}

// PendingManifest is a manifest that lies ready for the dead-letter table; all its entries are added
// data files.
type PendingManifest struct {
	Version   int
	SpecID    int32
	Location  string
	Bytes     int64
	Files     int32
	Rows      int64
	FileBytes int64
}

// Rows is the number of dead letters that wait.
func (p Pending) Rows() (rows int64) {
	for _, m := range p.Manifests {
		rows += m.Rows
	}
	return rows
}

// ManifestFiles are the manifests as a manifest list takes them.
func (p Pending) ManifestFiles() []iceberg.ManifestFile {
	var out []iceberg.ManifestFile
	for _, m := range p.Manifests {
		out = append(out, m.file(p.SnapshotID))
	}
	return out
}

// file is the manifest as a manifest list takes it; sequence number and row ids come from the list.
func (m PendingManifest) file(snapshotID int64) iceberg.ManifestFile {
	return iceberg.NewManifestFile(m.Version, m.Location, m.Bytes, m.SpecID, snapshotID).
		AddedFiles(m.Files).AddedRows(m.Rows).Build()
}

// pendingMax is how many decisions may wait for a dead-letter table that cannot be reached before
// commits to the main table stop. Each takes about 200 bytes of a property.
const pendingMax = 16

func encodePending(pending []Pending) []byte {
	e := newEncoder(kindPending)
	e.uvarint(uint64(len(pending)))
	for _, p := range pending {
		e.id(p.CommitID)
		e.uvarint(uint64(p.Sequence))
		e.uvarint(uint64(p.SnapshotID))
		e.uvarint(uint64(len(p.Manifests)))
		for _, m := range p.Manifests {
			e.uvarint(uint64(m.Version))
			e.uvarint(uint64(m.SpecID))
			e.string(m.Location)
			e.uvarint(uint64(m.Bytes))
			e.uvarint(uint64(m.Files))
			e.uvarint(uint64(m.Rows))
			e.uvarint(uint64(m.FileBytes))
		}
	}
	return e.finish()
}

func decodePending(coded []byte) ([]Pending, error) {
	d := newDecoder(kindPending, coded)
	var pending []Pending
	for range d.count() {
		p := Pending{CommitID: d.id(), Sequence: d.natural(), SnapshotID: d.natural()}
		for range d.count() {
			p.Manifests = append(p.Manifests, PendingManifest{
				Version: int(d.below(4)), SpecID: int32(d.below(1 << 31)), Location: d.string(),
				Bytes: d.natural(), Files: int32(d.below(1 << 31)), Rows: d.natural(), FileBytes: d.natural(),
			})
			if d.err != nil {
				return nil, d.err
			}
		}
		pending = append(pending, p)
	}
	if err := d.end(); err != nil {
		return nil, err
	}
	return pending, nil
}

// ReadPending returns the dead letters that a main table has decided on and not yet cleared.
func ReadPending(props iceberg.Properties) ([]Pending, error) {
	ledger, err := decodeLedger(iceberg.Properties{PropertyPending: props[PropertyPending]})
	return ledger.Pending, err
}

// ReadApplied returns up to which sequence number of each main table, by its UUID, a dead-letter
// table has applied what was pending.
func ReadApplied(props iceberg.Properties) (map[uuid.UUID]int64, error) {
	applied := map[uuid.UUID]int64{}
	if props[PropertyApplied] == "" {
		return applied, nil
	}
	coded, err := fromText(props[PropertyApplied])
	if err != nil {
		return nil, err
	}
	d := newDecoder(kindApplied, coded)
	for range d.count() {
		id := d.id()
		applied[id] = d.natural()
	}
	if err := d.end(); err != nil {
		return nil, err
	}
	return applied, nil
}

func encodeApplied(applied map[uuid.UUID]int64) []byte {
	e := newEncoder(kindApplied)
	e.uvarint(uint64(len(applied)))
	for _, id := range sortedIDs(applied) {
		e.id(id)
		e.uvarint(uint64(applied[id]))
	}
	return e.finish()
}
