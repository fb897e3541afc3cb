package main

import (
	"errors"

	"github.com/spf13/cobra"
)

func (p *program) runCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "run",
		Short:   "Run the service: catalog and ingest",
		Long:    "Runs." + exitCodes("stopped as asked", "stopped by a fault", "could not start"),
		Example: example("firth run", "firth run -c /etc/firth/firth.yaml --roles catalog"),
		Args:    exactly(),
		RunE:    func(*cobra.Command, []string) error { return couldNot(errors.New("not built"), "") },
	}
}
