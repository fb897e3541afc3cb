package main

import "github.com/spf13/cobra"

func (p *program) benchCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure ingest and commits on this machine",
		Long: "Measures firth on this machine with the embedded broker and a local store." +
			exitCodes("measured", "never", "could not measure"),
		Example: example("firth bench ingest --rows 5000000 --json", "firth bench commit --commits 5000 --json"),
		Args:    exactly(),
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	return cmd
}
