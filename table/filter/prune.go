package filter

import (
	"slices"

	"github.com/apache/iceberg-go"
)

// bucketSetMax is the largest IN list that is hashed for each file. Longer lists fill most
// buckets.
const bucketSetMax = 200

// facts are what is known about the values of one column in some set of rows. The zero value is
// nothing.
type facts struct {
	noNulls, allNull bool
	noNaNs           bool
	// bounded says that every value that is neither null nor NaN is in [low, high].
	bounded   bool
	low, high value
}

// MayMatchFile says whether file can hold a row that matches, by its column metrics and by its
// partition under spec. The filter must be bound to a schema of the table; metrics from before a
// promotion of the column are understood.
func (b *Bound) MayMatchFile(file iceberg.DataFile, spec iceberg.PartitionSpec) bool {
	m := metrics{
		values: file.ValueCounts(), nulls: file.NullValueCounts(), nans: file.NaNValueCounts(),
		lower: file.LowerBoundValues(), upper: file.UpperBoundValues(),
	}
	partition := file.Partition()
	return b.root.may(func(l *leaf) bool {
		if !l.mayMatch(m.facts(l)) {
			return false
		}
		for _, field := range spec.Fields() {
			if !slices.Contains(field.SourceIDs, l.id) || len(field.SourceIDs) != 1 {
				continue
			}
			native, known := partition[field.FieldID]
			if known && !l.mayMatchPartition(field.Transform, native) {
				return false
			}
		}
		return true
	})
}

// MayMatchManifest says whether manifest can list a file with a row that matches, by its partition
// summaries; spec is the one it was written with.
func (b *Bound) MayMatchManifest(manifest iceberg.ManifestFile, spec iceberg.PartitionSpec) bool {
	summaries := manifest.Partitions()
	if len(summaries) != spec.NumFields() {
		return true
	}
	return b.root.may(func(l *leaf) bool {
		for i, field := range spec.Fields() {
			if slices.Contains(field.SourceIDs, l.id) && len(field.SourceIDs) == 1 &&
				!l.mayMatchSummary(field.Transform, summaries[i]) {
				return false
			}
		}
		return true
	})
}

// may is false only when no row can match t, given what is known about each leaf.
func (t *test) may(leaf func(*leaf) bool) bool {
	if t.leaf != nil {
		if t.leaf.kind == leafConstant {
			return t.leaf.negate
		}
		return leaf(t.leaf)
	}
	for _, term := range t.terms {
		if term.may(leaf) == t.or {
			return t.or
		}
	}
	return !t.or
}

// mayMatch is false only when no row with a column as f says can match.
func (l *leaf) mayMatch(f facts) bool {
	if l.kind == leafNull {
		return l.negate && !f.allNull || !l.negate && !f.noNulls
	}
	if f.allNull {
		return false
	}
	if isFloat(l.typ) && !f.noNaNs && l.matchWhole(nanKey) != l.negate {
		return true
	}
	return !f.bounded || l.mayMatchBounds(f.low, f.high)
}

func (l *leaf) mayMatchBounds(low, high value) bool {
	switch {
	case l.negate:
		return !l.covers(low, high)
	case l.kind == leafSet:
		return l.anyMember(func(v value) bool {
			return l.domain.compare(low, v) <= 0 && l.domain.compare(v, high) <= 0
		})
	}
	return l.span.overlaps(l.domain, low, high) // a pattern's span is that of its prefix
}

// covers says that every value in [low, high] is surely in the leaf's span or set.
func (l *leaf) covers(low, high value) bool {
	switch l.kind {
	case leafSpan:
		return l.span.contains(l.domain, low) && l.span.contains(l.domain, high)
	case leafSet:
		return l.domain.compare(low, high) == 0 && l.anyMember(func(v value) bool {
			return l.domain.compare(low, v) == 0
		})
	}
	return false
}

func (l *leaf) anyMember(is func(value) bool) bool {
	for _, whole := range l.wholes {
		if is(value{whole: whole}) {
			return true
		}
	}
	for _, decimal := range l.decimals {
		if is(value{decimal: decimal}) {
			return true
		}
	}
	for text := range l.texts {
		if is(value{text: text}) {
			return true
		}
	}
	return false
}

// metrics are the column metrics of one file, by field id.
type metrics struct {
	values, nulls, nans map[int]int64
	lower, upper        map[int][]byte
}

func (m *metrics) facts(l *leaf) facts {
	var f facts
	nulls, nullsKnown := m.nulls[l.id]
	values, valuesKnown := m.values[l.id]
	nans, nansKnown := m.nans[l.id]
	top := len(l.path) == 1 // writers differ in how they count nulls of structs around
	f.noNulls = top && nullsKnown && nulls == 0
	f.allNull = top && nullsKnown && valuesKnown && nulls == values
	f.noNaNs = nansKnown && nans == 0
	low, lowOK := decodeEnd(l.typ, m.lower[l.id])
	high, highOK := decodeEnd(l.typ, m.upper[l.id])
	if lowOK && highOK && l.domain != structural {
		f.bounded, f.low, f.high = true, low, high
	}
	// NaN in a bound is the mark of a writer that did not leave NaNs out.
	if f.bounded && isFloat(l.typ) && (low.whole == nanKey || high.whole == nanKey) {
		f.bounded = false
	}
	return f
}

func decodeEnd(typ iceberg.Type, data []byte) (value, bool) {
	if data == nil {
		return value{}, false
	}
	return decodeBound(typ, data)
}
