package point

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/google/uuid"

	"github.com/firthlake/firth/table"
)

// Part is what one of several processes that feed a table knows of the rows of some keys. Its Answer ends where the
// process has read.
type Part struct {
	Answer
	// Table is the table, and Number the sequence number of the committed state.
	Table  uuid.UUID
	Number int64
	// Waiting says of each key what is not committed.
	Waiting []Waiting
	// Reads are the topic partitions that the process read until it had the answer, Lacks those of the committed
	// state that the table goes on with and that others read. Nobody changes them.
	Reads map[table.TopicPartition]bool
	Lacks []table.TopicPartition
}

// Waiting is what a process has read of a key and not committed.
type Waiting struct {
	// Some says that there are versions of it, Changed that the row is what these came to, or gone.
	Some, Changed bool
	// Sequence is that of a row that changed, nil when none tells which of two is newer.
	Sequence []int64
	// In are the topic partitions that the versions lie in.
	In []table.TopicPartition
}

// LagError says that the answers of some parts go on from a committed state that is too old: ask for them again, from
// Number on.
type LagError struct{ Number int64 }

func (e *LagError) Error() string {
	return fmt.Sprintf("a process that feeds the table has not come to its state %d yet", e.Number)
}

// ErrAmbiguous says that several processes have read versions of one key, and nothing tells which is the newest before
// they are committed.
var ErrAmbiguous = errors.New("records of the key lie in several topic partitions, more than one process holds " +
	"some that are not committed, and no sequence says which is the newest: try again when they are, or have the " +
	"records of a key in one topic partition")

// Join makes one answer of parts of the same table and the same keys: the newest rows at a cut that is as far as the
// parts are together. unread are topic partitions that nobody of them reads. The answer has rows of its own.
//
// The answer begins with the newest committed state among the parts. A part that begins with an older one counts for a
// key of which nothing waits there: then nothing of the key lies between the two, up to where the part ends. Any other
// is a LagError.
func Join(parts []Part) (answer Answer, unread []table.TopicPartition, err error) {
	if len(parts) == 0 {
		panic("BUG: an answer is made of nothing")
	}
	base := &parts[0]
	for i := range parts {
		if parts[i].Number > base.Number {
			base = &parts[i]
		}
	}
	answer = Answer{SnapshotID: base.SnapshotID, Position: maps.Clone(base.Position)}
	if answer.Position == nil {
		answer.Position = table.Position{}
	}
	for i := range parts {
		for id, next := range parts[i].Position {
			if at, known := answer.Position[id]; !known || at < next {
				answer.Position[id] = next
			}
		}
		if answer.Behind == "" {
			answer.Behind = parts[i].Behind
		}
	}
	for key := range base.Rows {
		from, err := choose(parts, base, key)
		if err != nil {
			answer.Release()
			return Answer{}, nil, fmt.Errorf("key %d of %d: %w", key+1, len(base.Rows), err)
		}
		row := from.Rows[key]
		if row != nil {
			row.Retain()
		}
		answer.Rows = append(answer.Rows, row)
	}
	return answer, unreadOf(parts), nil
}

// choose is the part that has the newest row of a key.
func choose(parts []Part, base *Part, key int) (*Part, error) {
	waiting := waitingIn(parts, base.Number, key)
	if len(waiting) == 0 && !base.Waiting[key].Some {
		return base, nil
	}
	seen := map[table.TopicPartition]bool{}
	var changed []*Part
	for _, p := range waiting {
		if p.Number != base.Number {
			return nil, &LagError{base.Number}
		}
		for _, id := range p.Waiting[key].In {
			if seen[id] { // each has some that the other has not
				return nil, ErrAmbiguous
			}
			seen[id] = true
		}
		if p.Waiting[key].Changed {
			changed = append(changed, p)
		}
	}
	switch {
	case len(waiting) == 0:
		return nil, ErrAmbiguous
	case len(changed) == 0:
		return waiting[0], nil
	}
	return newest(changed, key)
}

// newest is the part whose row of a key is above all others by its sequence: what they come to, in whichever order they
// are committed. Of a delete that is not so, since the table remembers none.
func newest(changed []*Part, key int) (*Part, error) {
	slices.SortFunc(changed, func(a, b *Part) int {
		return slices.Compare(b.Waiting[key].Sequence, a.Waiting[key].Sequence)
	})
	if len(changed) == 1 {
		return changed[0], nil
	}
	last := changed[len(changed)-1].Waiting[key].Sequence
	if last == nil || slices.Equal(changed[0].Waiting[key].Sequence, changed[1].Waiting[key].Sequence) {
		return nil, ErrAmbiguous
	}
	return changed[0], nil
}

// waitingIn are the parts in which something of a key waits, but for those of which others with the state of this
// number have all: so it is with a process that has not noticed its own commit, or that it has lost a topic partition.
func waitingIn(parts []Part, number int64, key int) []*Part {
	left := make([]*Part, len(parts))
	for i := range parts {
		left[i] = &parts[i]
	}
	for i := 0; i < len(left); {
		p := left[i]
		others := slices.DeleteFunc(slices.Clone(left), func(o *Part) bool {
			return o == p || o.Number != number
		})
		if p.Waiting[key].Some && len(others) > 0 && haveRead(others, p, key) {
			left = slices.Delete(left, i, i+1)
			continue
		}
		i++
	}
	return slices.DeleteFunc(left, func(p *Part) bool { return !p.Waiting[key].Some })
}

// haveRead says that in each topic partition in which a part has versions of a key another one ends no sooner.
func haveRead(others []*Part, p *Part, key int) bool {
	for _, id := range p.Waiting[key].In {
		if !slices.ContainsFunc(others, func(o *Part) bool { return o.Position[id] >= p.Position[id] }) {
			return false
		}
	}
	return true
}

// unreadOf are the topic partitions that no part reads, in order.
func unreadOf(parts []Part) []table.TopicPartition {
	var unread []table.TopicPartition
	for i := range parts {
		for _, id := range parts[i].Lacks {
			if !slices.ContainsFunc(parts, func(p Part) bool { return p.Reads[id] }) {
				unread = append(unread, id)
			}
		}
	}
	slices.SortFunc(unread, table.TopicPartition.Compare)
	return slices.Compact(unread)
}
