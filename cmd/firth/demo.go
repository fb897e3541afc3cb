package main

import (
	"errors"

	"github.com/spf13/cobra"
)

func (p *program) demoCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "demo",
		Short:   "Run everything in one process on generated events",
		Long:    "Runs." + exitCodes("stopped as asked", "not proven", "could not start"),
		Example: example("firth demo", "firth demo --rows 1000000 --once --json"),
		Args:    exactly(),
		RunE:    func(*cobra.Command, []string) error { return couldNot(errors.New("not built"), "") },
	}
}
