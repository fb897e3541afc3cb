package ingest

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/commit/committest"
	"github.com/firthlake/firth/ingest/source/sourcetest"
	"github.com/firthlake/firth/ingest/spec"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/objstore"
)

// member is one process of a random run.
type member struct {
	reader   *sourcetest.Reader
	ingester *Ingester
}

// chaos is a random run: members of one group come, go, sleep and lose answers.
type chaos struct {
	*world
	random  *rand.Rand
	ident   table.Ident
	members []*member
	// tableOptions are those of a new member.
	tableOptions func() TableOptions

	made   int
	bad    int
	healed bool
}

func (c *chaos) faults(rate int) bool { return !c.healed && c.random.IntN(100) < rate }

// store and catalog are as a member sees them, with faults.
func (c *chaos) store() objstore.Store {
	return objstore.NewFaulty(c.objects, func(objstore.Op) objstore.Fault {
		switch {
		case c.faults(2):
			return objstore.Fault{Kind: objstore.ErrorBefore}
		case c.faults(2):
			return objstore.Fault{Kind: objstore.AnswerLost}
		}
		return objstore.Fault{}
	})
}

func (c *chaos) faultyCatalog() commit.Catalog {
	kinds := []committest.Fault{
		committest.ErrorBefore, committest.AnswerLost, committest.LandsLate, committest.Conflict,
	}
	return committest.NewFaulty(c.catalog, func(int) committest.Fault {
		if c.faults(5) {
			return kinds[c.random.IntN(len(kinds))]
		}
		return committest.NoFault
	})
}

func (c *chaos) join(recordsMax int) {
	c.seed++
	o := committest.Options(c.random.Uint64(), WriterName(fmt.Sprintf("process-%d", c.seed), "g"))
	o.Now = c.now
	o.Reads = 1 // faults are drawn from one source of randomness
	catalog, store := c.faultyCatalog(), c.store()
	committer, err := commit.Open(c.t.Context(), catalog, store, c.ident, o)
	if err != nil {
		return // it could not start
	}
	opts := c.tableOptions()
	opts.Committer = committer
	m := &member{reader: c.log.Join("g", recordsMax, "events")}
	m.ingester = c.ingester(m.reader, opts)
	m.ingester.opts.Store = store
	c.members = append(c.members, m)
}

func (c *chaos) crash(m *member) {
	c.log.Crash(m.reader)
	m.ingester.opts.Store = c.objects
	m.ingester.Close(c.t.Context())
	for i, o := range c.members {
		if o == m {
			c.members = append(c.members[:i], c.members[i+1:]...)
			return
		}
	}
}

func (c *chaos) produce() {
	for range c.random.IntN(20) {
		p := int32(c.random.IntN(3))
		switch c.random.IntN(12) {
		case 0:
			c.append(p, "{broken")
			c.bad++
		case 1:
			c.append(p, "")
		case 2:
			c.log.Skip("events", p, 1+c.random.Int64N(5))
		default:
			c.append(p, event(c.made))
			c.made++
		}
	}
}

func (c *chaos) step() {
	c.produce()
	if len(c.members) == 0 {
		c.join(1 + c.random.IntN(30))
		return
	}
	m := c.members[c.random.IntN(len(c.members))]
	switch n := c.random.IntN(100); {
	case n < 2:
		c.crash(m)
	case n < 4 && len(c.members) < 3:
		c.join(1 + c.random.IntN(30))
	case n < 7:
		c.log.Expire(m.reader) // it goes on later, as after SIGSTOP
	default:
		require.NoError(c.t, m.ingester.Step(c.t.Context()))
	}
	c.clock = c.clock.Add(time.Duration(c.random.IntN(3000)) * time.Millisecond)
}

func TestRandomFaultsLoseAndDoubleNothing(t *testing.T) {
	for _, seed := range seeds(10) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			w := newWorld(t)
			c := &chaos{world: w, random: rand.New(rand.NewPCG(seed, 1))}
			w.log.Create("events", 3)
			c.ident = w.create("db.events", eventFields()...)
			c.tableOptions = func() TableOptions { return c.options(c.ident, "g") }
			for range 150 {
				c.step()
			}
			c.healed = true
			for len(c.members) > 0 {
				c.crash(c.members[0])
			}
			c.join(1000)
			last := c.members[0].ingester
			w.steps(last, 30)
			require.NoError(t, last.Flush(t.Context()))
			w.requireIDs(c.ident, c.made)
			var letters int64
			for p := range int32(3) {
				id := w.log.TopicPartition("events", p)
				covered := w.check(c.ident).Covered[id]
				require.Equal(t, covered.Next, covered.From+commit.Offset(covered.Counts.Sum()))
				letters += covered.Counts.DeadLetters
			}
			require.Equal(t, int64(c.bad), letters)
			last.Close(t.Context())
		})
	}
}

func TestCommitsAreSpacedOutUpToTheBoundWhileFilesPileUp(t *testing.T) {
	stretch := 1.0
	g := &Ingester{opts: Options{Stretch: func(table string) float64 {
		require.Equal(t, "db.events", table)
		return stretch
	}}}
	fresh := spec.Freshness{Interval: spec.Duration(10 * time.Second), IntervalMax: spec.Duration(time.Minute)}
	s := &tableState{ingester: g, name: "db.events", opts: TableOptions{Freshness: fresh}}
	for _, c := range []struct {
		stretch float64
		want    time.Duration
	}{
		{1, 10 * time.Second}, {2.5, 25 * time.Second}, {100, time.Minute}, {1, 10 * time.Second},
		{0, 10 * time.Second},
	} {
		stretch = c.stretch
		require.Equal(t, c.want, s.patience())
		require.Equal(t, 10*time.Second, s.interval(), "a standby looks as often as before")
	}
	s.opts.Freshness.IntervalMax = 0
	stretch = 5
	require.Equal(t, 10*time.Second, s.patience(), "without a bound nothing is stretched")
}
