package commit

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/apache/iceberg-go"
)

// hotEntriesMax is the size of the manifest for the delete files of the newest commits, from which all but the
// newest hotEntriesKeep leave at once. Files that were just written get deletes again soon, so their entries stay
// together and are written with every commit; those that were left in peace sink, by their age, into manifests of
// hotEntriesMax, of which the older are seldom touched and merged with others.
const (
	hotEntriesMax  = 512
	hotEntriesKeep = 256
)

// carve writes the manifests that c names anew, without what it cuts, and with new delete files. An entry that
// leaves is in them for the last time, as deleted; the files are returned.
func (d *desk) carve(ctx context.Context, manifests []iceberg.ManifestFile, c *cut, deletes []iceberg.DataFile,
) (carved []iceberg.ManifestFile, removed []iceberg.DataFile, err error) {
	var touched []iceberg.ManifestFile
	for _, m := range manifests {
		if c.manifests[m.FilePath()] {
			touched = append(touched, m)
		}
	}
	entries, err := readManifests(ctx, d.store, d.reads, touched)
	if err != nil {
		return nil, nil, err
	}
	pieces := map[manifestKind]*piece{}
	var order []manifestKind
	of := func(kind manifestKind) *piece {
		if pieces[kind] == nil {
			pieces[kind] = &piece{}
			order = append(order, kind)
		}
		return pieces[kind]
	}
	for i, list := range entries {
		p := of(kindOf(touched[i]))
		for _, e := range list {
			switch {
			case e.Status() == iceberg.EntryStatusDELETED:
			case c.holds(e.DataFile()):
				p.moved = append(p.moved, manifestLine{iceberg.EntryStatusDELETED, e})
				removed = append(removed, e.DataFile())
			default:
				p.kept = append(p.kept, manifestLine{iceberg.EntryStatusEXISTING, e})
			}
		}
	}
	if got, want := len(removed), len(c.data)+len(c.deletes); got != want {
		panic(fmt.Sprintf("BUG: %d files leave, and the manifests that held them have %d", want, got))
	}
	for _, f := range deletes {
		p := of(manifestKind{specID: f.SpecID(), content: iceberg.ManifestContentDeletes})
		p.moved = append(p.moved, d.newLine(f, nil))
	}
	for _, kind := range order {
		for _, lines := range pieces[kind].split(kind.content) {
			m, err := d.manifest(ctx, kind, lines)
			if err != nil {
				return nil, nil, err
			}
			carved = append(carved, m)
		}
	}
	return carved, removed, nil
}

// holds says whether a file is cut.
func (c *cut) holds(file iceberg.DataFile) bool {
	if file.ContentType() == iceberg.EntryContentData {
		return c.data[keyOf(file.FilePath())]
	}
	return c.deletes[placeOf(file)]
}

// piece is the entries of one kind: those that come or leave, and those that stay as they were.
type piece struct{ moved, kept []manifestLine }

// split shares entries out to manifests: of delete files the newest together, then the others.
func (p *piece) split(content iceberg.ManifestContent) (manifests [][]manifestLine) {
	kept, size := p.kept, mergeEntriesMax
	if content == iceberg.ManifestContentDeletes {
		slices.SortStableFunc(kept, func(a, b manifestLine) int {
			return cmp.Compare(b.entry.SequenceNum(), a.entry.SequenceNum())
		})
		hot := len(kept)
		if len(p.moved)+hot > hotEntriesMax {
			hot = min(max(hotEntriesKeep-len(p.moved), 0), hot)
		}
		if first := slices.Concat(p.moved, kept[:hot]); len(first) > 0 {
			manifests = append(manifests, first)
		}
		kept, size = kept[hot:], hotEntriesMax
	} else {
		kept = slices.Concat(p.moved, kept)
	}
	for lines := range slices.Chunk(kept, size) {
		manifests = append(manifests, lines)
	}
	return manifests
}
