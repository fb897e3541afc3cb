package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"strconv"
	"strings"

	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"
	"github.com/spf13/cobra"

	"github.com/firthlake/firth/catalog"
	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/ingest/spec"
	"github.com/firthlake/firth/table"
)

// applyReport is what 'firth apply --json' prints.
type applyReport struct {
	Tables []appliedTable `json:"tables"`
	// Running is the process of the configuration, which is told; missing with --dir.
	Running *runningProcess `json:"running,omitempty"`
}

// appliedTable is one table and what was done to it.
type appliedTable struct {
	Table   string      `json:"table"`
	Outcome string      `json:"outcome"` // created, evolved, unchanged
	Steps   []spec.Step `json:"steps"`
}

func (p *program) applyCommand() *cobra.Command {
	var dir string
	var yes bool
	cmd := &cobra.Command{
		Use:   "apply [FILE...]",
		Short: "Make the tables what their specs say",
		Long: "Creates and evolves tables as 'firth plan' shows, after a question. Nothing is done while any spec\n" +
			"contradicts its table. A running 'firth run' takes new and changed specs without a restart: the one\n" +
			"at listen.admin of the configuration is told, others look every 2 s." +
			exitCodes("done, or nothing to do", "a spec contradicts its table, or the answer was no",
				"could not apply"),
		Example: example("firth apply", "firth apply --yes tables/events.yaml"),
		RunE: func(cmd *cobra.Command, files []string) error {
			return p.applyTables(cmd.Context(), applyOptions{dir: dir, files: files, yes: yes})
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "", "folder that a demo made, instead of a configuration")
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return cmd
}

// applyOptions are the flags of apply.
type applyOptions struct {
	dir   string
	files []string
	yes   bool
}

func (p *program) applyTables(ctx context.Context, o applyOptions) error {
	l, err := p.openLake(ctx, o.dir)
	if err != nil {
		return err
	}
	defer l.close()
	specs, err := readSpecs(l.config.Tables, o.files)
	if err != nil {
		return err
	}
	plans, err := planAll(ctx, p, l, specs)
	if err != nil {
		return err
	}
	steps := 0
	for _, each := range plans {
		steps += len(each.plan.Steps)
		if !p.json {
			fmt.Fprint(p.stdout, each.plan)
		}
	}
	if err := refused(plans); err != nil {
		return err
	}
	if steps > 0 && !o.yes {
		if err := p.confirm("Do this?"); err != nil {
			return err
		}
	}
	report := applyReport{Tables: []appliedTable{}}
	for _, each := range plans {
		done, err := p.apply(ctx, l, each)
		if err != nil {
			return err
		}
		report.Tables = append(report.Tables, done)
	}
	if o.dir == "" {
		running := tellRunning(ctx, l.config)
		report.Running = &running
	}
	return p.print(report, func(w io.Writer) error {
		for _, t := range report.Tables {
			fmt.Fprintf(w, "%s: %s\n", t.Table, t.Outcome)
		}
		if report.Running != nil {
			fmt.Fprintln(w, report.Running.Text)
		}
		return nil
	})
}

// confirm asks on stderr and reads the answer from stdin.
func (p *program) confirm(question string) error {
	fmt.Fprintf(p.stderr, "%s [y/N] ", question)
	answer, err := bufio.NewReader(p.stdin).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read answer: %w", err)
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	return fallsShort(errors.New("nothing was changed: the answer was not yes"), "answer y, or give --yes")
}

// apply carries out one plan.
func (p *program) apply(ctx context.Context, l *lake, each planned) (appliedTable, error) {
	done := appliedTable{Table: each.spec.Name, Outcome: "unchanged", Steps: each.plan.Steps}
	if len(each.plan.Steps) == 0 {
		done.Steps = []spec.Step{}
		return done, nil
	}
	var err error
	if done.Outcome = "evolved"; each.plan.Creates() {
		done.Outcome = "created"
		_, err = l.create(ctx, each.spec)
	} else {
		err = p.evolve(ctx, l, each)
	}
	if err == nil {
		_, err = l.changelogTable(ctx, each.spec)
	}
	return done, err
}

// create makes the table of a spec, and its namespaces.
func (l *lake) create(ctx context.Context, s *spec.Spec) (*table.Table, error) {
	wanted, err := tableSpec(s)
	if err != nil {
		return nil, err
	}
	return l.createIn(ctx, s.Ident(), wanted)
}

// createIn makes a table and its namespaces.
func (l *lake) createIn(ctx context.Context, ident table.Ident, wanted catalog.TableSpec) (*table.Table, error) {
	for depth := 1; depth < len(ident); depth++ {
		err := l.catalog.CreateNamespace(ctx, catalog.Namespace(ident[:depth]), nil)
		if err != nil && !errors.Is(err, table.ErrExists) {
			return nil, err
		}
	}
	return l.catalog.CreateTable(ctx, ident, wanted)
}

// tableSpec is what the catalog is asked to create.
func tableSpec(s *spec.Spec) (catalog.TableSpec, error) {
	schema, err := s.TableSchema()
	if err != nil {
		return catalog.TableSpec{}, err
	}
	partition, err := s.PartitionSpec(schema)
	if err != nil {
		return catalog.TableSpec{}, err
	}
	order, err := s.SortOrder(schema)
	if err != nil {
		return catalog.TableSpec{}, err
	}
	properties := iceberg.Properties{"format-version": strconv.Itoa(s.Version())}
	maps.Copy(properties, s.TableProperties())
	return catalog.TableSpec{Schema: schema, PartitionSpec: &partition, SortOrder: &order,
		Properties: properties}, nil
}

// evolve carries out a plan through the committer, which makes it again when somebody else changed the
// table meanwhile.
func (p *program) evolve(ctx context.Context, l *lake, each planned) error {
	ident := each.spec.Ident()
	committer, err := commit.Open(ctx, l.catalog, l.objects, ident, p.commitOptions())
	if err != nil {
		return err
	}
	_, err = committer.Evolve(ctx, func(meta icetable.Metadata) ([]icetable.Update, error) {
		plan, err := spec.Diff(each.spec, table.New(ident, meta, ""))
		if err != nil {
			return nil, err
		}
		if plan.Refused() {
			return nil, refused([]planned{{spec: each.spec, plan: plan}})
		}
		return plan.Updates(each.spec, meta)
	})
	return err
}
