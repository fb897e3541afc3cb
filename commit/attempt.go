package commit

import (
	"errors"

	icetable "github.com/apache/iceberg-go/table"
)

// attempt is a snapshot that may have landed, and the totals of its topic partitions if it did.
type attempt struct {
	snapshot *icetable.Snapshot
	folded   map[TopicPartition]Range
}

func attemptOf(s *swap, ranges map[TopicPartition]Range) attempt {
	a := attempt{snapshot: s.snapshot, folded: make(map[TopicPartition]Range, len(ranges))}
	for tp := range ranges {
		a.folded[tp] = s.ledger.Folded[tp]
	}
	return a
}

// in says whether the ledger holds what the attempt was to bring. A snapshot may have left the history; the
// totals never do. Another process that committed the very same rows of the same offsets is as good.
func (a attempt) in(ledger Ledger) bool {
	for tp, want := range a.folded {
		if got, known := ledger.Folded[tp]; !known || got != want {
			return false
		}
	}
	return len(a.folded) > 0
}

// unresolvedMax bounds the changes remembered as unresolved. Each is an outage of the catalog that
// outlasted all tries; a caller has one or two at a time.
const unresolvedMax = 1024

// remember keeps what a change wanted when its outcome is unknown.
func (c *Committer) remember(in *appendIntent, err error) {
	if !errors.Is(err, ErrStateUnknown) || in.last == nil {
		return
	}
	if len(c.unresolved) >= unresolvedMax {
		clear(c.unresolved)
	}
	c.unresolved[in.change.ID] = attemptOf(in.last, in.change.Ranges)
}
