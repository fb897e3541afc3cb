package verify

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/commit"
)

// TestUnfold runs testdata/unfold. Each line of a command is one of
//
//	folded P FROM NEXT [wrong] [sum=N]  totals of partition P
//	range P FROM NEXT [wrong] [sum=N]   what the next snapshot covers; + before it joins the last one
//	position P NEXT
//	expired                             snapshots before the first are gone
//
// Ranges are inserted rows; wrong counts one too few and sum is the checksum.
func TestUnfold(t *testing.T) {
	datadriven.RunTest(t, "testdata/unfold", func(t *testing.T, d *datadriven.TestData) string {
		h := history{whole: true, ledger: commit.Ledger{Position: commit.Position{},
			Folded: map[commit.TopicPartition]commit.Range{}}}
		for _, line := range strings.Split(d.Input, "\n") {
			require.NoError(t, h.parse(line), line)
		}
		var out strings.Builder
		u := unfold(h, func(f Fault) { fmt.Fprintln(&out, f) })
		for _, p := range sorted(u.totals) {
			total, left := u.totals[p], u.expired[p]
			fmt.Fprintf(&out, "%s [%d, %d): %s, %d ranges, %d expired\n", p, total.From, total.Next,
				total.Counts, u.ranges[p], left.Next-left.From)
		}
		return out.String()
	})
}

func (h *history) parse(line string) error {
	words := strings.Fields(line)
	numbers := []int64{}
	sum, wrong := int64(0), int64(0)
	join := words[0] == "+"
	if join {
		words = words[1:]
	}
	for _, word := range words[1:] {
		var n int64
		switch _, err := fmt.Sscanf(word, "sum=%d", &n); {
		case err == nil:
			sum = n
		case word == "wrong":
			wrong = 1
		default:
			if _, err := fmt.Sscan(word, &n); err != nil {
				return err
			}
			numbers = append(numbers, n)
		}
	}
	if words[0] == "expired" {
		h.whole = false
		return nil
	}
	p := tp(int32(numbers[0]))
	if words[0] == "position" {
		h.ledger.Position[p] = commit.Offset(numbers[1])
		return nil
	}
	r := commit.Range{From: commit.Offset(numbers[1]), Next: commit.Offset(numbers[2]), Checksum: uint64(sum)}
	r.Counts.Inserted = int64(r.Next-r.From) - wrong
	if words[0] == "folded" {
		h.ledger.Folded[p] = r
		return nil
	}
	if !join {
		h.steps = append(h.steps, step{snapshotID: int64(len(h.steps) + 1),
			ranges: map[commit.TopicPartition]commit.Range{}})
	}
	h.steps[len(h.steps)-1].ranges[p] = r
	return nil
}
