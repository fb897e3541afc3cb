package upsert

import (
	"slices"

	"github.com/firthlake/firth/commit"
)

// Old is what the table holds for a key.
type Old struct {
	// Present says that it has a row.
	Present bool
	// Sequence is that of the row. Nil is below every other: it is null in the row, or known to be lower
	// than all versions of the checkpoint, or there is no sequence.
	Sequence []int64
	// Groups are the same for column groups; nil is as if each were nil.
	Groups [][]int64
}

// Act is what becomes of a key.
type Act int32

// The acts that write no row; others are the number of the row to write.
const (
	Keep   Act = -1 // the table stays as it is
	Remove Act = -2 // the old row goes
)

// Result is what a checkpoint does.
type Result struct {
	// Acts are by key, in the order of Order. A row that is written takes the place of the old one, if
	// there is one.
	Acts []Act
	// Counts are by topic partition what its records count as.
	Counts map[commit.TopicPartition]commit.Counts
	// Taken is how many rows of the table go, replaced ones included.
	Taken int64
	// Merged says what the rows are made of that are written; nil when they are versions as they came.
	Merged *Merged
}

// Writes are the rows to write, in the order of their coming.
func (r *Result) Writes() []uint32 {
	var rows []uint32
	for _, act := range r.Acts {
		if act >= 0 {
			rows = append(rows, uint32(act))
		}
	}
	slices.Sort(rows)
	return rows
}

// outcome is what a single row comes to.
type outcome uint8

const (
	superseded outcome = iota
	inserted
	updated
	deleted
	missed // it deletes a row that is not there
)

// Fold decides, given what the table holds for each key. It may be called again when that has changed.
func (s *Set) Fold(old func(key int) Old) Result {
	result := Result{Acts: make([]Act, len(s.begins)-1)}
	outcomes := make([]outcome, len(s.ops))
	var merging *mergeFold
	if s.opts.Columns != nil {
		merging = s.newMergeFold(len(result.Acts))
		result.Merged = &merging.Merged
	}
	for i := range result.Acts {
		was := old(i)
		var act folded
		if merging != nil {
			act = merging.foldKey(i, was, outcomes)
		} else {
			act = s.foldKey(s.versionsOf(i), was, outcomes)
		}
		result.Acts[i] = act.act
		if act.last < 0 {
			continue
		}
		if was.Present {
			result.Taken++
		}
		outcomes[act.last] = act.outcome(was.Present)
	}
	result.Counts = s.count(outcomes)
	return result
}

// folded is where the versions of a key lead.
type folded struct {
	act Act
	// last is the row that was taken last, or -1 when all are superseded.
	last int
}

func (f folded) outcome(present bool) outcome {
	switch {
	case f.act >= 0 && present:
		return updated
	case f.act >= 0:
		return inserted
	case f.act == Remove:
		return deleted
	}
	return missed
}

// foldKey takes the versions of a key one after the other. It notes the outcomes of deletes that find no row.
func (s *Set) foldKey(versions []version, was Old, outcomes []outcome) folded {
	at, last := standing{was.Present, was.Sequence}, -1
	for _, v := range versions {
		row := int(v.row)
		switch at.take(s.Sequence(row), s.ops[row], s.opts.First) {
		case findsNone:
			outcomes[row] = missed
		case applies:
			last = row
		}
	}
	return actOf(at.live, last, was)
}

// standing is what a key has while its versions are taken one after the other.
type standing struct {
	live     bool
	sequence []int64 // nil is below every other
}

// verdict is what becomes of a version that is held against what stands.
type verdict uint8

const (
	isOlder   verdict = iota // or, with Options.First, comes second
	findsNone                // it deletes what is not there
	applies
)

// take takes the next version; own is its sequence, nil for none.
func (k *standing) take(own []int64, op Op, first bool) verdict {
	deletes := op&Delete != 0
	if own != nil {
		if k.sequence != nil && slices.Compare(own, k.sequence) < 0 {
			return isOlder
		}
		if deletes || !first || !k.live {
			k.sequence = own
		}
	}
	switch {
	case deletes && !k.live:
		return findsNone
	case !deletes && first && k.live:
		return isOlder
	}
	k.live = !deletes
	return applies
}

// actOf is what becomes of a key that had one row or none.
func actOf(live bool, last int, was Old) folded {
	switch {
	case last < 0:
		return folded{Keep, last}
	case live:
		return folded{Act(last), last}
	case was.Present:
		return folded{Remove, last}
	}
	return folded{Keep, last}
}

// count says what the records of each topic partition count as.
func (s *Set) count(outcomes []outcome) map[commit.TopicPartition]commit.Counts {
	all := map[commit.TopicPartition]commit.Counts{}
	for i := range s.parts {
		p := &s.parts[i]
		counts := all[p.TopicPartition]
		for row := p.First; row < p.First+p.rows; {
			end := row + 1
			for end < p.First+p.rows && s.ops[end]&Continues != 0 {
				end++
			}
			countRecord(&counts, outcomes[row:end])
			row = end
		}
		all[p.TopicPartition] = counts
	}
	return all
}

// countRecord adds one record, which has the outcomes.
func countRecord(counts *commit.Counts, outcomes []outcome) {
	more, applied, lost := 0, false, false
	for _, o := range outcomes {
		switch o {
		case superseded:
			lost = true
		case inserted:
			more++
		case deleted:
			more--
		}
		applied = applied || o == inserted || o == updated || o == deleted
	}
	switch {
	case more > 0:
		counts.Inserted++
	case more < 0:
		counts.Deleted++
	case applied:
		counts.Updated++
	case lost:
		counts.Superseded++
	default:
		counts.Tombstones++
	}
}
