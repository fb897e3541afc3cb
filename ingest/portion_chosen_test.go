package ingest

import (
	"fmt"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/ingest/decode"
	"github.com/firthlake/firth/ingest/spec"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/filter"
)

// shared are an ingester of tables that share a topic, and units that are worked on together.
type shared struct {
	*world
	ingester *Ingester
	idents   []table.Ident
}

func newShared(t *testing.T, perPoll int, filters ...string) *shared {
	s := &shared{world: newWorld(t)}
	s.log.Create("events", 1)
	var tables []TableOptions
	for i, text := range filters {
		ident := s.create(fmt.Sprintf("db.t%d", i), eventFields()...)
		opts := s.options(ident, "g")
		var err error
		opts.Filter, err = filter.Parse(text)
		require.NoError(t, err)
		opts.DeadLetters.Classes = map[decode.Class]spec.Policy{decode.ClassSyntax: spec.Suspend}
		if i > 0 {
			opts.DeadLetters.Classes[decode.ClassSyntax] = spec.Skip
		}
		s.idents, tables = append(s.idents, ident), append(tables, opts)
	}
	s.ingester = s.world.ingester(s.log.Join("g", perPoll, "events"), tables...)
	s.steps(s.ingester, 3)
	return s
}

// units are those of the next polls.
func (s *shared) units(polls int) []*unit {
	var units []*unit
	for range polls {
		require.NoError(s.t, s.ingester.seek(s.t.Context()))
		event, err := s.ingester.opts.Source.Poll(s.t.Context())
		require.NoError(s.t, err)
		for _, u := range s.ingester.unitsOf(&event) {
			require.Nil(s.t, u.event)
			units = append(units, u)
		}
	}
	return units
}

func TestUnitsWorkedOnTogetherGiveTheSamePortions(t *testing.T) {
	s := newShared(t, 7, "id < 40", "id >= 20 AND id < 90", "id >= 1000", "id >= 0")
	for i := range 100 {
		s.append(0, event((i*37)%100))
	}
	s.append(0, "", `{"id":3}`, `{"id":50,"name":null}`, event(2000))
	units := s.units(12)
	require.Greater(t, len(units), 6)
	apart := newWorker(s.mem)
	defer apart.close()
	s.ingester.worker.work(t.Context(), units...)
	joint := 0
	for _, u := range units {
		alone := &unit{chunk: u.chunk, wants: u.wants}
		apart.work(t.Context(), alone)
		require.Len(t, u.portions, len(alone.portions))
		for i, want := range alone.portions {
			got := u.portions[i]
			require.Equal(t, want.part, got.part, "with its checksum")
			require.Equal(t, want.newest, got.newest)
			require.Equal(t, want.rows == nil, got.rows == nil)
			require.Nil(t, want.joint)
			if want.rows != nil {
				require.True(t, array.RecordEqual(want.rows, got.rows))
			}
			if got.joint != nil {
				joint++
			}
			want.release()
		}
	}
	require.Greater(t, joint, 6)
	for _, u := range units {
		s.ingester.discard(u)
	}
	s.ingester.Close(t.Context())
}

// TestATableThatStopsKeepsTheRowsBefore applies units that were worked on together, of which one has a record
// that stops the first table: of the rows that lie together it takes those before.
func TestATableThatStopsKeepsTheRowsBefore(t *testing.T) {
	s := newShared(t, 5, "id < 100", "id >= 100", "id >= 0")
	for i := range 12 {
		s.append(0, event(i), event(100+i))
	}
	s.append(0, "not json")
	for i := range 12 {
		s.append(0, event(12+i), event(112+i))
	}
	for polls := range 4 {
		units := s.units(polls)
		s.ingester.worker.work(t.Context(), units...)
		for _, u := range units {
			s.ingester.apply(t.Context(), u)
			s.ingester.tick(t.Context())
		}
	}
	s.steps(s.ingester, 30)
	require.Equal(t, StateStopped, s.ingester.Progress().Tables[0].State)
	stopped := rows(s.world, s.idents[0], "id", longAt)
	require.ElementsMatch(t, sequence(0, 10), stopped, "whole chunks")
	require.ElementsMatch(t, sequence(100, 124), rows(s.world, s.idents[1], "id", longAt))
	require.ElementsMatch(t, append(sequence(0, 24), sequence(100, 124)...), rows(s.world, s.idents[2], "id", longAt))
	for _, ident := range s.idents {
		s.check(ident)
	}
	s.ingester.Close(t.Context())
}

func sequence(from, to int64) []int64 {
	var out []int64
	for ; from < to; from++ {
		out = append(out, from)
	}
	return out
}

func TestAWorkerTakesItsPartOfWhatWaits(t *testing.T) {
	g := &Ingester{opts: Options{Workers: 2}}
	several := func(bytes int64) *unit { return &unit{wants: make([]want, 2), taken: bytes} }
	work := make(chan *unit, 8)
	for range 6 {
		work <- several(1)
	}
	require.Len(t, g.together(several(1), work), 4, "the other worker has the rest")
	require.Len(t, work, 3)
	require.Len(t, g.together(several(togetherBytes), work), 1)
	require.Len(t, g.together(&unit{wants: make([]want, 1)}, work), 1, "one table gains nothing")
	require.Len(t, g.together(several(togetherBytes-1), work), 2)
	<-work
	<-work
	close(work)
	require.Len(t, g.together(several(1), work), 1)
}
