package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/firthlake/firth/ingest/messageschema"
	"github.com/firthlake/firth/ingest/registry"
	"github.com/firthlake/firth/ingest/spec"
	"github.com/firthlake/firth/table"
)

// readSpecs reads the named spec files, or all of the folder when none is named. All faults of all
// files are reported together.
func readSpecs(folder string, files []string) ([]*spec.Spec, error) {
	if len(files) == 0 {
		var err error
		if files, err = specFiles(folder); err != nil {
			return nil, err
		}
	}
	var specs []*spec.Spec
	var faults []error
	names := map[string]string{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			faults = append(faults, fmt.Errorf("read spec: %w", err))
			continue
		}
		s, err := spec.Parse(file, text)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		if other, ok := names[s.Name]; ok {
			faults = append(faults, fmt.Errorf("%s: table %s is specified in %s already; remove one of them",
				file, s.Name, other))
		}
		names[s.Name] = file
		specs = append(specs, s)
	}
	faults = append(faults, changelogClashes(specs, names)...)
	return specs, errors.Join(faults...)
}

// specFiles lists the YAML files of a folder in order.
func specFiles(folder string) ([]string, error) {
	entries, err := os.ReadDir(folder)
	if errors.Is(err, os.ErrNotExist) {
		return nil, couldNot(fmt.Errorf("there is no folder of table specs %s", folder),
			"make it, or set tables: in firth.yaml; 'firth infer TOPIC' writes a first spec")
	}
	if err != nil {
		return nil, fmt.Errorf("list specs: %w", err)
	}
	var files []string
	for _, e := range entries {
		if ext := filepath.Ext(e.Name()); !e.IsDir() && (ext == ".yaml" || ext == ".yml") {
			files = append(files, filepath.Join(folder, e.Name()))
		}
	}
	slices.Sort(files)
	if len(files) == 0 {
		return nil, couldNot(fmt.Errorf("folder %s holds no table spec", folder),
			"'firth infer TOPIC > "+filepath.Join(folder, "TOPIC.yaml")+"' writes a first one")
	}
	return files, nil
}

// withColumns gives a spec that names a registry subject the columns of its newest schema.
func withColumns(ctx context.Context, client *registry.Client, s *spec.Spec) (*spec.Spec, error) {
	if s.Schema.Subject == "" {
		return s, nil
	}
	if client == nil {
		return nil, couldNot(fmt.Errorf("%s: schema.subject is set and no registry is configured", s.File()),
			"set registry.urls in firth.yaml")
	}
	schema, err := client.Latest(ctx, s.Schema.Subject)
	if err != nil {
		return nil, fmt.Errorf("%s: read subject %s: %w", s.File(), s.Schema.Subject, err)
	}
	columns, err := columnsOf(ctx, schema, messageschema.Options{Nanoseconds: s.Format == 3})
	if err != nil {
		return nil, fmt.Errorf("%s: subject %s: %w", s.File(), s.Schema.Subject, err)
	}
	return s.WithColumns(specColumns(columns))
}

// specColumns writes columns as a spec does.
func specColumns(columns messageschema.Columns) []spec.Column {
	out := make([]spec.Column, 0, len(columns.Fields))
	for _, f := range columns.Fields {
		out = append(out, spec.Column{Name: f.Name, Type: spec.FormatType(f.Type), Required: f.Required,
			Doc: f.Doc})
	}
	return out
}

// planned is a spec with its plan against the table as it stands.
type planned struct {
	spec  *spec.Spec
	table *table.Table // nil when it does not exist
	plan  spec.Plan
}

func specsOf(plans []planned) []*spec.Spec {
	out := make([]*spec.Spec, len(plans))
	for i, each := range plans {
		out[i] = each.spec
	}
	return out
}

// tablesOf returns the tables of plans by name.
func tablesOf(plans []planned) map[string]*table.Table {
	out := make(map[string]*table.Table, len(plans))
	for _, each := range plans {
		out[each.spec.Name] = each.table
	}
	return out
}

// planAll compares specs with their tables.
func planAll(ctx context.Context, p *program, l *lake, specs []*spec.Spec) ([]planned, error) {
	client, err := p.openRegistry(l.config)
	if err != nil {
		return nil, err
	}
	if client != nil {
		defer client.Close()
	}
	tables, err := atOnce(ctx, specs, func(ctx context.Context, s *spec.Spec) (*table.Table, error) {
		current, err := l.catalog.LoadTable(ctx, s.Ident())
		if errors.Is(err, table.ErrNotFound) {
			return nil, nil
		}
		return current, err
	})
	if err != nil {
		return nil, err
	}
	var out []planned
	for i, s := range specs {
		current := tables[i]
		if s, err = withColumns(ctx, client, s); err != nil {
			return nil, err
		}
		if err := checkTransforms(ctx, s); err != nil {
			return nil, err
		}
		plan, err := spec.Diff(s, current)
		if err != nil {
			return nil, couldNot(fmt.Errorf("%s: %w", s.File(), err), "")
		}
		out = append(out, planned{spec: s, table: current, plan: plan})
	}
	return out, nil
}

// loadsMax is how many tables are loaded at the same time: a start waits for the object store, whose
// answers take some 20 ms, and holds the metadata of as many tables.
const loadsMax = 16

// atOnce asks for each spec at the same time as for others, and returns the answers in the order of the
// specs.
func atOnce[T any](ctx context.Context, specs []*spec.Spec, ask func(context.Context, *spec.Spec) (T, error),
) ([]T, error) {
	out := make([]T, len(specs))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(loadsMax)
	for i, s := range specs {
		group.Go(func() error {
			var err error
			out[i], err = ask(ctx, s)
			return err
		})
	}
	return out, group.Wait()
}
