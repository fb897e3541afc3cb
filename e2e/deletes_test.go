//go:build e2e

package e2e

import (
	"context"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
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
	store     objstore.Store
	committer *commit.Committer
	next      commit.Offset
	left      map[int64]bool
}

// TestEveryEngineSeesDeletedRowsGone deletes rows twice, so that the second delete files take the place of the
// first, in tables of both format versions.
func TestEveryEngineSeesDeletedRowsGone(t *testing.T) {
	lab := newLab(t)
	minio, err := lab.MinIO(t.Context(), "warehouse") // this Trino has no local files
	require.NoError(t, err)
	l := newLake(t, lab, settings{s3: minio.Endpoint, store: filepath.Join(t.TempDir(), "catalog.db")})
	tables := l.keyedTables(t)
	for _, k := range tables {
		k.add(t, 500)
		k.add(t, 500)
		k.remove(t, func(id int64) bool { return id%7 == 3 })
		k.add(t, 500)
		k.remove(t, func(id int64) bool { return id%5 == 1 || id >= 600 && id < 650 })
	}
	l.run(t, "catalog", "--roles", "catalog")
	for _, engine := range []string{"pyiceberg", "duckdb", "spark", "trino"} {
		l.seesLeft(t, engine, tables)
	}
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
		k := &keyed{name: "keyed" + version, store: store, left: map[int64]bool{}}
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
