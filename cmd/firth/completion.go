package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func (p *program) completionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "completion SHELL",
		Short: "Print a completion script for bash, zsh, fish or powershell",
		Long: "Prints a script that makes the shell complete commands and flags of firth." +
			exitCodes("printed", "never", "unknown shell"),
		Example: example("firth completion bash > /etc/bash_completion.d/firth",
			"firth completion zsh > \"${fpath[1]}/_firth\"",
			"firth completion fish > ~/.config/fish/completions/firth.fish"),
		Args:      exactly("SHELL"),
		ValidArgs: []string{"bash", "zsh", "fish", "powershell"},
		RunE: func(cmd *cobra.Command, args []string) error {
			root := cmd.Root()
			switch args[0] {
			case "bash":
				return root.GenBashCompletionV2(p.stdout, true)
			case "zsh":
				return root.GenZshCompletion(p.stdout)
			case "fish":
				return root.GenFishCompletion(p.stdout, true)
			case "powershell":
				return root.GenPowerShellCompletionWithDesc(p.stdout)
			}
			return couldNot(fmt.Errorf("there is no completion for %q", args[0]),
				"write bash, zsh, fish or powershell")
		},
	}
}
