package stream

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"

	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"

	"github.com/firthlake/firth/table/images"
	"github.com/firthlake/firth/table/keyindex"
)

// Mark says what a stream of a keyed table has handed out: all changes up to a commit, or those of a commit up to a
// place in it.
type Mark struct {
	// Identifier tells by which columns rows are paired, and changes ordered.
	Identifier uint32
	// Sequence is the sequence number of the commit's snapshot; 0 is before the first.
	Sequence int64
	// Before is that of the snapshot which the commit is held against. With 0 it is none, and all rows of the commit
	// are told. It means nothing behind a commit.
	Before int64
	stage  stage
	// at is where the next row is, by the order of files.
	at images.Place
	// key is the last one whose changes were handed out.
	key keyindex.Key
}

// stage says which part of a commit was handed out.
type stage uint8

const (
	stageBehind stage = iota // all
	stageRows                // rows that came, up to a place
	stageKeys                // changes, up to key
)

// behind is the mark behind a commit.
func (m Mark) behind(s *icetable.Snapshot) Mark {
	return Mark{Identifier: m.Identifier, Sequence: s.SequenceNumber}
}

// within is a mark in a commit, at its begin.
func (m Mark) within(c commitStep) Mark {
	out := m.behind(c.after)
	if out.stage = stageRows; c.before != nil {
		out.Before = c.before.SequenceNumber
	}
	return out
}

// commitStep is a commit whose changes are to be told.
type commitStep struct {
	before, after *icetable.Snapshot // before is nil when all rows of after are told
	left          int64              // commits to come, with this one
}

// next is the commit to go on with; none when all was handed out.
func (m Mark) next(meta icetable.Metadata) (step commitStep, some bool, err error) {
	if m.Sequence > meta.LastSequenceNumber() {
		return step, false, nil // another process, which made the token, knows the table as it is later
	}
	next := m.Sequence + 1
	if m.stage != stageBehind {
		next = m.Before + 1
	}
	if next == 1 {
		next = 0 // nothing was read
	}
	walk, err := images.NewWalk(meta, next, true)
	if err != nil {
		return step, false, fmt.Errorf("%w: %w: begin anew with from=snapshot", ErrExpired, err)
	}
	unread := walk.Unread
	if m.stage != stageBehind {
		at := slices.IndexFunc(unread, func(s *icetable.Snapshot) bool { return s.SequenceNumber == m.Sequence })
		if walk.Missing = walk.Missing || at < 0 || at > 0 && next > 0; !walk.Missing {
			unread = unread[at:]
		}
	}
	switch {
	case walk.Missing:
		return step, false, fmt.Errorf("%w: those behind sequence number %d expired before they were read: begin anew"+
			" with from=snapshot, and where that happens again keep more snapshots by retention.snapshots%s",
			ErrExpired, max(next-1, 0), oldest(meta))
	case len(unread) == 0:
		return step, false, nil
	}
	return commitStep{walk.Before, unread[0], int64(len(unread))}, true, nil
}

// identifierOf tells identifiers apart.
func identifierOf(schema *iceberg.Schema) uint32 {
	ids := slices.Clone(schema.IdentifierFieldIDs)
	slices.Sort(ids)
	var b []byte
	for _, id := range ids {
		b = binary.AppendVarint(b, int64(id))
	}
	return crc32.Checksum(b, castagnoli())
}

// append adds the mark to a token.
func (m Mark) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, m.Identifier)
	b = append(binary.AppendVarint(b, m.Sequence), byte(m.stage))
	switch m.stage {
	case stageRows:
		b = binary.AppendVarint(b, m.Before)
		b = binary.BigEndian.AppendUint32(b, m.at.Portion)
		b = binary.BigEndian.AppendUint32(b, m.at.Row)
	case stageKeys:
		b = binary.AppendVarint(b, m.Before)
		b = binary.BigEndian.AppendUint64(b, m.key.High)
		b = binary.BigEndian.AppendUint64(b, m.key.Low)
	}
	return b
}

// mark takes a mark out of a token.
func (d *tokenReader) mark() (m Mark) {
	m.Identifier = uint32(d.fixed(4))
	m.Sequence = d.varint()
	m.stage = stage(d.fixed(1))
	if m.stage != stageBehind {
		m.Before = d.varint()
	}
	switch m.stage {
	case stageBehind:
	case stageRows:
		m.at = images.Place{Portion: uint32(d.fixed(4)), Row: uint32(d.fixed(4))}
	case stageKeys:
		m.key = keyindex.Key{High: d.fixed(8), Low: d.fixed(8)}
	default:
		d.broken = true
	}
	if m.Sequence < 0 || m.Before < 0 || m.stage != stageBehind && m.Before >= m.Sequence {
		d.broken = true
	}
	return m
}

// fixed is a number of n bytes.
func (d *tokenReader) fixed(n int) (v uint64) {
	for _, b := range d.take(n) {
		v = v<<8 | uint64(b)
	}
	return v
}
