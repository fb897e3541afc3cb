//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/firthlake/firth/e2e/components"
)

// ends are the next offsets of the partitions of a topic.
type ends [partitions]int

// covers says whether all that is before other is before these, but for slack records of each partition.
func (e ends) covers(other ends, slack int) bool {
	for p := range e {
		if e[p]+slack < other[p] {
			return false
		}
	}
	return true
}

// seenEnds are ends by what has them, at a moment.
type seenEnds struct {
	at time.Time
	of map[string]ends
}

// observer remembers where topics ended, and what the service said that a reader of each table would be shown.
type observer struct {
	mu     sync.Mutex
	topics []seenEnds // in order of time
	tables []seenEnds
}

// observeEvery is how often it looks.
const observeEvery = 100 * time.Millisecond

// run looks until ctx ends.
func (o *observer) run(ctx context.Context, l *lake, topics ...string) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(l.settings.brokers))
	if err != nil {
		return err
	}
	defer client.Close()
	ticker := time.NewTicker(observeEvery)
	defer ticker.Stop()
	for ctx.Err() == nil {
		if err := o.look(context.WithoutCancel(ctx), kadm.NewClient(client), l, topics); err != nil {
			return err
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
		}
	}
	return nil
}

func (o *observer) look(ctx context.Context, admin *kadm.Client, l *lake, topics []string) error {
	began := time.Now()
	listed, err := admin.ListEndOffsets(ctx, topics...)
	if err == nil {
		err = listed.Error()
	}
	if err != nil {
		return fmt.Errorf("list the ends of %v: %w", topics, err)
	}
	found := map[string]ends{}
	listed.Each(func(end kadm.ListedOffset) {
		of := found[end.Topic]
		of[end.Partition] = int(end.Offset)
		found[end.Topic] = of
	})
	shown, err := l.shown(ctx)
	if err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.topics = append(o.topics, seenEnds{began, found})
	o.tables = append(o.tables, seenEnds{time.Now(), shown}) // who comes later sees no less
	return nil
}

// shown is where tables end that are read as of now, by what the service says itself.
func (l *lake) shown(ctx context.Context) (map[string]ends, error) {
	_, body, err := get(ctx, "http://"+l.settings.admin+"/doors")
	if err != nil {
		return nil, err
	}
	var tables []struct {
		Table string
		Doors []struct {
			Door    string
			Offsets map[string]map[int]int
		}
	}
	if err := json.Unmarshal([]byte(body), &tables); err != nil {
		return nil, fmt.Errorf("GET /doors: %s: %w", body, err)
	}
	found := map[string]ends{}
	for _, t := range tables {
		for _, d := range t.Doors {
			for _, offsets := range d.Offsets {
				if d.Door != "live_catalog" {
					continue
				}
				var of ends
				for partition, next := range offsets {
					of[partition] = next
				}
				found[t.Table] = of
			}
		}
	}
	return found, nil
}

// atLeast is what a reader of a table had been shown who came at a moment; false where nobody knows.
func (o *observer) atLeast(name string, came time.Time) (ends, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, s := range slices.Backward(o.tables) {
		if !s.at.After(came) {
			found, some := s.of["db."+name]
			return found, some
		}
	}
	return ends{}, false
}

// age is how long before a query began its answer, which ends at cut, was last all that the topic had.
func (o *observer) age(topic string, began time.Time, cut ends, slack int) time.Duration {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, s := range slices.Backward(o.topics) {
		if !s.at.After(began) && cut.covers(s.of[topic], slack) {
			return began.Sub(s.at)
		}
	}
	if len(o.topics) == 0 {
		return 0
	}
	return max(0, began.Sub(o.topics[0].at))
}

// An answer must have what the service said, so long before it was asked for, that readers are shown. That does not go
// by how fast the machine is, which all engines may share with other work.
const (
	staleAfter = 2 * time.Second
	// A keyed table stays as it was answered last while a checkpoint is committed, half a minute at most.
	staleAfterKeyed = 45 * time.Second
)

// fresh wants an answer as of now to be no older than what the service promised, and notes its age.
func (r *record) fresh(t *testing.T, of string, k tableKind, seen *observer, began time.Time,
	answer components.Answer) {
	t.Helper()
	topic, slack, after := "events", 0, staleAfter
	cut := endsOf(t, answer)
	if k.keyed {
		topic, after = changesTopic, staleAfterKeyed
		slack = 1 // a delete of a key that is not there changes nothing
		for p := range cut {
			cut[p] = r.cuts.states[p].cut
		}
	}
	if want, some := seen.atLeast(k.name, began.Add(-after)); some {
		require.True(t, cut.covers(want, slack), "%s is stale: it ends at %v, and who came %s before was shown %v", of,
			cut, after, want)
		r.held++
	}
	r.ages = append(r.ages, seen.age(topic, began, cut, slack))
}

// endsOf are the ends of an answer to seamQuestion.
func endsOf(t *testing.T, answer components.Answer) (out ends) {
	t.Helper()
	for _, row := range answer.Rows {
		partition, err := strconv.Atoi(row[0])
		require.NoError(t, err)
		out[partition], err = strconv.Atoi(row[1])
		require.NoError(t, err)
	}
	return out
}

// tellAges says how old answers were, and how many of them were held against what was shown.
func tellAges(t *testing.T, of string, records []*record) {
	t.Helper()
	var ages []time.Duration
	held := 0
	for _, r := range records {
		ages, held = append(ages, r.ages...), held+r.held
	}
	if len(ages) == 0 {
		return
	}
	slices.Sort(ages)
	t.Logf("%s: %d answers, %d of them held against what was shown; %.1f s old at the median when they were asked "+
		"for, %.1f s at most", of, len(ages), held, ages[len(ages)/2].Seconds(), ages[len(ages)-1].Seconds())
}
