package catalogtest

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/catalog"
	"github.com/firthlake/firth/table"
)

// TestStore checks that the stores open returns behave as catalog.Store says. Each call of open must
// return an empty store.
func TestStore(t *testing.T, open func(*testing.T) catalog.Store) {
	for _, c := range []struct {
		name string
		run  func(*testing.T, catalog.Store)
	}{
		{"NamespacesNestAndList", namespacesNestAndList},
		{"NamespacePropertiesAreSwapped", propertiesAreSwapped},
		{"NamespaceInUseIsKept", namespaceInUseIsKept},
		{"EntriesAreListedByKind", entriesAreListedByKind},
		{"EntryNamesAreUnique", entryNamesAreUnique},
		{"LocationsNeverOverlap", locationsNeverOverlap},
		{"SwapNeedsWhatWasRead", swapNeedsWhatWasRead},
		{"SwapOfSeveralIsAllOrNothing", swapOfSeveralIsAllOrNothing},
		{"OneOfManySwapsWins", oneOfManySwapsWins},
		{"CrossingTransactionsDoNotDeadlock", crossingTransactionsDoNotDeadlock},
		{"RenameMovesAndChecks", renameMovesAndChecks},
		{"DropChecksWhatWasRead", dropChecksWhatWasRead},
		{"AnswersAreKeptOnce", answersAreKeptOnce},
		{"NamesAreComparedByByte", namesAreComparedByByte},
		{"PagesTileTheListing", pagesTileTheListing},
		{"ProcessesAreListedUntilTheyAreForgotten", processesAreListed},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, open(t)) })
	}
}

func entry(kind catalog.Object, ident ...string) catalog.Entry {
	location := "/wh"
	for _, level := range ident {
		location += "/" + level
	}
	return catalog.Entry{
		Ident: ident, Kind: kind, Location: location + "/", MetadataLocation: location + "/metadata/0",
	}
}

func mustApply(t *testing.T, store catalog.Store, ops ...catalog.Op) {
	t.Helper()
	require.NoError(t, store.Apply(t.Context(), ops...))
}

func withNamespace(t *testing.T, store catalog.Store, entries ...catalog.Entry) {
	t.Helper()
	ops := []catalog.Op{catalog.CreateNamespace{Name: catalog.Namespace{"db"}}}
	for _, e := range entries {
		ops = append(ops, catalog.CreateEntry{Entry: e})
	}
	mustApply(t, store, ops...)
}

func namespacesNestAndList(t *testing.T, store catalog.Store) {
	ctx := t.Context()
	err := store.Apply(ctx, catalog.CreateNamespace{Name: catalog.Namespace{"a", "b"}})
	require.ErrorIs(t, err, table.ErrNotFound, "the parent is missing")
	mustApply(t, store,
		catalog.CreateNamespace{Name: catalog.Namespace{"a"}, Properties: map[string]string{"k": "v"}},
		catalog.CreateNamespace{Name: catalog.Namespace{"a", "b"}},
		catalog.CreateNamespace{Name: catalog.Namespace{"a", "b", "c"}},
		catalog.CreateNamespace{Name: catalog.Namespace{"a.b"}})
	err = store.Apply(ctx, catalog.CreateNamespace{Name: catalog.Namespace{"a"}})
	require.ErrorIs(t, err, table.ErrExists)

	found, err := store.Namespace(ctx, catalog.Namespace{"a"})
	require.NoError(t, err)
	require.Equal(t, map[string]string{"k": "v"}, found.Properties)
	_, err = store.Namespace(ctx, catalog.Namespace{"b"})
	require.ErrorIs(t, err, table.ErrNotFound)

	root, err := store.Namespaces(ctx, nil, catalog.Page{})
	require.NoError(t, err)
	require.Equal(t, []catalog.Namespace{{"a"}, {"a.b"}}, root)
	inner, err := store.Namespaces(ctx, catalog.Namespace{"a"}, catalog.Page{})
	require.NoError(t, err)
	require.Equal(t, []catalog.Namespace{{"a", "b"}}, inner)
}

func propertiesAreSwapped(t *testing.T, store catalog.Store) {
	ctx := t.Context()
	withNamespace(t, store)
	read, err := store.Namespace(ctx, catalog.Namespace{"db"})
	require.NoError(t, err)
	set := catalog.SetProperties{
		Name: read.Name, Revision: read.Revision, Properties: map[string]string{"owner": "ü\n'\""},
	}
	mustApply(t, store, set)
	require.ErrorIs(t, store.Apply(ctx, set), table.ErrConflict, "a second change of the same revision")
	read, err = store.Namespace(ctx, catalog.Namespace{"db"})
	require.NoError(t, err)
	require.Equal(t, set.Properties, read.Properties)
	set.Name = catalog.Namespace{"gone"}
	require.ErrorIs(t, store.Apply(ctx, set), table.ErrNotFound)
}

func namespaceInUseIsKept(t *testing.T, store catalog.Store) {
	ctx := t.Context()
	withNamespace(t, store, entry(catalog.ObjectTable, "db", "t"))
	drop := catalog.DropNamespace{Name: catalog.Namespace{"db"}}
	err := store.Apply(ctx, drop)
	require.ErrorIs(t, err, catalog.ErrNotEmpty)
	require.ErrorIs(t, err, table.ErrRefused)
	mustApply(t, store, catalog.DropEntry{Ident: table.Ident{"db", "t"}, Kind: catalog.ObjectTable},
		catalog.CreateNamespace{Name: catalog.Namespace{"db", "inner"}})
	require.ErrorIs(t, store.Apply(ctx, drop), catalog.ErrNotEmpty)
	mustApply(t, store, catalog.DropNamespace{Name: catalog.Namespace{"db", "inner"}}, drop)
	require.ErrorIs(t, store.Apply(ctx, drop), table.ErrNotFound)
}

func entriesAreListedByKind(t *testing.T, store catalog.Store) {
	ctx := t.Context()
	withNamespace(t, store, entry(catalog.ObjectTable, "db", "t2"), entry(catalog.ObjectTable, "db", "t1"),
		entry(catalog.ObjectView, "db", "v"))
	tables, err := store.Entries(ctx, catalog.Namespace{"db"}, catalog.ObjectTable, catalog.Page{})
	require.NoError(t, err)
	require.Equal(t, []table.Ident{{"db", "t1"}, {"db", "t2"}}, tables)
	views, err := store.Entries(ctx, catalog.Namespace{"db"}, catalog.ObjectView, catalog.Page{})
	require.NoError(t, err)
	require.Equal(t, []table.Ident{{"db", "v"}}, views)
	found, err := store.Entry(ctx, table.Ident{"db", "v"})
	require.NoError(t, err)
	require.Equal(t, entry(catalog.ObjectView, "db", "v"), found)
	_, err = store.Entry(ctx, table.Ident{"db", "x"})
	require.ErrorIs(t, err, table.ErrNotFound)
}

func entryNamesAreUnique(t *testing.T, store catalog.Store) {
	ctx := t.Context()
	withNamespace(t, store, entry(catalog.ObjectTable, "db", "t"))
	taken := entry(catalog.ObjectView, "db", "t")
	taken.Location = "/wh/other/"
	require.ErrorIs(t, store.Apply(ctx, catalog.CreateEntry{Entry: taken}), table.ErrExists)
	homeless := entry(catalog.ObjectTable, "gone", "t")
	require.ErrorIs(t, store.Apply(ctx, catalog.CreateEntry{Entry: homeless}), table.ErrNotFound)
}

func locationsNeverOverlap(t *testing.T, store catalog.Store) {
	ctx := t.Context()
	withNamespace(t, store, entry(catalog.ObjectTable, "db", "t"))
	for location, free := range map[string]bool{
		"/wh/db/t/": false, "/wh/db/t/data/": false, "/wh/db/": false, "/wh/": false,
		"/wh/db/t2/": true, "/wh/db/s/": true, "/wh/db/t /": true, "/wh/db/t%/": true,
	} {
		other := entry(catalog.ObjectTable, "db", "other")
		other.Location = location
		err := store.Apply(ctx, catalog.CreateEntry{Entry: other})
		if !free {
			require.ErrorIs(t, err, table.ErrRefused, location)
			continue
		}
		require.NoError(t, err, location)
		mustApply(t, store, catalog.DropEntry{Ident: other.Ident, Kind: other.Kind})
	}
	other := entry(catalog.ObjectTable, "db", "other")
	mustApply(t, store, catalog.CreateEntry{Entry: other})
	move := catalog.SwapEntry{Ident: other.Ident, Kind: other.Kind, From: other.MetadataLocation,
		To: "/wh/db/other/metadata/1", Location: "/wh/db/t/inner/"}
	require.ErrorIs(t, store.Apply(ctx, move), table.ErrRefused, "moving into another table")
	found, err := store.Entry(ctx, other.Ident)
	require.NoError(t, err)
	require.Equal(t, other, found, "the refused swap left a trace")
	move.Location = "/wh/db/other/inner/"
	mustApply(t, store, move)
}

func swapNeedsWhatWasRead(t *testing.T, store catalog.Store) {
	ctx := t.Context()
	e := entry(catalog.ObjectTable, "db", "t")
	withNamespace(t, store, e)
	swap := catalog.SwapEntry{Ident: e.Ident, Kind: e.Kind, From: e.MetadataLocation, To: "m1"}
	mustApply(t, store, swap)
	require.ErrorIs(t, store.Apply(ctx, swap), table.ErrConflict)
	found, err := store.Entry(ctx, e.Ident)
	require.NoError(t, err)
	require.Equal(t, "m1", found.MetadataLocation)
	require.Equal(t, e.Location, found.Location)
	swap.Kind = catalog.ObjectView
	require.ErrorIs(t, store.Apply(ctx, swap), table.ErrNotFound, "a table is no view")
	swap.Ident = table.Ident{"db", "gone"}
	require.ErrorIs(t, store.Apply(ctx, swap), table.ErrNotFound)
}

func swapOfSeveralIsAllOrNothing(t *testing.T, store catalog.Store) {
	ctx := t.Context()
	a, b := entry(catalog.ObjectTable, "db", "a"), entry(catalog.ObjectTable, "db", "b")
	withNamespace(t, store, a, b)
	good := catalog.SwapEntry{Ident: a.Ident, Kind: a.Kind, From: a.MetadataLocation, To: "a1"}
	stale := catalog.SwapEntry{Ident: b.Ident, Kind: b.Kind, From: "never", To: "b1"}
	fresh := catalog.CreateEntry{Entry: entry(catalog.ObjectTable, "db", "c")}
	require.ErrorIs(t, store.Apply(ctx, fresh, good, stale), table.ErrConflict)
	for _, e := range []catalog.Entry{a, b} {
		found, err := store.Entry(ctx, e.Ident)
		require.NoError(t, err)
		require.Equal(t, e, found)
	}
	_, err := store.Entry(ctx, fresh.Entry.Ident)
	require.ErrorIs(t, err, table.ErrNotFound)
	stale.From = b.MetadataLocation
	mustApply(t, store, good, stale, fresh)
}

func oneOfManySwapsWins(t *testing.T, store catalog.Store) {
	const writers, rounds = 8, 5
	ctx := t.Context()
	e := entry(catalog.ObjectTable, "db", "t")
	withNamespace(t, store, e)
	for round := range rounds {
		current, err := store.Entry(ctx, e.Ident)
		require.NoError(t, err)
		won := make([]bool, writers)
		var group sync.WaitGroup
		for writer := range writers {
			group.Go(func() {
				err := store.Apply(ctx, catalog.SwapEntry{Ident: e.Ident, Kind: e.Kind,
					From: current.MetadataLocation, To: fmt.Sprintf("m-%d-%d", round, writer)})
				won[writer] = err == nil
			})
		}
		group.Wait()
		winners, last := 0, -1
		for writer, w := range won {
			if w {
				winners, last = winners+1, writer
			}
		}
		require.Equal(t, 1, winners)
		found, err := store.Entry(ctx, e.Ident)
		require.NoError(t, err)
		require.Equal(t, fmt.Sprintf("m-%d-%d", round, last), found.MetadataLocation)
	}
}

func crossingTransactionsDoNotDeadlock(t *testing.T, store catalog.Store) {
	const rounds = 20
	ctx := t.Context()
	a, b := entry(catalog.ObjectTable, "db", "a"), entry(catalog.ObjectTable, "db", "b")
	withNamespace(t, store, a, b)
	swap := func(e catalog.Entry) catalog.Op {
		return catalog.SwapEntry{Ident: e.Ident, Kind: e.Kind, From: e.MetadataLocation, To: e.MetadataLocation}
	}
	var group sync.WaitGroup
	for _, ops := range [][]catalog.Op{{swap(a), swap(b)}, {swap(b), swap(a)}} {
		group.Go(func() {
			for range rounds {
				if err := store.Apply(ctx, ops...); err != nil {
					t.Errorf("crossing transaction: %v", err)
				}
			}
		})
	}
	group.Wait()
}

func renameMovesAndChecks(t *testing.T, store catalog.Store) {
	ctx := t.Context()
	a, b := entry(catalog.ObjectTable, "db", "a"), entry(catalog.ObjectTable, "db", "b")
	withNamespace(t, store, a, b)
	rename := func(from, to table.Ident) error {
		return store.Apply(ctx, catalog.RenameEntry{Kind: catalog.ObjectTable, From: from, To: to})
	}
	require.ErrorIs(t, rename(a.Ident, b.Ident), table.ErrExists)
	require.ErrorIs(t, rename(a.Ident, table.Ident{"gone", "a"}), table.ErrNotFound)
	require.ErrorIs(t, rename(table.Ident{"db", "x"}, table.Ident{"db", "y"}), table.ErrNotFound)
	mustApply(t, store, catalog.CreateNamespace{Name: catalog.Namespace{"other"}})
	require.NoError(t, rename(a.Ident, table.Ident{"other", "c"}))
	found, err := store.Entry(ctx, table.Ident{"other", "c"})
	require.NoError(t, err)
	require.Equal(t, a.MetadataLocation, found.MetadataLocation)
	_, err = store.Entry(ctx, a.Ident)
	require.ErrorIs(t, err, table.ErrNotFound)
}

func dropChecksWhatWasRead(t *testing.T, store catalog.Store) {
	e := entry(catalog.ObjectTable, "db", "t")
	withNamespace(t, store, e)
	drop := catalog.DropEntry{Ident: e.Ident, Kind: e.Kind, From: "another"}
	require.ErrorIs(t, store.Apply(t.Context(), drop), table.ErrConflict)
	drop.From = e.MetadataLocation
	mustApply(t, store, drop)
	require.ErrorIs(t, store.Apply(t.Context(), drop), table.ErrNotFound)
}

func answersAreKeptOnce(t *testing.T, store catalog.Store) {
	ctx := t.Context()
	now := time.UnixMilli(1_000_000)
	answer := catalog.Answer{Key: "k", Request: "r", Status: 409, ErrorType: "E", Message: "m",
		Expires: now.Add(time.Minute)}
	record := catalog.RecordAnswer{Answer: answer, Now: now}
	withNamespace(t, store)
	mustApply(t, store, record)
	found, err := store.Answer(ctx, "k")
	require.NoError(t, err)
	require.True(t, answer.Expires.Equal(found.Expires))
	found.Expires = answer.Expires
	require.Equal(t, answer, found)

	create := catalog.CreateEntry{Entry: entry(catalog.ObjectTable, "db", "t")}
	require.ErrorIs(t, store.Apply(ctx, create, record), catalog.ErrAnswered)
	_, err = store.Entry(ctx, create.Entry.Ident)
	require.ErrorIs(t, err, table.ErrNotFound, "the change must not outlive its refused answer")

	record.Now = now.Add(2 * time.Minute)
	record.Answer.Expires = now.Add(3 * time.Minute)
	mustApply(t, store, create, record)
	_, err = store.Answer(ctx, "other")
	require.ErrorIs(t, err, table.ErrNotFound)
}

func namesAreComparedByByte(t *testing.T, store catalog.Store) {
	names := []string{"A", "Z", "_", "a", "a b", "a.b", "a/b", "é", "日本"}
	withNamespace(t, store)
	for i, name := range names {
		e := entry(catalog.ObjectTable, "db", name)
		e.Location = fmt.Sprintf("/wh/%d/", i)
		mustApply(t, store, catalog.CreateEntry{Entry: e})
	}
	found, err := store.Entries(t.Context(), catalog.Namespace{"db"}, catalog.ObjectTable, catalog.Page{})
	require.NoError(t, err)
	require.Len(t, found, len(names))
	for i, ident := range found {
		require.Equal(t, names[i], ident[1])
	}
}

func pagesTileTheListing(t *testing.T, store catalog.Store) {
	ctx := t.Context()
	withNamespace(t, store)
	const all = 7
	for i := range all {
		mustApply(t, store, catalog.CreateNamespace{Name: catalog.Namespace{"db", fmt.Sprint("n", i)}},
			catalog.CreateEntry{Entry: entry(catalog.ObjectTable, "db", fmt.Sprint("t", i))})
	}
	for page, seen := (catalog.Page{Limit: 3}), 0; seen < all; {
		tables, err := store.Entries(ctx, catalog.Namespace{"db"}, catalog.ObjectTable, page)
		require.NoError(t, err)
		require.Len(t, tables, min(page.Limit, all-seen))
		for _, ident := range tables {
			require.Equal(t, fmt.Sprint("t", seen), ident[1])
			seen++
		}
		page.After = fmt.Sprint("t", seen-1)
	}
	for page, seen := (catalog.Page{Limit: 3}), 0; seen < all; {
		namespaces, err := store.Namespaces(ctx, catalog.Namespace{"db"}, page)
		require.NoError(t, err)
		require.Len(t, namespaces, min(page.Limit, all-seen))
		for _, name := range namespaces {
			require.Equal(t, catalog.Namespace{"db", fmt.Sprint("n", seen)}, name)
			seen++
		}
		page.After = fmt.Sprint("n", seen-1)
	}
}

func processesAreListed(t *testing.T, store catalog.Store) {
	at := func(name, address string, second int64) catalog.Process {
		return catalog.Process{Name: name, Address: address, Seen: time.Unix(second, 0)}
	}
	listed := func(want ...catalog.Process) {
		t.Helper()
		found, err := store.Processes(t.Context())
		require.NoError(t, err)
		require.Len(t, found, len(want))
		for i, p := range found {
			require.True(t, want[i].Seen.Equal(p.Seen))
			p.Seen = want[i].Seen
			require.Equal(t, want[i], p)
		}
	}
	listed()
	mustApply(t, store, catalog.Announce{Process: at("b", "http://b:1", 100), Forget: time.Unix(0, 0)})
	mustApply(t, store, catalog.Announce{Process: at("a", "http://a:1", 200), Forget: time.Unix(100, 0)})
	listed(at("a", "http://a:1", 200), at("b", "http://b:1", 100))
	mustApply(t, store, catalog.Announce{Process: at("a", "http://a:2", 300), Forget: time.Unix(101, 0)})
	listed(at("a", "http://a:2", 300))
	mustApply(t, store, catalog.Retire{Name: "b"}, catalog.Retire{Name: "a"})
	listed()
}
