package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	// severalKeys are the keys of db.users, each with its records in the topic partition of its number.
	severalKeys       = 12
	severalPartitions = 4
)

// severalUsers is a keyed table that is committed once an hour, and what its topic has.
type severalUsers struct {
	*lakeFolder
	client *kgo.Client
	logs   [severalPartitions][]userRecord
}

// userRecord is a record of a user: a name, or "" for a delete.
type userRecord struct {
	id   int
	name string
}

func newSeveralUsers(t *testing.T) *severalUsers {
	t.Helper()
	u := &severalUsers{lakeFolder: newLakeFolder(t)}
	write(t, u.dir, "tables/users.yaml", `
name: db.users
identifier: [id]
delete: {column: gone}
schema:
  columns:
  - {name: id, type: long, required: true}
  - {name: name, type: string}
  - {name: gone, type: boolean}
sources: [{topics: [events]}]
freshness: {interval: 1h, interval_max: 1h}
`)
	require.Zero(t, u.firth(t, "apply", "--yes").code)
	var err error
	u.client, err = kgo.NewClient(kgo.SeedBrokers(u.broker.Connection().Brokers...),
		kgo.DefaultProduceTopic("events"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	require.NoError(t, err)
	t.Cleanup(u.client.Close)
	return u
}

// put changes each user once; every fifth change is a delete.
func (u *severalUsers) put(t *testing.T, round int) {
	t.Helper()
	for id := range severalKeys {
		r := userRecord{id, fmt.Sprint("n", round, "-", id)}
		value := fmt.Sprintf(`{"id":%d,"name":%q}`, id, r.name)
		if (round+id)%5 == 0 {
			r.name, value = "", fmt.Sprintf(`{"id":%d,"gone":true}`, id)
		}
		partition := id % severalPartitions
		require.NoError(t, u.client.ProduceSync(t.Context(),
			&kgo.Record{Partition: int32(partition), Value: []byte(value)}).FirstErr())
		u.logs[partition] = append(u.logs[partition], r)
	}
}

// looking is a client that looks up all users at one process.
type looking struct {
	users *severalUsers
	url   string
	cut   [severalPartitions]int
}

// look says that it got an answer that is all there is in the topic. Any answer is the newest rows at its cut, and not
// behind the one before.
func (l *looking) look(t *testing.T) bool {
	t.Helper()
	var ids []string
	for id := range severalKeys {
		ids = append(ids, fmt.Sprint(id))
	}
	response, err := http.Post(l.url+"/v1/tables/db/users/rows", "application/json",
		strings.NewReader("["+strings.Join(ids, ",")+"]"))
	require.NoError(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	if response.StatusCode == http.StatusServiceUnavailable {
		require.Equal(t, "1", response.Header.Get("Retry-After"))
		return false
	}
	require.Equal(t, http.StatusOK, response.StatusCode, "%s", body)
	var answer lookupAnswer
	require.NoError(t, json.Unmarshal(body, &answer), "%s", body)
	all := answer.Behind == ""
	for partition := range severalPartitions {
		cut := int(answer.Position["events"][fmt.Sprint(partition)])
		require.GreaterOrEqual(t, cut, l.cut[partition], "partition %d goes back: %s", partition, body)
		l.cut[partition] = cut
		all = all && cut == len(l.users.logs[partition])
	}
	for id, text := range answer.Rows {
		want := ""
		for _, r := range l.users.logs[id%severalPartitions][:l.cut[id%severalPartitions]] {
			if r.id == id {
				want = r.name
			}
		}
		var row struct{ Name string }
		require.NoError(t, json.Unmarshal(text, &row))
		require.Equal(t, want, row.Name, "key %d of %s", id, body)
	}
	return all
}

func TestLookUpsFindRowsOfSeveralProcesses(t *testing.T) {
	u := newSeveralUsers(t)
	u.put(t, 0)
	r := u.run(t)
	one := &looking{users: u, url: r.url(t, "catalog")}
	require.Eventually(t, func() bool { return one.look(t) }, patience, 50*time.Millisecond, r.log)
	g := u.beside(t, "other")
	s := &running{log: &lockedBuffer{}}
	killed := process(t.Context(), "run", "-c", g.config)
	killed.Stderr = s.log
	require.NoError(t, killed.Start())
	two := &looking{users: u, url: s.url(t, "admin")}
	require.Eventually(t, func() bool {
		one.look(t)
		return twoAssigned.MatchString(s.log.String())
	}, patience, 20*time.Millisecond)
	readers := u.beside(t, "readers").run(t, "--roles", "catalog")
	three := &looking{users: u, url: readers.url(t, "catalog")}
	for round := range 5 {
		u.put(t, round+1)
		for _, l := range []*looking{one, two, three} {
			require.Eventually(t, func() bool { return l.look(t) }, patience, 20*time.Millisecond, "%s\n%s\n%s", r.log,
				s.log, readers.log)
		}
	}
	require.NoError(t, killed.Process.Kill())
	_ = killed.Wait() // it was killed
	u.put(t, 6)
	refused := 0
	for _, l := range []*looking{one, three} {
		require.Eventually(t, func() bool {
			if l.look(t) {
				return true
			}
			refused++
			return false
		}, patience, 20*time.Millisecond, "%s\n%s", r.log, readers.log)
	}
	require.Positive(t, refused, "nobody could know the rows of the one that was killed")
	readers.end(t)
	r.end(t)
}
