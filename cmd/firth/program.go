package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// program is what all commands share: streams, clock, environment, and the flags of every command.
type program struct {
	self           string // how this program was called, for hints
	stdin          io.Reader
	stdout, stderr io.Writer
	terminal       bool // stderr is one, so progress may overwrite its line
	getenv         func(string) (string, bool)
	now            func() time.Time

	json       bool
	configPath string
	logLevel   string
}

// run carries out one command line and returns the exit code.
func (p *program) run(ctx context.Context, args []string) int {
	root := p.root()
	root.SetArgs(args)
	root.SetIn(p.stdin)
	root.SetOut(p.stdout)
	root.SetErr(p.stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	// A wrong flag ends the parsing before a --json behind it.
	p.json = p.json || slices.Contains(args, "--json")
	return p.report(err)
}

// root builds the tree of commands.
func (p *program) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "firth",
		Short: "Kafka topics as Iceberg tables, exactly once, with the proof in the table",
		Long: "firth turns Kafka topics into Apache Iceberg tables, exactly once, and each table carries\n" +
			"the proof. It is broker client, writer, committer and Iceberg REST catalog in one binary.",
		Example:       example("firth demo", "firth run -c firth.yaml", "firth verify db.events --deep"),
		SilenceErrors: true,
		SilenceUsage:  true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return couldNot(fmt.Errorf("there is no command %q", args[0]), "'firth --help' lists them")
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	flags := root.PersistentFlags()
	flags.BoolVar(&p.json, "json", false, "print one JSON value on standard output, and errors as JSON")
	flags.StringVarP(&p.configPath, "config", "c", "", "configuration file (default firth.yaml)")
	flags.StringVar(&p.logLevel, "log", "",
		"log level: debug, info, warn, error (default info for run, warn else)")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return couldNot(err, "see 'firth "+commandName(cmd)+" --help'")
	})
	root.CompletionOptions.DisableDefaultCmd = true
	root.AddCommand(
		p.demoCommand(), p.runCommand(),
		p.topicsCommand(), p.inferCommand(), p.testCommand(), p.planCommand(), p.applyCommand(),
		p.tablesCommand(), p.describeCommand(), p.readCommand(), p.getCommand(), p.sqlCommand(),
		p.verifyCommand(), p.acceptLossCommand(), p.rollbackCommand(), p.compactCommand(), p.expireCommand(),
		p.orphansCommand(), p.dlqCommand(), p.backfillCommand(), p.backfillsCommand(),
		p.genCommand(), p.benchCommand(),
		p.versionCommand(), p.completionCommand(),
	)
	return root
}

// commandName is the command's name without the program's.
func commandName(cmd *cobra.Command) string {
	return strings.TrimSpace(strings.TrimPrefix(cmd.CommandPath(), "firth"))
}

// example indents command lines for the help text.
func example(lines ...string) string { return "  " + strings.Join(lines, "\n  ") }

// exitCodes documents the exit codes of a command at the end of its long help.
func exitCodes(zero, one, two string) string {
	return "\n\nExit codes: 0 " + zero + ", 1 " + one + ", 2 " + two + "."
}

// exactly wants n arguments, and names them when they are not there.
func exactly(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == len(names) {
			return nil
		}
		if len(args) < len(names) {
			return couldNot(fmt.Errorf("%s is missing", strings.Join(names[len(args):], " ")),
				"see 'firth "+commandName(cmd)+" --help'")
		}
		return couldNot(fmt.Errorf("%q is one argument too many", args[len(names)]),
			"see 'firth "+commandName(cmd)+" --help'")
	}
}

// logger writes to stderr at the asked level, or at the command's own default.
func (p *program) logger(otherwise slog.Level) (*slog.Logger, error) {
	level := otherwise
	if p.logLevel != "" {
		if err := level.UnmarshalText([]byte(p.logLevel)); err != nil {
			return nil, couldNot(errors.New("--log "+p.logLevel+" is no level"),
				"write debug, info, warn or error")
		}
	}
	options := &slog.HandlerOptions{Level: level}
	if p.json {
		return slog.New(slog.NewJSONHandler(p.stderr, options)), nil
	}
	return slog.New(slog.NewTextHandler(p.stderr, options)), nil
}
