package live_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/serve/live"
	"github.com/firthlake/firth/serve/peers"
	"github.com/firthlake/firth/table/tail"
)

// keyedFleet is processes of one group that feed a keyed table, and one that only shows it.
type keyedFleet struct {
	*keyedWorld
	members []*keyedMember
	shown   *keyedMember // the last one, which feeds nothing
}

// keyedMember is a process with what it hears from others.
type keyedMember struct {
	*keyedProcess
	dir   string // of its key index
	peers *peers.Peers
	at    *httptest.Server
}

func newKeyedFleet(t testing.TB, seed uint64, size int) *keyedFleet {
	f := &keyedFleet{keyedWorld: newKeyedWorld(t, seed)}
	for range size {
		f.members = append(f.members, f.begin(t.TempDir()))
	}
	tails := tail.NewSet()
	meta := f.process.committer.Table().Metadata()
	shows := *f.process // which goes on while it is asked
	shows.tails, shows.index, shows.live = tails, tails.Index(meta.TableUUID(), meta.Location()), f.view(tails)
	f.shown = &keyedMember{keyedProcess: &shows}
	f.meet(f.shown)
	return f
}

// begin starts a process.
func (f *keyedFleet) begin(dir string) *keyedMember {
	f.indexDir = dir
	f.start()
	m := &keyedMember{keyedProcess: f.process, dir: dir}
	f.meet(m)
	return m
}

// meet has others find a process.
func (f *keyedFleet) meet(m *keyedMember) {
	var err error
	m.peers, err = peers.New(peers.Options{Name: uuid.NewString(), Tails: m.tails, Registry: f.committed, Now: f.now})
	require.NoError(f, err)
	mux := http.NewServeMux()
	mux.Handle(peers.Path, m.peers.Handler())
	mux.Handle(peers.HiddenPath, m.peers.HiddenHandler())
	m.at = httptest.NewServer(mux)
	m.peers.AnswerAt(m.at.URL)
	require.NoError(f, m.peers.Step(f.Context()))
}

// leave ends a member, which is dead to the others at once, or a while later.
func (f *keyedFleet) leave(m *keyedMember) {
	f.process = m.keyedProcess
	f.crash()
	m.at.Close()
}

// round has all members go on.
func (f *keyedFleet) round() {
	for _, m := range f.members {
		f.process = m.keyedProcess
		f.step()
	}
	for _, m := range append(f.members, f.shown) {
		require.NoError(f, m.peers.Step(f.Context()))
	}
}

// look reads the table at a member. Cuts go back when another has gone.
func (f *keyedFleet) look(m *keyedMember) {
	for ready := m.index.Follow(f.clock.Add(live.Pin)); ; f.round() {
		select {
		case <-ready:
		default:
			continue
		}
		break
	}
	f.process, f.cut = m.keyedProcess, [keyedPartitions]int{}
	if m == f.shown { // somebody else goes on meanwhile
		shows := *f.members[0].keyedProcess
		shows.index, shows.live = m.index, m.live
		f.process = &shows
	}
	f.read()
	t, view, err := m.live.Now(f.Context(), events)
	require.NoError(f, err)
	if view.Cut == nil { // else some of it is beside the table
		f.rows(t)
	}
}

// doubtful counts views that were not made since two processes had versions of one key.
func (f *keyedFleet) doubtful() int { return strings.Count(f.logs.String(), "versions of one key") }

// A key may have one row at most, also where its records are in several topic partitions, of which two processes may
// have read some: rows reads each key once.
func TestVersionsOfOneKeyAtTwoProcessesAreNotShown(t *testing.T) {
	doubtful := 0
	for seed := range uint64(3) {
		f := newKeyedFleet(t, seed, 2)
		f.anywhere = true
		for range 25 {
			for range f.rng.IntN(12) {
				f.append()
			}
			f.round()
			if f.rng.IntN(5) == 0 {
				f.log.Expire(f.members[f.rng.IntN(2)].reader)
			}
			for _, m := range append(f.members, f.shown) {
				f.look(m)
			}
		}
		doubtful += f.doubtful()
		for _, m := range f.members {
			f.leave(m)
		}
		f.shown.at.Close()
	}
	require.Greater(t, doubtful, 3)
}

// Invariant: a reader of the live catalog of any process sees the log folded up to the cut that the snapshot names,
// whoever has read it.
func TestReadersOfAKeyedTableSeeWhatSeveralProcessesHaveRead(t *testing.T) {
	seeds, rounds := uint64(12), 40
	if testing.Short() {
		seeds, rounds = 6, 25
	}
	exact, doubtful := map[bool]int{}, 0
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			f := newKeyedFleet(t, seed, 2)
			for range rounds {
				for range f.rng.IntN(24) {
					f.append()
				}
				f.round()
				i := f.rng.IntN(len(f.members))
				switch f.rng.IntN(16) {
				case 0:
					f.leave(f.members[i])
					f.members[i] = f.begin(f.members[i].dir)
				case 1:
					f.compact(f.members[i].committer)
				case 2:
					f.compact(f.other)
				case 3:
					f.log.Expire(f.members[i].reader) // it does not know that it has lost what it reads
				}
				for _, m := range append(f.members, f.shown) {
					before := f.exact
					f.look(m)
					exact[m == f.shown] += f.exact - before
				}
				if f.rng.IntN(4) == 0 {
					f.readAgain()
				}
			}
			for _, m := range f.members {
				f.leave(m)
			}
			f.shown.at.Close()
			doubtful += f.doubtful()
		})
	}
	t.Log(exact)
	require.Less(t, 10*doubtful, exact[true]+exact[false], "two have a key while its topic partition moves alone")
	require.Greater(t, exact[true], int(seeds)*rounds/16, "the one that feeds nothing shows what is committed")
	require.Greater(t, exact[false], int(seeds)*rounds/4, "views are hardly fresher than the table")
}
