package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/firthlake/firth/ingest/spec"
)

// planReport is what 'firth plan --json' prints.
type planReport struct {
	Tables  []spec.Plan `json:"tables"`
	Refused bool        `json:"refused"`
}

func (p *program) planCommand() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "plan [FILE...]",
		Short: "Show what the table specs would change",
		Long: "Compares the table specs (all of the configured folder, or the named files) with the tables as\n" +
			"they stand and shows what 'firth apply' would do: create, evolve, or refuse. Changes nothing." +
			exitCodes("the specs can be applied or agree", "a spec contradicts its table",
				"could not compare"),
		Example: example("firth plan", "firth plan tables/events.yaml",
			"firth plan --json | jq '.tables[].steps'"),
		RunE: func(cmd *cobra.Command, files []string) error {
			return p.planTables(cmd.Context(), dir, files)
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "", "folder that a demo made, instead of a configuration")
	return cmd
}

func (p *program) planTables(ctx context.Context, dir string, files []string) error {
	l, err := p.openLake(ctx, dir)
	if err != nil {
		return err
	}
	defer l.close()
	specs, err := readSpecs(l.config.Tables, files)
	if err != nil {
		return err
	}
	plans, err := planAll(ctx, p, l, specs)
	if err != nil {
		return err
	}
	report := planReport{Tables: []spec.Plan{}}
	for _, each := range plans {
		if each.plan.Steps == nil {
			each.plan.Steps = []spec.Step{}
		}
		report.Tables = append(report.Tables, each.plan)
		report.Refused = report.Refused || each.plan.Refused()
	}
	err = p.print(report, func(w io.Writer) error { return writePlans(w, report.Tables) })
	if err == nil && report.Refused {
		err = refused(plans)
	}
	return err
}

func writePlans(w io.Writer, plans []spec.Plan) error {
	for _, plan := range plans {
		if _, err := io.WriteString(w, plan.String()); err != nil {
			return err
		}
	}
	return nil
}

// refused is the error of plans that contradict their tables.
func refused(plans []planned) error {
	for _, each := range plans {
		if !each.plan.Refused() {
			continue
		}
		for _, step := range each.plan.Steps {
			if step.Kind == spec.StepRefuse {
				return fallsShort(fmt.Errorf("%s contradicts table %s: %s %s", each.spec.File(),
					each.spec.Name,
					step.Object, step.Text), step.Reason)
			}
		}
	}
	return nil
}
