package keyed

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/vector"
)

// A history has few keys, so that most steps meet rows of others.
const (
	historyIDs   = 30
	historySteps = 40
)

var histories = flag.Uint64("histories", 2, "random lives of a keyed table for each form of table")

// history is a random life of a keyed table, with its rows by id as a model: more than one value when a
// writer that knows no keys doubled them.
type history struct {
	*lake
	dice  *rand.Rand
	k     *Keeper
	opts  Options
	model map[int64][]int64
	value int64
	past  []lakePast
	told  []string
}

// lakePast is a state that main can be set back to.
type lakePast struct {
	snapshot int64
	live     []lakeEntry
	model    map[int64][]int64
}

func newHistory(t *testing.T, form lakeOptions, seed uint64) *history {
	h := &history{lake: newLake(t, form), dice: rand.New(rand.NewPCG(seed, 5)),
		model: map[int64][]int64{}, opts: testOptions(t.TempDir(), seed)}
	h.opts.MemoryBytes = []int64{1 << 20, 1 << 10}[seed%2]
	h.chunk = []int{0, 3}[seed%2]
	h.k = h.open(h.opts)
	return h
}

func (h *history) random(n int) (ids []int64) {
	for range n {
		if id := h.dice.Int64N(historyIDs); !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids
}

func (h *history) rows(ids []int64) (rows []row) {
	for _, id := range ids {
		h.value++
		rows = append(rows, row{id, []string{"a", "b", "c"}[h.dice.IntN(3)], h.value})
	}
	return rows
}

// checkpoint is an own commit, with a foreign INSERT just before it when foreign.
func (h *history) checkpoint(foreign []row) Landing {
	ids := h.random(8)
	cut := h.dice.IntN(len(ids) + 1)
	c := checkpoint{rows: h.rows(ids[:cut]), deleted: ids[cut:]}
	var between map[int64][]int64
	if foreign != nil {
		c.between = func() {
			files, _, _ := h.write(h.newID(), foreign)
			h.commit(lakeChange{files: files})
			between = map[int64][]int64{}
			for _, r := range foreign {
				between[r.id] = append(between[r.id], r.value)
			}
		}
	}
	landing := h.run(h.k, c)
	found := h.values()
	for id, values := range h.model { // no row is doubled any more, but by what came between
		if slices.Contains(ids, id) || len(values) == 0 {
			continue
		}
		require.Len(h.t, found[id], 1+len(between[id]), "id %d", id)
		require.Subset(h.t, append(values, between[id]...), found[id])
	}
	for id, values := range between {
		require.Subset(h.t, found[id], values)
	}
	for _, id := range ids[cut:] {
		require.ElementsMatch(h.t, between[id], found[id], "deleted id %d", id)
	}
	for _, r := range c.rows {
		require.ElementsMatch(h.t, append(between[r.id], r.value), found[r.id], "id %d", r.id)
	}
	for id := range found {
		known := len(h.model[id])+len(between[id]) > 0 || slices.Contains(ids[:cut], id)
		require.True(h.t, known, "id %d was revived", id)
	}
	h.model = found
	return landing
}

func (h *history) landed(l Landing) { require.NoError(h.t, h.k.Landed(h.ctx(), h.table(), l)) }

// values are the table's values by id.
func (h *history) values() map[int64][]int64 {
	found := map[int64][]int64{}
	for _, r := range h.read() {
		found[r.id] = append(found[r.id], r.value)
	}
	return found
}

// insert is a foreign INSERT.
func (h *history) insert() {
	rows := h.rows(h.random(5))
	files, _, _ := h.write(h.newID(), rows)
	h.commit(lakeChange{files: files})
	h.add(rows)
}

func (h *history) add(rows []row) {
	for _, r := range rows {
		h.model[r.id] = append(h.model[r.id], r.value)
	}
}

// remove makes delete files of live rows of ids and takes them out of the model.
func (h *history) remove(ids []int64) []iceberg.DataFile {
	positions := map[string][]int64{}
	for _, r := range h.read() {
		if slices.Contains(ids, r.id) {
			positions[r.path] = append(positions[r.path], int64(r.pos))
		}
	}
	for _, id := range ids {
		delete(h.model, id)
	}
	if h.meta.Version() == 2 && h.dice.IntN(2) == 0 && h.meta.PartitionSpec().IsUnpartitioned() {
		return h.looseDeletes(positions)
	}
	var targets []vector.Target
	for _, task := range h.tasks() {
		if rows := positions[task.File.FilePath()]; len(rows) > 0 {
			targets = append(targets,
				vector.Target{File: task.File, Positions: rows, Before: task.Deletes})
		}
	}
	files, err := vector.Write(h.ctx(), h.store, vector.Options{Metadata: h.meta, ChangeID: h.newID(),
		Read: table.ReadDeletes}, targets)
	require.NoError(h.t, err)
	return files
}

// looseDeletes is one position delete file about several data files.
func (h *history) looseDeletes(positions map[string][]int64) []iceberg.DataFile {
	if len(positions) < 2 {
		positions["mem://lake/items/data/none.parquet"] = []int64{0}
	}
	if len(positions) < 2 {
		positions["mem://lake/items/data/nil.parquet"] = []int64{0}
	}
	b := array.NewRecordBuilder(memory.DefaultAllocator, icetable.PositionalDeleteArrowSchema)
	defer b.Release()
	count := int64(0)
	for _, path := range slices.Sorted(maps.Keys(positions)) {
		for _, pos := range positions[path] {
			b.Field(0).(*array.StringBuilder).Append(path)
			b.Field(1).(*array.Int64Builder).Append(pos)
			count++
		}
	}
	batch := b.NewRecordBatch()
	defer batch.Release()
	var buf bytes.Buffer
	w, err := pqarrow.NewFileWriter(batch.Schema(), &buf, parquet.NewWriterProperties(),
		pqarrow.NewArrowWriterProperties(pqarrow.WithStoreSchema()))
	require.NoError(h.t, err)
	require.NoError(h.t, w.Write(batch))
	require.NoError(h.t, w.Close())
	location := fmt.Sprintf("%s/data/loose-%s.parquet", lakeRoot, h.newID())
	require.NoError(h.t, table.FileIO(h.ctx(), h.store).WriteFile(location, buf.Bytes()))
	made, err := iceberg.NewDataFileBuilder(h.meta.PartitionSpec(), iceberg.EntryContentPosDeletes,
		location, iceberg.ParquetFile, nil, nil, nil, count, int64(buf.Len()))
	require.NoError(h.t, err)
	return []iceberg.DataFile{made.Build()}
}

// removeEqual deletes rows by equality deletes, as some engines do.
func (h *history) removeEqual() {
	if !h.meta.PartitionSpec().IsUnpartitioned() {
		return
	}
	ids := h.random(3)
	schema := iceberg.NewSchema(0, h.meta.CurrentSchema().Field(0))
	form, err := table.ArrowSchema(schema)
	require.NoError(h.t, err)
	b := array.NewRecordBuilder(memory.DefaultAllocator, form)
	defer b.Release()
	for _, id := range ids {
		require.NoError(h.t, b.Field(0).AppendValueFromString(fmt.Sprint(id)))
		delete(h.model, id)
	}
	batch := b.NewRecordBatch()
	defer batch.Release()
	w, err := table.NewWriter(h.store, table.WriterOptions{Schema: schema, Location: h.meta.Location(),
		ChangeID: h.newID()})
	require.NoError(h.t, err)
	require.NoError(h.t, w.Write(h.ctx(), batch))
	files, err := w.Close(h.ctx())
	require.NoError(h.t, err)
	made, err := iceberg.NewDataFileBuilder(h.meta.PartitionSpec(), iceberg.EntryContentEqDeletes,
		files[0].FilePath(), iceberg.ParquetFile, nil, nil, nil, files[0].Count(), files[0].FileSizeBytes())
	require.NoError(h.t, err)
	h.commit(lakeChange{deletes: []iceberg.DataFile{made.EqualityFieldIDs([]int{1}).Build()}})
}

func (h *history) tasks() []table.Task {
	tasks, err := table.Plan(h.ctx(), h.table(), h.store, table.Scan{})
	require.NoError(h.t, err)
	return tasks
}

// rewrite is rewrite_data_files of some files: their rows move, and keep their place in time.
func (h *history) rewrite() {
	chosen := map[string]bool{}
	for _, task := range h.tasks() {
		if h.dice.IntN(2) == 0 {
			chosen[task.File.FilePath()] = true
		}
	}
	if len(chosen) == 0 {
		return
	}
	var rows []row
	for _, r := range h.read() {
		if chosen[r.path] {
			rows = append(rows, r.row)
		}
	}
	files, _, _ := h.write(h.newID(), rows)
	h.commit(lakeChange{files: files, removed: slices.Collect(maps.Keys(chosen)),
		sequence: h.meta.LastSequenceNumber()})
}

// dropFile removes a data file as a whole, as DELETE does when all of its rows match.
func (h *history) dropFile() {
	tasks := h.tasks()
	if len(tasks) == 0 {
		return
	}
	path := tasks[h.dice.IntN(len(tasks))].File.FilePath()
	h.commit(lakeChange{removed: []string{path}})
	h.model = h.values()
}

// setBack sets main to an older snapshot.
func (h *history) setBack() {
	if len(h.past) == 0 {
		return
	}
	p := h.past[h.dice.IntN(len(h.past))]
	if h.meta.SnapshotByID(p.snapshot) == nil {
		return
	}
	h.update(icetable.NewSetSnapshotRefUpdate("main", p.snapshot, icetable.BranchRef, 0, 0, 0))
	h.live, h.model = p.live, copied(p.model)
}

func copied(model map[int64][]int64) map[int64][]int64 {
	out := map[int64][]int64{}
	for id, values := range model {
		out[id] = slices.Clone(values)
	}
	return out
}

// damage spoils a file of the index, as it lies on disk.
func (h *history) damage() {
	names, err := filepath.Glob(filepath.Join(h.opts.Dir, "*"))
	require.NoError(h.t, err)
	name := names[h.dice.IntN(len(names))]
	text, err := os.ReadFile(name)
	require.NoError(h.t, err)
	if len(text) == 0 {
		return
	}
	text[h.dice.IntN(len(text))] ^= 1 << h.dice.IntN(8)
	require.NoError(h.t, os.WriteFile(name, text, 0o600))
}

// respec changes the partition spec.
func (h *history) respec() {
	if spec := h.meta.PartitionSpec(); spec.IsUnpartitioned() || spec.ID() != 0 {
		return
	}
	spec := iceberg.NewPartitionSpec(iceberg.PartitionField{SourceIDs: []int{1}, FieldID: 1001,
		Name: "id_bucket", Transform: iceberg.BucketTransform{NumBuckets: 2}})
	h.update(icetable.NewAddPartitionSpecUpdate(&spec, false), icetable.NewSetDefaultSpecUpdate(-1))
}

// reopen opens the index as a process that was killed finds it.
func (h *history) reopen() {
	if h.dice.IntN(3) == 0 {
		require.NoError(h.t, h.k.index.Save(h.ctx()))
	}
	require.NoError(h.t, h.k.Close())
	if h.dice.IntN(4) == 0 {
		h.damage()
	}
	h.opts.Salt = rand.New(rand.NewPCG(h.dice.Uint64(), 1)).Uint64
	h.k = h.open(h.opts)
}

// step does one thing at random.
func (h *history) step() {
	steps := []struct {
		name   string
		weight int
		do     func()
	}{
		{"checkpoint", 8, func() { h.landed(h.checkpoint(nil)) }},
		{"checkpoint behind INSERT", 2, func() {
			h.landed(h.checkpoint(h.rows(h.random(4))))
		}},
		{"checkpoint, killed", 2, func() { h.checkpoint(nil); h.reopen() }},
		{"checkpoint, not told", 1, func() { h.checkpoint(nil) }},
		{"reopen", 2, h.reopen},
		{"INSERT", 2, h.insert},
		{"DELETE", 2, func() { h.commit(lakeChange{deletes: h.remove(h.random(4))}) }},
		{"UPDATE", 2, func() {
			ids := h.random(4)
			rows := h.rows(ids)
			deletes := h.remove(ids)
			files, _, _ := h.write(h.newID(), rows)
			h.commit(lakeChange{files: files, deletes: deletes})
			h.add(rows)
		}},
		{"DELETE by equality", 1, h.removeEqual},
		{"rewrite", 3, h.rewrite},
		{"DELETE of a file", 1, h.dropFile},
		{"set back", 1, h.setBack},
		{"expire", 1, h.expire},
		{"evolve", 1, func() {
			if len(h.meta.CurrentSchema().Fields()) == 3 {
				h.evolve()
			}
		}},
		{"respec", 1, h.respec},
		{"follow", 2, func() { require.NoError(h.t, h.k.Follow(h.ctx(), h.table())) }},
	}
	total := 0
	for _, s := range steps {
		total += s.weight
	}
	at := h.dice.IntN(total)
	for _, s := range steps {
		if at -= s.weight; at < 0 {
			h.told = append(h.told, s.name)
			s.do()
			return
		}
	}
}

// check wants table, model and index to agree.
func (h *history) check() {
	found := h.values()
	for id, values := range h.model {
		require.ElementsMatch(h.t, values, found[id], "id %d", id)
		delete(found, id)
	}
	for id, values := range found {
		require.Empty(h.t, values, "id %d was revived", id)
	}
	require.NoError(h.t, h.k.Follow(h.ctx(), h.table()))
	h.checkIndex(h.k, historyIDs)
}

// TestIndexIsThatOfTheTableInRandomHistories lets a keyed table live, with kills, foreign writers of all
// kinds, rewrites, evolution and damage.
func TestIndexIsThatOfTheTableInRandomHistories(t *testing.T) {
	for name, form := range forms() {
		t.Run(name, func(t *testing.T) {
			lives := *histories
			if testing.Short() {
				lives = min(lives, 1)
			}
			for seed := range lives {
				t.Run(fmt.Sprint(seed), func(t *testing.T) {
					h := newHistory(t, form, seed)
					t.Cleanup(func() {
						if t.Failed() {
							t.Log(h.told)
						}
					})
					for range historySteps {
						h.step()
						if s := h.meta.CurrentSnapshot(); s != nil {
							h.past = append(h.past, lakePast{s.SnapshotID, slices.Clone(h.live), copied(h.model)})
						}
						if h.dice.IntN(3) == 0 {
							h.check()
						}
					}
					h.check()
					require.NoError(t, h.k.Close())
				})
			}
		})
	}
}
