package catalog_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/catalog"
	"github.com/firthlake/firth/table"
)

func TestLocationsStayInside(t *testing.T) {
	ctx := t.Context()
	f := newFixture(t)
	opts := options()
	opts.AllowedLocations = []string{"file:/tmp/extra", "s3://bucket/shared"}
	c := catalog.New(f.store, f.objects, opts)
	for location, allowed := range map[string]bool{
		warehouse + "/x": true, warehouse + "/x/": true, warehouse: false, warehouse + "x": false,
		warehouse + "/../y": false, warehouse + "/a//b": false, warehouse + "/a/./b": false,
		warehouse + "/%2e%2e/y": false, warehouse + "/a%2Fb": false, warehouse + "/a\x00b": false,
		warehouse + "/a?b": false, warehouse + `/a\b`: false, "relative/x": false,
		"mem://other/x": false, "mem://wh/mainland": false, "/etc/x": false, "http://host/x": false,
		"/tmp/extra": false, "/tmp/extras/x": false, "s3://bucket/sharedx": false, "s3://bucket": false,
	} {
		_, err := c.StageTable(ctx, events, catalog.TableSpec{Schema: schema, Location: location})
		if allowed {
			require.NoError(t, err, "%q", location)
		} else {
			require.ErrorIs(t, err, table.ErrRefused, "%q", location)
		}
	}
	for _, same := range []string{
		"/tmp/extra/t", "file:///tmp/extra/t", "file:/tmp/extra/t/", "s3a://bucket/shared/t",
	} {
		_, err := c.StageTable(ctx, events, catalog.TableSpec{Schema: schema, Location: same})
		require.NoError(t, err, same)
	}
}

func TestSpellingsOfOneLocationOverlap(t *testing.T) {
	ctx := t.Context()
	f := newFixture(t)
	_, err := f.CreateTable(ctx, events, catalog.TableSpec{Schema: schema, Location: warehouse + "/here"})
	require.NoError(t, err)
	before := f.files(t, warehouse)
	for _, location := range []string{warehouse + "/here", warehouse + "/here/", warehouse + "/here/data"} {
		_, err = f.CreateTable(ctx, table.Ident{"db", "other"}, catalog.TableSpec{Schema: schema, Location: location})
		require.ErrorIs(t, err, table.ErrRefused, location)
		require.ErrorContains(t, err, "db.events")
	}
	require.Equal(t, before, f.files(t, warehouse))
}

func TestNewTableNeverMeetsOldFiles(t *testing.T) {
	ctx := t.Context()
	f := newFixture(t)
	first, err := f.CreateTable(ctx, events, catalog.TableSpec{Schema: schema})
	require.NoError(t, err)
	require.NoError(t, f.RenameTable(ctx, events, table.Ident{"db", "renamed"}))
	second, err := f.CreateTable(ctx, events, catalog.TableSpec{Schema: schema})
	require.NoError(t, err)
	require.NoError(t, f.DropTable(ctx, events))
	third, err := f.CreateTable(ctx, events, catalog.TableSpec{Schema: schema})
	require.NoError(t, err)
	locations := map[string]bool{}
	for _, made := range []*table.Table{first, second, third} {
		locations[made.Metadata().Location()] = true
	}
	require.Len(t, locations, 3)
}

func TestNamespacesAreMadeOnlyWhenAllowed(t *testing.T) {
	ctx := t.Context()
	f := newFixture(t)
	ident := table.Ident{"new", "inner", "t"}
	_, err := f.CreateTable(ctx, ident, catalog.TableSpec{Schema: schema})
	require.ErrorIs(t, err, table.ErrNotFound)
	opts := options()
	opts.MakeNamespaces = true
	c := catalog.New(f.store, f.objects, opts)
	for _, name := range []string{"t", "u"} {
		ident[2] = name
		_, err = c.CreateTable(ctx, ident, catalog.TableSpec{Schema: schema})
		require.NoError(t, err)
	}
	_, err = f.LoadNamespace(ctx, catalog.Namespace{"new", "inner"})
	require.NoError(t, err)
}

func TestPurgeKeepsWhatMustStay(t *testing.T) {
	ctx := t.Context()
	f := newFixture(t)
	_, err := f.CreateTable(ctx, events, catalog.TableSpec{
		Schema: schema, Properties: map[string]string{"gc.enabled": "false"}})
	require.NoError(t, err)
	require.ErrorIs(t, f.PurgeTable(ctx, events), table.ErrRefused)
	require.NoError(t, f.DropTable(ctx, events))
	require.Len(t, f.files(t, warehouse), 1)
}

func TestNamesThatCouldClimbAreRefused(t *testing.T) {
	f := newFixture(t)
	for _, level := range []string{"", ".", "..", "../a", "a/../b", `a\..`, "/a", "a/", "a\nb", "%2e%2e", "a%2Fb",
		"\xff", string(make([]byte, 300))} {
		require.ErrorIs(t, f.CreateNamespace(t.Context(), catalog.Namespace{level}, nil), table.ErrRefused, "%q", level)
		_, err := f.CreateTable(t.Context(), table.Ident{"db", level}, catalog.TableSpec{Schema: schema})
		require.ErrorIs(t, err, table.ErrRefused, "%q", level)
	}
	for _, level := range []string{"a.b", "a/b", "...", "日本", "a b", "A-1_2", "100%"} {
		require.NoError(t, f.CreateNamespace(t.Context(), catalog.Namespace{level}, nil), "%q", level)
	}
}
