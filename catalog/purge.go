package catalog

import (
	"context"
	"fmt"

	icetable "github.com/apache/iceberg-go/table"

	"github.com/firthlake/firth/table"
)

// PurgeTable drops a table and removes its files: those that its metadata refers to and that lie under
// its location. A table with the property gc.enabled=false is refused, because others may read its
// files. The files go after the name is gone; what cannot be removed stays as orphans.
func (c *Catalog) PurgeTable(ctx context.Context, ident table.Ident) error {
	if err := c.purge(ctx, ident); err != nil {
		return fmt.Errorf("purge %s: %w", table.FormatIdent(ident), err)
	}
	return nil
}

func (c *Catalog) purge(ctx context.Context, ident table.Ident) error {
	entry, err := c.entry(ctx, ObjectTable, ident)
	if err != nil {
		return err
	}
	v, err := c.readVersion(ctx, entry.MetadataLocation)
	if err != nil {
		return unchanged("read the table to purge", err)
	}
	if !v.metadata.Properties().GetBool("gc.enabled", true) {
		return refused("table %s has gc.enabled=false: drop it without purge", table.FormatIdent(ident))
	}
	drop := DropEntry{Ident: ident, Kind: ObjectTable, From: entry.MetadataLocation}
	if err := c.store.Apply(ctx, drop); err != nil {
		return err
	}
	// A manifest that cannot be read hides the files it names: they stay as orphans.
	files, _ := c.referencedFiles(ctx, v)
	c.removeFiles(ctx, files...)
	return nil
}

// referencedFiles are all files of a table that lie under its location, with what could be found of
// them when an error comes too.
func (c *Catalog) referencedFiles(ctx context.Context, v *version) ([]string, error) {
	seen := map[string]bool{}
	var files []string
	add := func(file string) {
		if !seen[file] && locationFault(file) == "" && checkInside(file, v.metadata.Location()) == nil {
			seen[file] = true
			files = append(files, file)
		}
	}
	var firstErr error
	for _, snapshot := range v.metadata.Snapshots() {
		if err := c.addSnapshotFiles(ctx, snapshot, seen, add); err != nil && firstErr == nil {
			firstErr = err
		}
	}
	for statistics := range v.metadata.Statistics() {
		add(statistics.StatisticsPath)
	}
	for statistics := range v.metadata.PartitionStatistics() {
		add(statistics.StatisticsPath)
	}
	for entry := range v.metadata.PreviousFiles() {
		add(entry.MetadataFile)
	}
	add(v.location)
	return files, firstErr
}

func (c *Catalog) addSnapshotFiles(
	ctx context.Context, snapshot icetable.Snapshot, seen map[string]bool, add func(string),
) error {
	files := table.FileIO(ctx, c.objects)
	manifests, err := snapshot.Manifests(files)
	if err != nil {
		return fmt.Errorf("read manifest list %s: %w", snapshot.ManifestList, err)
	}
	for _, manifest := range manifests {
		if seen[manifest.FilePath()] {
			continue
		}
		for entry, err := range manifest.Entries(files, false) {
			if err != nil {
				return fmt.Errorf("read manifest %s: %w", manifest.FilePath(), err)
			}
			add(entry.DataFile().FilePath())
		}
		add(manifest.FilePath())
	}
	add(snapshot.ManifestList)
	return nil
}
