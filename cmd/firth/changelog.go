package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"
	"github.com/google/uuid"

	"github.com/firthlake/firth/catalog"
	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/ingest/changelog"
	"github.com/firthlake/firth/ingest/spec"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/changes"
)

// changelogClashes are changelogs that have the name of another table of the specs; names are files by tables.
func changelogClashes(specs []*spec.Spec, names map[string]string) (faults []error) {
	for _, s := range specs {
		name := s.ChangelogName()
		if name == "" {
			continue
		}
		if other, taken := names[name]; taken {
			faults = append(faults, fmt.Errorf("%s: changelog: table %s is specified in %s already; write another name",
				s.File(), name, other))
			continue
		}
		names[name] = s.File()
	}
	return faults
}

// withChangelogs are specs and, as specs that keep as many snapshots, their changelogs.
func withChangelogs(specs []*spec.Spec) []*spec.Spec {
	out := slices.Clone(specs)
	for _, s := range specs {
		if s.ChangelogName() == "" {
			continue
		}
		changelog := spec.Default()
		changelog.Name = s.ChangelogName()
		changelog.Retention.Snapshots, changelog.Retention.Orphans = s.Retention.Snapshots, s.Retention.Orphans
		out = append(out, &changelog)
	}
	return out
}

// changelogTable makes the table for the changes of a table when it is not there; nil when the spec wants none.
func (l *lake) changelogTable(ctx context.Context, s *spec.Spec) (*table.Table, error) {
	if s.ChangelogName() == "" {
		return nil, nil
	}
	ident, err := table.ParseIdent(s.ChangelogName())
	if err != nil {
		return nil, err
	}
	t, err := l.catalog.LoadTable(ctx, ident)
	if errors.Is(err, table.ErrNotFound) {
		partition := changes.Spec()
		t, err = l.createIn(ctx, ident, catalog.TableSpec{Schema: changes.Begin(), PartitionSpec: &partition,
			Properties: iceberg.Properties{"format-version": strconv.Itoa(s.Version()),
				commit.PropertyChangelogOf: s.Name}})
		if errors.Is(err, table.ErrExists) { // another process was faster
			t, err = l.catalog.LoadTable(ctx, ident)
		}
	}
	if err != nil {
		return nil, err
	}
	if of := t.Metadata().Properties()[commit.PropertyChangelogOf]; of != s.Name {
		return nil, couldNot(fmt.Errorf("%s: table %s is not the changelog of %s", s.File(), t, s.Name),
			"write changelog: namespace.other, or drop the table")
	}
	return t, nil
}

// changelogCommitter opens the changelog of a spec, nil when it has none, and makes it when it is not there.
func (f *feeder) changelogCommitter(ctx context.Context, s *spec.Spec) (*commit.Committer, error) {
	t, err := f.lake.changelogTable(ctx, s)
	if err != nil || t == nil {
		return nil, err
	}
	changelog := withChangelogs([]*spec.Spec{s})[1]
	return f.committer(ctx, changelog, t)
}

// follow makes the followers of the tables that have a changelog, whose committers it adds.
func (f *feeder) follow(ctx context.Context, out *feed, specs []*spec.Spec) error {
	targets, err := atOnce(ctx, specs, f.changelogCommitter)
	if err != nil {
		return err
	}
	for i, s := range specs {
		target := targets[i]
		if target == nil {
			continue
		}
		source := out.committers[s.Name]
		_, err := target.Evolve(ctx, func(meta icetable.Metadata) ([]icetable.Update, error) {
			return changelog.Evolution(meta, source.Table().Metadata().CurrentSchema())
		})
		if err != nil {
			return fmt.Errorf("%s: %w", s.File(), err)
		}
		follower, err := changelog.New(changelog.Options{Source: source, Target: target, Store: f.lake.objects,
			NewID: uuid.New, Now: f.program.now, Sleep: sleep, Memory: f.budget, SpillDir: f.spillDir,
			Parquet: table.ParquetOptions{Profile: encodingsFor(s.ReaderProfile)}, WriterMetrics: f.writerMetrics,
			Log: f.log, Metrics: f.changeMetrics})
		if err != nil {
			return err
		}
		out.committers[s.ChangelogName()] = target
		out.followers = append(out.followers, follower)
	}
	return nil
}
