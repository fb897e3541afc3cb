package upsert

import (
	"slices"
)

// Function says how the values of a column come together when versions are merged.
type Function uint8

// The functions. Null is no value to them, but to Newest and Grouped.
const (
	// LastValue is the last value of the versions that are not older than the one before.
	LastValue Function = iota
	// FirstValue is the first one.
	FirstValue
	// Newest is what the last version says, null or not.
	Newest
	// Grouped is what the version says from which the column's group is taken.
	Grouped
	// Sum adds up in the order of the versions; it is exact for integers and decimals.
	Sum
	// Count counts versions, whatever the column says in them.
	Count
	// Min and Max are the least and the greatest value. NaN is greater than all others, and false less than
	// true.
	Min
	Max
)

// accumulates says whether a version adds to the column though it is older than the row.
func (f Function) accumulates() bool { return f >= Sum || f == FirstValue }

// SkipsNull says whether a version in which the column is null leaves it as it was.
func (f Function) SkipsNull() bool { return f != Newest && f != Grouped && f != Count }

// Column says how a column of the rows is made.
type Column struct {
	Function Function
	// Group is the place of the column's group in Options.Groups, for Grouped.
	Group int
}

// Merged says of each key that is written which versions its row is made of.
type Merged struct {
	// ends are, by key, where its versions end among rows.
	ends []uint32
	// rows are versions in the order of the fold, marked with olderBit.
	rows []uint32
	// withOld are the keys whose old row counts.
	withOld []bool
	// picks are, by group and key, the row that the group is taken from, or one of the constants.
	picks [][]int32
}

// olderBit marks a version that is older than the one before: only columns that accumulate and its groups take
// something from it.
const olderBit = 1 << 31

// Where a column group is taken from, if not from a row of the set.
const (
	pickOld  = -1
	pickNone = -2 // no version says anything of it
)

// WithOld says whether the row of the i-th key is made with the old one.
func (m *Merged) WithOld(i int) bool { return m.withOld[i] }

// Versions is how many versions the row of the i-th key is made of, beside the old one.
func (m *Merged) Versions(i int) int { return len(m.rowsOf(i)) }

// Same says whether the row of the i-th key is made of the same versions in both, given the same old row.
func (m *Merged) Same(o *Merged, i int) bool {
	if m.withOld[i] != o.withOld[i] || !slices.Equal(m.rowsOf(i), o.rowsOf(i)) {
		return false
	}
	for g := range m.picks {
		if m.picks[g][i] != o.picks[g][i] {
			return false
		}
	}
	return true
}

func (m *Merged) rowsOf(i int) []uint32 {
	if i == 0 {
		return m.rows[:m.ends[0]]
	}
	return m.rows[m.ends[i-1]:m.ends[i]]
}

// mergeFold is one fold in which versions are merged.
type mergeFold struct {
	Merged
	set *Set
	// accumulates says that some column does.
	accumulates bool
	// sequences and picked are those of the groups of the key at work.
	sequences [][]int64
	picked    []int32
}

func (s *Set) newMergeFold(keys int) *mergeFold {
	m := &mergeFold{set: s, sequences: make([][]int64, len(s.opts.Groups)), picked: make([]int32, len(s.opts.Groups))}
	m.ends, m.withOld = make([]uint32, keys), make([]bool, keys)
	m.rows = make([]uint32, 0, len(s.ops))
	m.picks = make([][]int32, len(s.opts.Groups))
	for i := range m.picks {
		m.picks[i] = make([]int32, keys)
	}
	m.accumulates = slices.ContainsFunc(s.opts.Columns, func(c Column) bool { return c.Function.accumulates() })
	return m
}

// foldKey is Set.foldKey for versions that are merged. Until a delete each adds to the row; what is older than a
// delete is superseded.
func (m *mergeFold) foldKey(key int, was Old, outcomes []outcome) folded {
	s := m.set
	live, sequence, last := was.Present, was.Sequence, -1
	begin := len(m.rows)
	m.beginGroups(was)
	m.withOld[key] = was.Present
	for _, v := range s.versionsOf(key) {
		row := int(v.row)
		own := s.Sequence(row)
		older := own != nil && sequence != nil && slices.Compare(own, sequence) < 0
		if s.ops[row]&Delete != 0 {
			if older {
				continue
			}
			if own != nil {
				sequence = own
			}
			if !live {
				outcomes[row] = missed
				continue
			}
			live, last = false, row
			m.rows, m.withOld[key] = m.rows[:begin], false
			m.beginGroups(Old{})
			continue
		}
		if older && !live || !m.takeGroups(row) && older && !m.accumulates {
			continue
		}
		if older {
			m.rows = append(m.rows, v.row|olderBit)
		} else {
			m.rows = append(m.rows, v.row)
			if own != nil {
				sequence = own
			}
		}
		live, last = true, row
	}
	if last < 0 {
		m.withOld[key] = false
	}
	m.ends[key] = uint32(len(m.rows))
	for g, pick := range m.picked {
		m.picks[g][key] = pick
	}
	return actOf(live, last, was)
}

// beginGroups makes the groups those of an old row.
func (m *mergeFold) beginGroups(was Old) {
	for g := range m.picked {
		m.picked[g], m.sequences[g] = pickNone, nil
		if was.Present {
			m.picked[g] = pickOld
		}
		if was.Groups != nil {
			m.sequences[g] = was.Groups[g]
		}
	}
}

// takeGroups takes the groups from a row whose sequences are not below those before, and says whether there are
// any.
func (m *mergeFold) takeGroups(row int) (some bool) {
	for g, before := range m.sequences {
		own := m.set.groupSequence(g, row)
		if own == nil || before != nil && slices.Compare(own, before) < 0 {
			continue
		}
		m.sequences[g], m.picked[g], some = own, int32(row), true
	}
	return some
}
