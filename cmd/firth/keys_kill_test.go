package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/ingest/gen"
	"github.com/firthlake/firth/ingest/source"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/keyed"
	"github.com/firthlake/firth/table/keyindex"
)

// killing is a keyed table whose processes are killed, each by SIGKILL.
type killing struct {
	*lakeFolder
	t      *testing.T
	dice   *rand.Rand
	ingest *exec.Cmd
	log    *lockedBuffer
	// inTime counts the kills that struck what they were meant for, by what that is.
	inTime map[string]int
}

// newKilling makes a table of one partition of a topic, so that the last record of a key is the last one produced.
func newKilling(t *testing.T, profile string) *killing {
	t.Helper()
	broker, err := source.StartEmbedded(source.EmbeddedOptions{Topics: map[string]int32{"events": 1}})
	require.NoError(t, err)
	t.Cleanup(broker.Close)
	k := &killing{lakeFolder: &lakeFolder{dir: t.TempDir(), broker: broker}, t: t,
		dice: rand.New(rand.NewPCG(uint64(len(profile)), 4)), inTime: map[string]int{}}
	k.listen(t, "127.0.0.1:0")
	write(t, k.dir, "tables/events.yaml", `
name: db.events
identifier: [quantity, country]
schema:
  columns:
  - {name: quantity, type: int, required: true}
  - {name: country, type: string, required: true}
  - {name: user_id, type: long}
  - {name: amount, type: double}
partition: ["bucket(3, country)"]
sources: [{topics: [events]}]
reader_profile: `+profile+`
freshness: {interval: 100ms}
`)
	require.Zero(t, k.firth(t, "apply", "--yes").code)
	k.start()
	return k
}

// start starts the process that ingests.
func (k *killing) start() {
	k.t.Helper()
	k.log = &lockedBuffer{}
	k.ingest = process(k.t.Context(), "run", "-c", k.config)
	k.ingest.Stderr = k.log
	require.NoError(k.t, k.ingest.Start())
}

// kill kills a process where it stands, and says whether it was alive.
func (k *killing) kill(cmd *exec.Cmd) bool {
	k.t.Helper()
	err := cmd.Process.Kill()
	if err != nil {
		require.ErrorIs(k.t, err, os.ErrProcessDone)
	}
	var ended *exec.ExitError
	alive := errors.As(cmd.Wait(), &ended) && ended.Sys().(syscall.WaitStatus).Signaled()
	return err == nil && alive
}

// seen are the files under the folder of the table and of its index, with their sizes.
type seen map[string]int64

func (k *killing) look(folder, part string) seen {
	out := seen{}
	err := filepath.WalkDir(filepath.Join(k.dir, folder), func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && strings.Contains(path, part) {
			if file, err := entry.Info(); err == nil {
				out[path] = file.Size()
			}
		}
		return nil // what cannot be looked at has gone meanwhile
	})
	require.NoError(k.t, err)
	return out
}

// changed is how many files are new or of another size since before.
func (k *killing) changed(folder, part string, before seen) (n int) {
	for path, size := range k.look(folder, part) {
		if was, known := before[path]; !known || was != size {
			n++
		}
	}
	return n
}

// waitMax bounds the wait for a moment that may never come: it is a moment, too.
const waitMax = 3 * time.Second

// await waits until the files change in n places, or for a while, and says whether they did.
func (k *killing) await(folder, part string, before seen, n int) bool {
	tick := time.NewTicker(200 * time.Microsecond)
	defer tick.Stop()
	for end := time.Now().Add(waitMax); time.Now().Before(end); <-tick.C {
		if k.changed(folder, part, before) >= n {
			return true
		}
	}
	return false
}

const (
	dataFolder  = "warehouse/db/events/data"
	tableFolder = "warehouse/db/events"
	indexFolder = "state/index"
)

// duringWrite kills ingest while a checkpoint is written: at its files, its deletes, its commit or its index.
func (k *killing) duringWrite() bool {
	at := [][2]string{{dataFolder, ".parquet"}, {dataFolder, "-deletes"}, {tableFolder, "metadata"},
		{indexFolder, ""}}[k.dice.IntN(4)]
	before := k.look(at[0], at[1])
	k.produce(k.t, 100)
	hit := k.await(at[0], at[1], before, 1+k.dice.IntN(3))
	return k.kill(k.ingest) && hit
}

func (k *killing) compactor() *exec.Cmd {
	cmd := process(k.t.Context(), "compact", "db.events", "-c", k.config)
	cmd.Stderr = k.log
	require.NoError(k.t, cmd.Start())
	return cmd
}

// duringCompaction kills a process that compacts beside ingest, or ingest beside it.
func (k *killing) duringCompaction() bool {
	before := k.look(tableFolder, "")
	cmd := k.compactor()
	k.produce(k.t, 50)
	hit := k.await(tableFolder, "", before, 1+k.dice.IntN(8))
	if k.dice.IntN(3) > 0 {
		return k.kill(cmd) && hit
	}
	hit = k.kill(k.ingest) && hit
	_ = cmd.Wait() // whether it wins against the last checkpoint is all the same
	return hit
}

// duringRebase kills a process that moves its rewrite behind deletes: it is stopped between the files that it has
// written and its commit, while records replace rows.
func (k *killing) duringRebase() bool {
	k.committed(k.t, k.produced)
	before := k.look(dataFolder, ".parquet")
	cmd := k.compactor()
	hit := k.await(dataFolder, ".parquet", before, 1)
	stopped := hit && cmd.Process.Signal(syscall.SIGSTOP) == nil
	k.produce(k.t, 200)
	k.committed(k.t, k.produced)
	before = k.look(tableFolder, "")
	if stopped {
		require.NoError(k.t, cmd.Process.Signal(syscall.SIGCONT))
	}
	// The manifests come last: the deletes of the rewrite, then these.
	hit = k.await(dataFolder, "-deletes", before, 1) && hit
	if k.dice.IntN(2) == 0 {
		k.await(tableFolder, "", before, 2+k.dice.IntN(4))
	}
	return k.kill(cmd) && hit
}

// duringCatchUp kills ingest while its index follows what a compaction has done.
func (k *killing) duringCatchUp() bool {
	k.committed(k.t, k.produced)
	out := k.firth(k.t, "compact", "db.events")
	require.Zero(k.t, out.code, out.stderr)
	before := k.look(indexFolder, "")
	k.produce(k.t, 20)
	hit := k.await(indexFolder, "", before, 1)
	return k.kill(k.ingest) && hit
}

// check ends ingest, and wants the table proven, its rows those of the last record of each key, and the index to
// know where each one is, as one that is built anew does.
func (k *killing) check() {
	t := k.t
	t.Helper()
	k.committed(t, k.produced)
	log := k.log // a signal before it listens would kill it
	require.Eventually(t, func() bool { return strings.Contains(log.String(), "msg=listening") }, patience,
		10*time.Millisecond, log)
	require.NoError(t, k.ingest.Process.Signal(os.Interrupt))
	require.NoError(t, k.ingest.Wait(), k.log)
	report := k.report(t, "--deep")
	require.True(t, report.Proven, report.Faults)
	want := k.last()
	rows := k.rowsOf(t, "db.events")
	require.Len(t, rows, len(want))
	for _, row := range rows {
		key := fmt.Sprint(row["quantity"], row["country"])
		require.Equal(t, want[key], fmt.Sprint(row["user_id"], row["amount"]), "key %s", key)
	}
	p := &program{configPath: k.config, now: time.Now}
	l, err := p.openLake(t.Context(), "")
	require.NoError(t, err)
	defer l.close()
	tbl, err := l.catalog.LoadTable(t.Context(), table.Ident{"db", "events"})
	require.NoError(t, err)
	id := tbl.Metadata().TableUUID().String()
	kept := filepath.Join(k.dir, indexFolder, id)
	require.NotEmpty(t, k.look(indexFolder, id))
	for _, folder := range []string{kept, t.TempDir()} {
		checkKeys(t, l, tbl, folder, len(want))
	}
	k.start()
}

// last are the values of the last record of each key.
func (k *killing) last() map[string]string {
	g, err := gen.New(gen.Options{Workload: "events10", Format: gen.JSON, Seed: 1})
	require.NoError(k.t, err)
	out := map[string]string{}
	for number := range k.produced {
		var record map[string]any
		require.NoError(k.t, json.Unmarshal(g.Append(nil, number), &record))
		key := fmt.Sprint(record["quantity"], record["country"])
		out[key] = fmt.Sprint(record["user_id"], record["amount"])
	}
	return out
}

// checkKeys wants the index in a folder to have the place of each row of the table, and no other.
func checkKeys(t *testing.T, l *lake, tbl *table.Table, folder string, keys int) {
	t.Helper()
	keeper, err := keyed.Open(t.Context(), l.objects, tbl, keyed.Options{Dir: folder, Salt: rand.Uint64,
		MemoryBytes: 1 << 20})
	require.NoError(t, err)
	require.NoError(t, keeper.Follow(t.Context(), tbl))
	require.Zero(t, keeper.Doubles())
	require.EqualValues(t, keys, keeper.Index().Keys())
	hasher, err := keeper.Index().Hasher(tbl.Metadata().CurrentSchema())
	require.NoError(t, err)
	tasks, err := table.Plan(t.Context(), tbl, l.objects, table.Scan{
		Columns: []string{"quantity", "country", table.ColumnPos}})
	require.NoError(t, err)
	for _, task := range tasks {
		for batch, err := range table.Read(t.Context(), l.objects, task) {
			require.NoError(t, err)
			checkPlaces(t, keeper, hasher, batch, task.File.FilePath())
		}
	}
	require.NoError(t, keeper.Close())
}

func checkPlaces(t *testing.T, k *keyed.Keeper, h *keyindex.Hasher, batch arrow.RecordBatch, file string) {
	t.Helper()
	keys, _, err := h.Keys(nil, batch)
	require.NoError(t, err)
	places := make([]keyindex.Place, len(keys))
	require.NoError(t, k.Resolve(t.Context(), keys, places))
	pos := batch.Column(2).(*array.Int64)
	for i, place := range places {
		require.Equal(t, fmt.Sprintf("%s row %d", file, pos.Value(i)),
			fmt.Sprintf("%s row %d", k.Index().Path(place.File), place.Row))
	}
}

// TestKilledKeyedTableLosesAndRevivesNothing kills real processes in the midst of writes, compaction, rebase and
// catch-up. FIRTH_SOAK=1 kills 40 times in each, of tables of both format versions.
func TestKilledKeyedTableLosesAndRevivesNothing(t *testing.T) {
	kills, profiles := 2, []string{"standard"}
	if os.Getenv("FIRTH_SOAK") != "" {
		kills, profiles = 20, []string{"standard", "wide"}
	}
	for _, profile := range profiles {
		t.Run(profile, func(t *testing.T) {
			k := newKilling(t, profile)
			acts := []struct {
				name string
				kill func() bool
			}{{"write", k.duringWrite}, {"compaction", k.duringCompaction}, {"rebase", k.duringRebase},
				{"catch-up", k.duringCatchUp}}
			for round := range kills {
				for _, act := range acts {
					if act.kill() {
						k.inTime[act.name]++
					}
					if k.ingest.ProcessState != nil {
						k.start()
					}
				}
				if round%5 == 4 {
					k.check()
				}
			}
			k.check()
			k.produce(t, 300) // an index that has lost a row leaves it
			k.check()
			t.Logf("%d kills each, in the midst of it %v, %d records", kills, k.inTime, k.produced)
			k.kill(k.ingest)
		})
	}
}
