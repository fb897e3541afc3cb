package verify

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/table"
)

// script is a log that answers as the ledger of a world does, as far as a test does not change it.
type script struct {
	w        *world
	first    commit.Offset
	gone     bool
	err      error
	spoil    func(r *commit.Range)
	schemaID int // the only schema that gives what was committed
}

func (s *script) Earliest(context.Context, commit.TopicPartition) (commit.Offset, bool, error) {
	return s.first, !s.gone, s.err
}

func (s *script) Recount(_ context.Context, again Again) (commit.Range, error) {
	p, from, next := again.TopicPartition, again.From, again.Next
	sum := commit.Range{From: from, Next: from}
	for _, change := range s.w.changes {
		r, moved := change.Ranges[p]
		if !moved || r.Next <= from || r.From >= next {
			continue
		}
		if r.From < from { // what the tail of the range gives
			rows := int64(r.Next-from) - r.Counts.DeadLetters
			batch := s.w.rows(events, p.Partition, from, int(rows), "x")
			checksum, err := table.Checksum(s.w.load(events).Metadata().CurrentSchema(), batch)
			if err != nil {
				return sum, err
			}
			r.From, r.Counts.Inserted, r.Checksum = from, rows, checksum
		}
		sum = sum.Join(r)
	}
	if s.spoil != nil {
		s.spoil(&sum)
	}
	if again.SchemaID != s.schemaID {
		sum.Checksum++
	}
	return sum, nil
}

func TestTheLogMustGiveTheSameAgain(t *testing.T) {
	for name, c := range map[string]struct {
		log      script
		retained int64
		fault    string
		note     string
	}{
		"all":            {retained: 24},
		"a part":         {log: script{first: 5}, retained: 19},
		"an end":         {log: script{first: 12}, retained: 12},
		"nothing":        {log: script{first: 900}},
		"another topic":  {log: script{gone: true}, note: "not compared with the log"},
		"out of reach":   {log: script{err: errors.New("dark")}, note: "the log could not be read: dark"},
		"other checksum": {log: script{spoil: func(r *commit.Range) { r.Checksum++ }}, fault: "[0, 12)"},
		"a part of other checksum": {
			log: script{first: 5, spoil: func(r *commit.Range) { r.Checksum++ }}, fault: "[5, 12)"},
		"other filter": {log: script{spoil: func(r *commit.Range) {
			r.Counts.Inserted, r.Counts.Filtered = r.Counts.Inserted-1, 1
		}}, fault: "1 filtered"},
		"compacted": {log: script{spoil: func(r *commit.Range) {
			r.Counts.Inserted, r.Counts.Absent = r.Counts.Inserted-2, 2
		}}, note: "2 of their records are gone from it"},
		"another schema": {log: script{schemaID: 7}, fault: "checksum"},
	} {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			w := newWorld(t)
			c.log.w = w
			w.log = &c.log
			r := w.check(true)
			if c.fault != "" {
				require.Equal(t, []string{"log"}, kinds(r))
				require.Contains(t, r.of(FaultLog).String(), c.fault)
				return
			}
			require.Empty(t, r.Faults)
			require.Equal(t, c.retained, r.Partitions[0].Retained)
			require.Contains(t, strings.Join(r.Notes, "\n"), c.note)
		})
	}
}

func TestALogThatMustBeReadIsAnError(t *testing.T) {
	w := newWorld(t)
	_, err := Check(t.Context(), w.load(events), w.store, Options{Deep: true, LogRequired: true,
		Log: &script{w: w, err: errors.New("dark")}})
	require.ErrorContains(t, err, "dark")
}

func TestFoldedRangesAreComparedWithTheLog(t *testing.T) {
	w := newWorld(t)
	for range 25 {
		w.commit(0, 3, 1)
	}
	for first, retained := range map[commit.Offset]int64{0: 124, 30: 94} {
		w.log = &script{w: w, first: first}
		r := w.check(true)
		require.Empty(t, r.Faults)
		require.Equal(t, retained, r.Partitions[0].Retained)
	}
}
