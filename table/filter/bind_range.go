package filter

import "slices"

// joinSpans makes one condition of conditions on one column that must all hold: x >= 1 AND x < 9 is looked
// at once a value, and not twice and then put together.
func (t *test) joinSpans() *test {
	if t.or {
		return t
	}
	var kept []*test
	for _, term := range t.terms {
		joined := slices.ContainsFunc(kept, func(before *test) bool { return before.join(term) })
		if !joined {
			kept = append(kept, term)
		}
	}
	if len(kept) == 1 {
		return kept[0]
	}
	t.terms = kept
	return t
}

// join makes t the conjunction of both, if one span says it. Neither is shared yet.
func (t *test) join(with *test) bool {
	a, b := t.leaf, with.leaf
	if !a.isRange() || !b.isRange() || !slices.Equal(a.path, b.path) {
		return false
	}
	both, some := a.span.intersect(a.domain, b.span)
	a.setSpan(both, some)
	return true
}

// isRange says whether l is a span of numbers that its column must be in.
func (l *leaf) isRange() bool {
	return l != nil && l.kind == leafSpan && !l.negate && l.domain == wholes
}

// intersect is what is in both spans, and whether there is anything.
func (s span) intersect(d domain, with span) (span, bool) {
	if s.openLow || !with.openLow && d.compare(s.low, with.low) < 0 {
		s.low, s.openLow = with.low, with.openLow
	}
	if s.openHigh || !with.openHigh && d.compare(with.high, s.high) < 0 {
		s.high, s.openHigh = with.high, with.openHigh
	}
	return s, s.openLow || s.openHigh || d.compare(s.low, s.high) <= 0
}
