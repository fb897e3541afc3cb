package commit_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/catalog"
	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/commit/committest"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/objstore"
)

// embedded is a world on the embedded catalog: SQLite and local files.
func embedded(t testing.TB, version int) (*catalog.Catalog, objstore.Store) {
	dir := t.TempDir()
	db, err := catalog.OpenSQLite(t.Context(), filepath.Join(dir, "catalog.db"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	store, err := objstore.NewLocal("")
	require.NoError(t, err)
	cat := catalog.New(db, store, catalog.Options{Warehouse: filepath.Join(dir, "lake"),
		TableProperties: catalog.DefaultTableProperties(), Now: time.Now, NewID: uuid.New})
	require.NoError(t, cat.CreateNamespace(t.Context(), catalog.Namespace{"db"}, nil))
	schema := iceberg.NewSchema(0, iceberg.NestedField{ID: 1, Name: "id", Type: iceberg.PrimitiveTypes.Int64})
	for _, ident := range []table.Ident{events, deadLetters} {
		_, err := cat.CreateTable(t.Context(), ident, catalog.TableSpec{Schema: schema,
			Properties: iceberg.Properties{"format-version": fmt.Sprint(version)}})
		require.NoError(t, err)
	}
	return cat, store
}

func TestCommitsToEmbeddedCatalog(t *testing.T) {
	for _, version := range []int{2, 3} {
		cat, store := embedded(t, version)
		opts := committest.Options(1, "a")
		opts.Now = time.Now
		opts.SnapshotsKeep = 5
		c, err := commit.Open(t.Context(), cat, store, events, opts)
		require.NoError(t, err)
		ids := committest.Options(9, "test").NewID
		for i := range commit.Offset(12) {
			change := commit.Change{ID: ids(), Ranges: map[commit.TopicPartition]commit.Range{partition(0): {
				From: i * 5, Next: i*5 + 5, Counts: commit.Counts{Inserted: 4, DeadLetters: 1}}}}
			file, err := committest.DataFile(t.Context(), store, c.Table().Metadata(),
				committest.File{Change: change.ID, Rows: 4})
			require.NoError(t, err)
			change.Files = []iceberg.DataFile{file}
			tbl, err := cat.LoadTable(t.Context(), deadLetters)
			require.NoError(t, err)
			letter, err := committest.DataFile(t.Context(), store, tbl.Metadata(),
				committest.File{Change: change.ID, Rows: 1})
			require.NoError(t, err)
			change.DeadLetters = []iceberg.DataFile{letter}
			_, err = c.Commit(t.Context(), change)
			require.NoError(t, err)
		}
		report, err := committest.Check(t.Context(), cat, store, events)
		require.NoError(t, err)
		require.EqualValues(t, 48, report.Rows)
		letters, err := committest.Check(t.Context(), cat, store, deadLetters)
		require.NoError(t, err)
		require.EqualValues(t, 12, letters.Rows)
	}
}

// scripted answers the n-th commit with a function, and passes everything else on.
type scripted struct {
	commit.Catalog
	n      int
	answer map[int]func(land func() error) error
	// dark makes that tables cannot be loaded.
	dark bool
}

func (s *scripted) LoadTable(ctx context.Context, ident table.Ident) (*table.Table, error) {
	if s.dark {
		return nil, errors.New("dark")
	}
	return s.Catalog.LoadTable(ctx, ident)
}

func (s *scripted) CommitTable(ctx context.Context, ident table.Ident, r []icetable.Requirement,
	u []icetable.Update) (*table.Table, error) {
	s.n++
	answer, ok := s.answer[s.n]
	if !ok {
		return s.Catalog.CommitTable(ctx, ident, r, u)
	}
	return nil, answer(func() error {
		_, err := s.Catalog.CommitTable(ctx, ident, r, u)
		return err
	})
}

func TestRefusalAfterLostAnswerIsUnknown(t *testing.T) {
	w := newWorld(t, shape{version: 2})
	var late func() error
	cat := &scripted{Catalog: w.catalog, answer: map[int]func(func() error) error{
		1: func(land func() error) error { late = land; return errors.New("lost") },
		2: func(func() error) error { return fmt.Errorf("token expired: %w", table.ErrRefused) },
	}}
	c, err := commit.Open(t.Context(), cat, w.store, events, committest.Options(1, "a"))
	require.NoError(t, err)
	change, err := w.change(t.Context(), w.store, step{rows: 5})
	require.NoError(t, err)
	_, err = c.Commit(t.Context(), change)
	require.ErrorIs(t, err, commit.ErrStateUnknown)
	require.False(t, commit.IsFinal(err))
	require.NoError(t, late())
	_, err = c.Commit(t.Context(), change)
	require.NoError(t, err)
	require.EqualValues(t, 5, w.check(t).Rows)
}

// TestOutcomeIsFoundWhereHistoryIsGone loses an answer while others commit and expire all that went before.
func TestOutcomeIsFoundWhereHistoryIsGone(t *testing.T) {
	const rows = 5
	unknown, fenced := commit.ErrStateUnknown, commit.ErrFenced
	for name, c := range map[string]struct {
		lands, dark, passes bool // passes: others take the change's own offsets in and go on
		want                []error
	}{
		"landed":               {lands: true, want: []error{nil}},
		"landed, read later":   {lands: true, dark: true, want: []error{unknown, nil}},
		"lost":                 {want: []error{nil}},
		"lost, read later":     {dark: true, want: []error{unknown, nil}},
		"landed and passed":    {lands: true, passes: true, want: []error{unknown, fenced}},
		"lost and passed":      {passes: true, want: []error{unknown, fenced}},
		"passed, read later":   {dark: true, passes: true, want: []error{unknown, fenced}},
		"all of it, read late": {lands: true, dark: true, passes: true, want: []error{unknown, fenced}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, shape{version: 2})
			_, err := w.commit(t, w.open(t, committest.Options(3, "before")), step{partition: 1, rows: 1})
			require.NoError(t, err)
			cat := &scripted{Catalog: w.catalog}
			cat.answer = map[int]func(func() error) error{1: func(land func() error) error {
				other, from := w.open(t, committest.Options(2, "b")), commit.Offset(0)
				if c.lands {
					require.NoError(t, land())
					other, from = w.open(t, committest.Options(2, "b")), rows
				}
				if c.passes {
					for from < 2*rows {
						_, err := w.commit(t, other, step{from: from, rows: 1})
						require.NoError(t, err)
						from++
					}
				}
				_, err := w.commit(t, other, step{partition: 1, from: 1, rows: 1})
				require.NoError(t, err)
				w.expireAllButHead(t)
				cat.dark = c.dark
				return errors.New("lost")
			}}
			committer, err := commit.Open(t.Context(), cat, w.store, events, committest.Options(1, "a"))
			require.NoError(t, err)
			change, err := w.change(t.Context(), w.store, step{rows: rows})
			require.NoError(t, err)
			for _, want := range c.want {
				_, err = committer.Commit(t.Context(), change)
				require.ErrorIs(t, err, want)
				cat.dark = false
			}
			if err != nil {
				require.True(t, commit.IsFinal(err))
				require.ErrorContains(t, err, "keep its files")
			}
			report := w.check(t)
			require.Equal(t, committer.Position(), report.Ledger.Position)
			want := int64(2 + rows)
			if c.passes {
				want += rows
			}
			require.Equal(t, want, report.Rows)
		})
	}
}

func TestTableMadeAgainIsRefused(t *testing.T) {
	w := newWorld(t, shape{version: 2})
	c := w.open(t, committest.Options(1, "a"))
	_, err := w.commit(t, c, step{rows: 5})
	require.NoError(t, err)
	schema := iceberg.NewSchema(0, iceberg.NestedField{ID: 1, Name: "id", Type: iceberg.PrimitiveTypes.Int64})
	again, err := icetable.NewMetadata(schema, iceberg.UnpartitionedSpec, icetable.UnsortedSortOrder,
		"mem://lake/db.events", nil)
	require.NoError(t, err)
	require.NoError(t, w.catalog.Create(events, again))
	_, err = w.commit(t, c, step{from: 5, rows: 5})
	require.ErrorIs(t, err, table.ErrRefused)
	require.ErrorContains(t, err, "dropped and created again")
	require.ErrorIs(t, c.Refresh(t.Context()), table.ErrRefused)
}

func TestInvalidChangesAreRefused(t *testing.T) {
	w := newWorld(t, shape{version: 2})
	c := w.open(t, committest.Options(1, "a"))
	good, err := w.change(t.Context(), w.store, step{rows: 5, dead: 1})
	require.NoError(t, err)
	for name, spoil := range map[string]func(*commit.Change){
		"no id":             func(c *commit.Change) { c.ID = uuid.Nil },
		"no offsets":        func(c *commit.Change) { c.Ranges = nil },
		"file twice":        func(c *commit.Change) { c.Files = append(c.Files, c.Files[0]) },
		"rows without file": func(c *commit.Change) { c.Files = nil },
		"no dead letters":   func(c *commit.Change) { c.DeadLetters = nil },
		"file elsewhere":    func(c *commit.Change) { c.Files = c.DeadLetters },
		"counts too small": func(c *commit.Change) {
			c.Ranges = map[commit.TopicPartition]commit.Range{partition(0): {Next: 7,
				Counts: commit.Counts{Inserted: 5, DeadLetters: 1}}}
		},
		"negative count": func(c *commit.Change) {
			c.Ranges = map[commit.TopicPartition]commit.Range{partition(0): {Next: 6,
				Counts: commit.Counts{Inserted: 5, DeadLetters: 1, Filtered: 1, Absent: -1}}}
		},
		"unnamed topic": func(c *commit.Change) {
			c.Ranges = map[commit.TopicPartition]commit.Range{{Cluster: "c"}: c.Ranges[partition(0)]}
		},
	} {
		bad := good
		spoil(&bad)
		_, err := c.Commit(t.Context(), bad)
		require.ErrorIs(t, err, commit.ErrInvalid, name)
		require.True(t, commit.IsFinal(err))
	}
	_, err = c.Commit(t.Context(), good)
	require.NoError(t, err)
	require.EqualValues(t, 5, w.check(t).Rows)
	require.NoError(t, w.noOrphans(t))
}

// BenchmarkCommit is one commit of one file in a table's steady state, without disk.
func BenchmarkCommit(b *testing.B) {
	w := newWorld(b, shape{version: 2})
	c := w.open(b, committest.Options(1, "a"))
	from := commit.Offset(0)
	for b.Loop() {
		change, err := w.change(b.Context(), w.store, step{from: from, rows: 5})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := c.Commit(b.Context(), change); err != nil {
			b.Fatal(err)
		}
		from += 5
	}
}
