package ingest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/point"
)

// fleet is look-ups that ask all members of a group and join what they say.
type fleet struct{ *lookedUp }

// parts asks all members for their parts; nil when one cannot tell now.
func (h fleet) parts(c *keyedChaos, keys []arrow.RecordBatch, number int64) []point.Part {
	var out []point.Part
	for _, m := range c.members {
		l := h.lookups[m]
		if l == nil {
			reader := point.NewReader(m.ingester.opts.Store, c.t.TempDir(), 1<<20)
			l = m.ingester.tables[0].opts.Keyed.Keys.Lookup(reader, c.now)
			h.lookups[m] = l
		}
		if !l.Reads() {
			continue
		}
		part, err := l.Part(c.t.Context(), keys, number)
		if err != nil {
			require.NotContains(c.t, err.Error(), "BUG")
			h.answers["error"]++
			release(out)
			return nil
		}
		require.GreaterOrEqual(c.t, part.Number, number)
		out = append(out, part)
	}
	return out
}

func release(parts []point.Part) {
	for i := range parts {
		parts[i].Release()
	}
}

// look asks for all keys and holds the answer against the model at its cut, which is as far as each member has read.
func (h fleet) look(c *keyedChaos) {
	if len(c.members) == 0 {
		return
	}
	loaded, err := c.members[0].ingester.tables[0].opts.Keyed.Keys.fresh.table()
	require.NoError(c.t, err)
	var keys []arrow.RecordBatch
	for id := range 25 {
		key, err := point.ParseKey(loaded.Schema(), fmt.Sprint(id))
		require.NoError(c.t, err)
		keys = append(keys, key)
	}
	parts := h.parts(c, keys, 0)
	defer func() {
		release(parts)
		for _, key := range keys {
			key.Release()
		}
	}()
	var answer point.Answer
	var unread []table.TopicPartition
	for range 3 {
		if len(parts) == 0 {
			return
		}
		answer, unread, err = point.Join(parts)
		var lag *point.LagError
		if !errors.As(err, &lag) {
			break
		}
		h.answers["lag"]++
		release(parts)
		parts = h.parts(c, keys, lag.Number)
	}
	switch {
	case errors.Is(err, point.ErrAmbiguous):
		h.answers["ambiguous"]++
		return
	case err != nil:
		h.answers["lags"]++
		return
	case len(unread) > 0:
		h.answers["unread"]++
	default:
		h.answers["read"]++
	}
	defer answer.Release()
	for i := range parts {
		for id, next := range parts[i].Position {
			require.GreaterOrEqual(c.t, answer.Position[id], next)
		}
	}
	fresh := false
	for id, row := range answer.Rows {
		tp := c.log.TopicPartition("events", int32(id%3))
		var got *keyedRow
		if row != nil {
			got = &keyedRow{longAt(row.Column(0), 0), longAt(row.Column(1), 0), textAt(row.Column(2), 0),
				textAt(row.Column(3), 0)}
		}
		require.Equal(c.t, h.at(int64(id), answer.Position[tp]), got, "key %d at %v of %d parts", id, answer.Position,
			len(parts))
		for i := range parts {
			fresh = fresh || len(parts) > 1 && parts[i].Waiting[id].Some
		}
	}
	if fresh {
		h.answers["fresh of several"]++
	}
}

// TestPartsOfAFleetAreTheNewestRowsAtTheirCut looks up at all members of a group that come, go, are killed and go on
// after they have lost their topic partitions.
func TestPartsOfAFleetAreTheNewestRowsAtTheirCut(t *testing.T) {
	total := map[string]int{}
	for _, seed := range seeds(8) {
		k := keyedTable{version: 2 + int(seed%2), partitioned: seed/2%2 == 1, sequence: seed/4%2 == 1,
			first: seed%8 == 3}
		t.Run(fmt.Sprintf("%d %+v", seed, k), func(t *testing.T) {
			c := newLookedUp(newWorld(t), rand.New(rand.NewPCG(seed, 11)), k)
			c.rewrites = seed%3 > 0
			h := fleet{c.history.(*lookedUp)}
			for range 120 {
				c.step()
				h.look(c)
			}
			for kind, n := range h.answers {
				total[kind] += n
			}
			c.run(0)
		})
	}
	t.Log(total)
	for _, kind := range []string{"read", "fresh of several", "lag"} {
		require.Greater(t, total[kind], 5, "%v", total)
	}
}
