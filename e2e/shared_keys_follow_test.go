//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
)

// copied is a row of a copy.
type copied struct {
	id int64
	version
}

// follower keeps a copy of a keyed table by the stream of its changes. It breaks off and goes on all the while.
type follower struct {
	address string
	random  *rand.Rand

	mu      sync.Mutex // guards what follows
	rows    map[copied]int
	token   string
	changes map[string]int // by op
	breaks  int
}

// follow begins a copy of each table.
func (s *sharedKeys) follow(ctx context.Context, group *errgroup.Group) []*follower {
	var all []*follower
	for i, table := range s.tables {
		f := &follower{address: fmt.Sprintf("http://%s/v1/tables/%s/stream", s.settings.catalog,
			strings.Replace(table.name, ".", "/", 1)), random: rand.New(rand.NewPCG(uint64(i), 5)),
			rows: map[copied]int{}, changes: map[string]int{}}
		group.Go(func() error { return f.run(ctx) })
		all = append(all, f)
	}
	return all
}

// run follows until ctx ends.
func (f *follower) run(ctx context.Context) error {
	for ctx.Err() == nil {
		if err := f.once(ctx, 1+f.random.IntN(4)); err != nil && ctx.Err() == nil {
			return fmt.Errorf("follow %s: %w", f.address, err)
		}
	}
	return nil
}

// once reads up to some tokens.
func (f *follower) once(ctx context.Context, tokens int) error {
	asked := url.Values{"columns": {"id,v,note,seq"}, "from": {f.token}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, f.address+"?"+asked.Encode(), nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return errors.New(answer.Status)
	}
	f.mu.Lock()
	f.breaks++
	f.mu.Unlock()
	// What came behind the last token comes again.
	var pending []followedLine
	for lines := bufio.NewScanner(answer.Body); tokens > 0; {
		if !lines.Scan() {
			return errors.Join(errors.New("the stream has ended"), lines.Err())
		}
		var line followedLine
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			return fmt.Errorf("line %s: %w", lines.Bytes(), err)
		}
		switch {
		case line.Error != "":
			return errors.New(line.Error)
		case line.Op != "":
			pending = append(pending, line)
		default:
			if err := f.take(pending, line.Token); err != nil {
				return err
			}
			pending = nil
			tokens--
		}
	}
	return nil
}

// followedLine is a line of a stream.
type followedLine struct {
	Token  string       `json:"_token"`
	Error  string       `json:"_error"`
	Op     string       `json:"op"`
	Before *followedRow `json:"before"`
	After  *followedRow `json:"after"`
}

// followedRow is a row before or after a change.
type followedRow struct {
	ID, V, Seq int64
	Note       string
}

func (i *followedRow) row() copied {
	return copied{i.ID, version{v: i.V, seq: i.Seq, note: "'" + i.Note}}
}

// take applies changes, and remembers the token behind them.
func (f *follower) take(changes []followedLine, token string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range changes {
		if c.Before != nil {
			if f.rows[c.Before.row()]--; f.rows[c.Before.row()] < 0 {
				return fmt.Errorf("%s of %+v, which is not there", c.Op, c.Before)
			}
			if f.rows[c.Before.row()] == 0 {
				delete(f.rows, c.Before.row())
			}
		}
		if c.After != nil {
			f.rows[c.After.row()]++
		}
		f.changes[c.Op]++
	}
	f.token = token
	return nil
}

// becomes waits until the copy is the table.
func (f *follower) becomes(t *testing.T, rows map[int64]version) {
	t.Helper()
	want := map[copied]int{}
	for id, row := range rows {
		want[copied{id, row}] = 1
	}
	same := func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return maps.Equal(f.rows, want)
	}
	require.Eventually(t, same, time.Minute, 100*time.Millisecond, "the copy by %s is not the table", f.address)
	f.mu.Lock()
	defer f.mu.Unlock()
	t.Logf("%s: %d rows by %v, in %d connections", f.address, len(want), f.changes, f.breaks)
}
