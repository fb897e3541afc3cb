package verify

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/commit"
)

// TestTile runs testdata/tile. Each line of a command is one of
//
//	folded P FROM NEXT [missing=N] [wrong]   totals of expired snapshots of partition P
//	range P FROM NEXT [wrong]                what the next snapshot covers; + before it joins the last one
//	position P NEXT
//	cut                                      others expired snapshots
func TestTile(t *testing.T) {
	datadriven.RunTest(t, "testdata/tile", func(t *testing.T, d *datadriven.TestData) string {
		h := history{ledger: commit.Ledger{Position: commit.Position{},
			Folded: map[commit.TopicPartition]commit.Folded{}}}
		for _, line := range strings.Split(d.Input, "\n") {
			require.NoError(t, h.parse(line), line)
		}
		var out strings.Builder
		laid := tile(h, func(f Fault) { fmt.Fprintln(&out, f) })
		for _, p := range sorted(laid) {
			fmt.Fprintf(&out, "%s [%d, %d): %s, %d ranges\n", p, laid[p].From, laid[p].Next,
				laid[p].Counts, laid[p].ranges)
		}
		return out.String()
	})
}

func (h *history) parse(line string) error {
	words := strings.Fields(line)
	numbers := []int64{}
	missing, wrong := int64(0), int64(0)
	join := words[0] == "+"
	if join {
		words = words[1:]
	}
	for _, word := range words[1:] {
		var n int64
		switch _, err := fmt.Sscanf(word, "missing=%d", &n); {
		case err == nil:
			missing = n
		case word == "wrong":
			wrong = 1
		default:
			if _, err := fmt.Sscan(word, &n); err != nil {
				return err
			}
			numbers = append(numbers, n)
		}
	}
	if words[0] == "cut" {
		h.cut = true
		return nil
	}
	p := tp(int32(numbers[0]))
	if words[0] == "position" {
		h.ledger.Position[p] = commit.Offset(numbers[1])
		return nil
	}
	r := commit.Range{From: commit.Offset(numbers[1]), Next: commit.Offset(numbers[2])}
	r.Counts.Inserted = int64(r.Next-r.From) - missing - wrong
	if words[0] == "folded" {
		h.ledger.Folded[p] = commit.Folded{Range: r, Missing: missing}
		return nil
	}
	if !join {
		h.steps = append(h.steps, step{snapshotID: int64(len(h.steps) + 1),
			ranges: map[commit.TopicPartition]commit.Range{}})
	}
	h.steps[len(h.steps)-1].ranges[p] = r
	return nil
}
