package main

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/serve/live"
	"github.com/firthlake/firth/table"
)

// shown reads db.users as of now at a process and says that it is all there is in the topic. Whatever it is, it is the
// newest rows at its cut.
func (u *severalUsers) shown(t *testing.T, url string) bool {
	t.Helper()
	loaded, store, tasks := tasksOf(t, table.Ident{"db", "users"}, url, "live", "id", "name")
	head := loaded.Metadata().CurrentSnapshot()
	if head == nil {
		return false
	}
	var cut map[string]map[string]int
	require.NoError(t, json.Unmarshal([]byte(head.Summary.Properties[live.SummaryOffsets]), &cut))
	all, want := true, map[int64]string{}
	for partition := range severalPartitions {
		next := cut["events"][fmt.Sprint(partition)]
		all = all && next == len(u.logs[partition])
		for _, r := range u.logs[partition][:next] {
			if want[int64(r.id)] = r.name; r.name == "" {
				delete(want, int64(r.id))
			}
		}
	}
	got := map[int64]string{}
	for _, task := range tasks {
		for batch, err := range table.Read(t.Context(), store, task) {
			require.NoError(t, err)
			for i, id := range batch.Column(0).(*array.Int64).Int64Values() {
				require.NotContains(t, got, id, "key %d has two rows", id)
				got[id] = batch.Column(1).(*array.String).Value(i)
			}
		}
	}
	require.Equal(t, want, got, "at %v, %v", cut, head.Summary.Properties)
	return all
}

func TestSeveralProcessesShowOneKeyedTable(t *testing.T) {
	u := newSeveralUsers(t)
	u.put(t, 0)
	r := u.run(t)
	one := r.url(t, "catalog")
	require.Eventually(t, func() bool { return u.shown(t, one) }, patience, 50*time.Millisecond, r.log)
	s := u.beside(t, "other").run(t)
	two := s.url(t, "catalog")
	require.Eventually(t, func() bool {
		u.shown(t, one)
		return twoAssigned.MatchString(s.log.String())
	}, patience, 50*time.Millisecond)
	readers := u.beside(t, "readers").run(t, "--roles", "catalog")
	three := readers.url(t, "catalog")
	for round := range 4 {
		u.put(t, round+1)
		for _, url := range []string{one, two, three} {
			require.Eventually(t, func() bool { return u.shown(t, url) }, patience, 50*time.Millisecond, "%s\n%s\n%s",
				r.log, s.log, readers.log)
		}
	}
	s.end(t)
	u.put(t, 5)
	for _, url := range []string{one, three} {
		require.Eventually(t, func() bool { return u.shown(t, url) }, patience, 50*time.Millisecond, "%s\n%s", r.log,
			readers.log)
	}
	readers.end(t)
	r.end(t)
	report := u.proof(t, "db.users")
	require.True(t, report.Proven, "%+v", report.Faults)
}
