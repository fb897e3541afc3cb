//go:build e2e

package e2e

import (
	"context"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/catalog"
	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/e2e/components"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/objstore"
	"github.com/firthlake/firth/table/vector"
)

// keyed is a table that loses rows, written by the packages that a keyed table is written by.
type keyed struct {
	name      string
	catalog   *catalog.Catalog
	store     objstore.Store
	committer *commit.Committer
	next      commit.Offset
	left      map[int64]bool
}

// TestEveryEngineSeesDeletedRowsGone deletes rows twice, so that the second delete files take the place of the
// first, in tables of both format versions. Others delete by equality; then all files are rewritten, and rows of them
// deleted meanwhile. All snapshots expire but the last and those that tags hold, and orphans are removed: all these
// snapshots are read.
func TestEveryEngineSeesDeletedRowsGone(t *testing.T) {
	t.Parallel()
	lab := newLab(t)
	minio, err := lab.MinIO(t.Context(), "warehouse") // this Trino has no local files
	require.NoError(t, err)
	l := newLake(t, lab, settings{s3: minio.Endpoint, store: filepath.Join(t.TempDir(), "catalog.db")})
	tables := l.keyedTables(t)
	var held, equal []*keyed
	for _, k := range tables {
		k.add(t, 500)
		k.add(t, 500)
		k.remove(t, func(id int64) bool { return id%7 == 3 })
		tagged := k.tag(t, "held")
		k.add(t, 500)
		k.remove(t, func(id int64) bool { return id%5 == 1 || id >= 600 && id < 650 })
		k.tag(t, "lost")
		k.add(t, 100)
		k.deleteEqual(t, 40)
		equal = append(equal, k.tag(t, "equal"))
		k.compact(t, func(id int64) bool { return id%11 == 4 })
		l.upkeep(t, k)
		held = append(held, tagged)
	}
	l.run(t, "catalog", "--roles", "catalog")
	l.seesLeft(t, "duckdb", tables)
	l.seesLeft(t, "pyiceberg", slices.Concat(tables, held)) // which cannot read equality deletes
	l.seesLeft(t, "trino", slices.Concat(tables, equal))
	l.seesLeft(t, "spark", slices.Concat(tables, held, equal))
	l.seesLeft(t, "spark by server", slices.Concat(tables, held, equal))
	l.seesLeft(t, "pyiceberg by server", slices.Concat(tables, held))
}

// countPlans has a reader ask for plans, and counts those that it gets.
func countPlans(t *testing.T, reader *components.Reader) *atomic.Int64 {
	t.Helper()
	target, err := url.Parse(reader.Catalog)
	require.NoError(t, err)
	plans := new(atomic.Int64)
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.ModifyResponse = func(r *http.Response) error {
		if strings.HasSuffix(r.Request.URL.Path, "/plan") && r.StatusCode == http.StatusOK {
			plans.Add(1)
		}
		return nil
	}
	server := httptest.NewServer(proxy)
	t.Cleanup(server.Close)
	reader.Catalog, reader.Planning = server.URL, "server"
	return plans
}

// tag gives the newest snapshot a name and returns what is in it now.
func (k *keyed) tag(t *testing.T, name string) *keyed {
	t.Helper()
	_, err := k.catalog.CommitTable(t.Context(), table.Ident{"db", k.name}, nil, []icetable.Update{
		icetable.NewSetSnapshotRefUpdate(name, headOf(k), icetable.TagRef, 0, 0, 0)})
	require.NoError(t, err)
	return &keyed{name: k.name + "@" + name, left: maps.Clone(k.left)}
}

func headOf(k *keyed) int64 { return k.committer.Table().Metadata().CurrentSnapshot().SnapshotID }

// upkeep drops a tag, takes out every snapshot that it may, and removes an orphan that it plants.
func (l *lake) upkeep(t *testing.T, k *keyed) {
	t.Helper()
	_, err := k.catalog.CommitTable(t.Context(), table.Ident{"db", k.name}, nil, []icetable.Update{
		icetable.NewRemoveSnapshotRefUpdate("lost")})
	require.NoError(t, err)
	expired := l.firth(t, "expire", "db."+k.name, "--keep", "1", "--older-than", "0s")
	require.Zero(t, expired.code, expired.stderr)
	require.Contains(t, expired.stdout, "3 stay")
	orphan := k.committer.Table().Metadata().Location() + "/data/lost.parquet"
	_, err = k.store.Put(t.Context(), orphan, strings.NewReader("x"), 1, objstore.PutOptions{})
	require.NoError(t, err)
	run := func() string {
		out := l.firth(t, "orphans", "db."+k.name, "--grace", "0s", "--force")
		require.Zero(t, out.code, out.stderr)
		return out.stdout
	}
	require.Contains(t, run(), "(1 found now)")
	require.Eventually(t, func() bool { return strings.Contains(run(), "1 orphans of 1 B removed") }, time.Minute,
		time.Second) // the store tells times by the second
	_, err = k.store.Stat(t.Context(), orphan)
	require.ErrorIs(t, err, objstore.ErrNotFound)
}

// keyedTables makes a table of each format version.
func (l *lake) keyedTables(t *testing.T) (tables []*keyed) {
	t.Helper()
	db, err := catalog.OpenSQLite(t.Context(), l.settings.store)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	stores := objstore.DefaultConfig()
	stores.S3.Endpoint, stores.S3.PathStyle = l.settings.s3, true
	stores.S3.AccessKey, stores.S3.SecretKey = components.AccessKey, components.SecretKey
	store, err := objstore.Open(stores)
	require.NoError(t, err)
	cat := catalog.New(db, store, catalog.Options{Warehouse: l.settings.warehouse,
		TableProperties: catalog.DefaultTableProperties(), Now: time.Now, NewID: uuid.New})
	require.NoError(t, cat.CreateNamespace(t.Context(), catalog.Namespace{"db"}, nil))
	schema := iceberg.NewSchema(0,
		iceberg.NestedField{ID: 1, Name: "id", Type: iceberg.PrimitiveTypes.Int64},
		iceberg.NestedField{ID: 2, Name: "kind", Type: iceberg.PrimitiveTypes.String})
	spec := iceberg.NewPartitionSpec(iceberg.PartitionField{
		SourceIDs: []int{2}, FieldID: 1000, Name: "kind", Transform: iceberg.IdentityTransform{}})
	for _, version := range []string{"2", "3"} {
		k := &keyed{name: "keyed" + version, catalog: cat, store: store, left: map[int64]bool{}}
		_, err := cat.CreateTable(t.Context(), table.Ident{"db", k.name}, catalog.TableSpec{Schema: schema,
			PartitionSpec: &spec, Properties: iceberg.Properties{"format-version": version}})
		require.NoError(t, err)
		k.committer, err = commit.Open(t.Context(), cat, store, table.Ident{"db", k.name}, commit.Options{Now: time.Now,
			NewID: uuid.New, Random: rand.Uint64, Writer: "e2e",
			Sleep: func(ctx context.Context, d time.Duration) error { return pause(ctx, d) }})
		require.NoError(t, err)
		tables = append(tables, k)
	}
	return tables
}

// publish commits a change whose counts are the next offsets.
func (k *keyed) publish(t *testing.T, change commit.Change, counts commit.Counts) {
	t.Helper()
	next := k.next + commit.Offset(counts.Sum())
	change.Ranges = map[commit.TopicPartition]commit.Range{
		{Cluster: "c", Topic: k.name, TopicID: uuid.Max}: {From: k.next, Next: next, Counts: counts}}
	_, err := k.committer.Commit(t.Context(), change)
	require.NoError(t, err)
	k.next = next
}

// add commits the next ids in two partitions.
func (k *keyed) add(t *testing.T, count int) {
	t.Helper()
	change := commit.Change{ID: uuid.New()}
	meta := k.committer.Table().Metadata()
	fields, err := table.ArrowSchema(meta.CurrentSchema())
	require.NoError(t, err)
	b := array.NewRecordBuilder(memory.DefaultAllocator, fields)
	defer b.Release()
	for id := int64(k.next); id < int64(k.next)+int64(count); id++ {
		b.Field(0).(*array.Int64Builder).Append(id)
		b.Field(1).(*array.StringBuilder).Append([]string{"even", "odd"}[id%2])
		k.left[id] = true
	}
	batch := b.NewRecordBatch()
	defer batch.Release()
	writer, err := table.NewWriter(k.store, table.WriterOptions{Schema: meta.CurrentSchema(),
		Spec: meta.PartitionSpec(), Location: meta.Location(), ChangeID: change.ID})
	require.NoError(t, err)
	require.NoError(t, writer.Write(t.Context(), batch))
	change.Files, err = writer.Close(t.Context())
	require.NoError(t, err)
	k.publish(t, change, commit.Counts{Inserted: int64(count)})
}

// remove deletes the rows whose id is to go, found by reading.
func (k *keyed) remove(t *testing.T, goes func(id int64) bool) {
	t.Helper()
	tbl := k.committer.Table()
	change := commit.Change{ID: uuid.New(), Base: tbl.Metadata().CurrentSnapshot().SnapshotID}
	tasks, err := table.Plan(t.Context(), tbl, k.store, table.Scan{Columns: []string{"id", table.ColumnPos}})
	require.NoError(t, err)
	var targets []vector.Target
	var gone int64
	for _, task := range tasks {
		target := vector.Target{File: task.File, Before: task.Deletes}
		for batch, err := range table.Read(t.Context(), k.store, task) {
			require.NoError(t, err)
			ids, positions := batch.Column(0).(*array.Int64), batch.Column(1).(*array.Int64)
			for i := range ids.Len() {
				if id := ids.Value(i); goes(id) {
					target.Positions = append(target.Positions, positions.Value(i))
					delete(k.left, id)
					gone++
				}
			}
		}
		if len(target.Positions) > 0 {
			targets = append(targets, target)
		}
	}
	change.Deletes, err = vector.Write(t.Context(), k.store, vector.Options{Metadata: tbl.Metadata(),
		ChangeID: change.ID, Read: table.ReadDeletes}, targets)
	require.NoError(t, err)
	// Ids are offsets of the rows; those of the records that delete are not.
	k.publish(t, change, commit.Counts{Deleted: gone})
}

// seesLeft asks an engine for the ids of all tables.
func (l *lake) seesLeft(t *testing.T, engine string, tables []*keyed) {
	t.Helper()
	reader := l.reader(t)
	engine, byServer := strings.CutSuffix(engine, " by server")
	if byServer {
		plans := countPlans(t, &reader)
		defer func() {
			require.GreaterOrEqual(t, plans.Load(), int64(len(tables)), "scans that the server has planned")
		}()
	}
	if engine == "trino" {
		trino, err := l.lab.Trino(t.Context(), reader)
		require.NoError(t, err)
		defer trino.Stop()
		reader.Trino = trino.Port
	}
	const all, some = "id >= 0", "id >= 590 and id < 660"
	want := map[string]map[string][][]string{}
	var names []string
	for _, k := range tables {
		rows := map[string][][]string{all: {}, some: {}}
		for id := range k.left {
			text := []string{strconv.FormatInt(id, 10)}
			rows[all] = append(rows[all], text)
			if id >= 590 && id < 660 {
				rows[some] = append(rows[some], text)
			}
		}
		for _, list := range rows {
			slices.SortFunc(list, slices.Compare[[]string])
		}
		want["db."+k.name], names = rows, append(names, "db."+k.name)
	}
	var found map[string]map[string][][]string
	require.NoError(t, l.lab.Ask(t.Context(), reader, components.Question{Program: engine + "_rows", Tables: names,
		Select: "id", Where: all + ";" + some}, &found))
	require.Equal(t, want, found, engine)
}
