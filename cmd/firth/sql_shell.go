package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"github.com/firthlake/firth/serve/query"
)

const (
	// shellPrompt is shown for a new statement, shellMore while one has not ended.
	shellPrompt = "firth> "
	shellMore   = "    -> "

	shellHelp = `A statement ends with a semicolon. Ctrl-C ends one that runs, or drops what is typed.
  .mode table|csv|json|ndjson   how rows are shown
  .help                         this text
  .exit, Ctrl-D                 end
Tab completes tables, columns and words; the arrows fetch earlier statements.
`
)

// shell is a conversation: statements are typed at a terminal and answered one after the other.
type shell struct {
	program *program // which shows everything on the editor
	engine  query.Engine
	output  string
	editor  *editor
	history *history
	text    string // of a statement that has not ended
}

// keyboardOf is the terminal at which somebody types statements, or nil.
func (p *program) keyboardOf() *os.File {
	file, ok := p.stdin.(*os.File)
	if !ok || !p.terminal || !term.IsTerminal(int(file.Fd())) {
		return nil
	}
	return file
}

// converse runs a shell at a terminal.
func (p *program) converse(ctx context.Context, engine query.Engine, output string, tty *os.File) (err error) {
	before, err := term.MakeRaw(int(tty.Fd()))
	if err != nil {
		return fmt.Errorf("prepare the terminal: %w", err)
	}
	defer func() { err = errors.Join(err, term.Restore(int(tty.Fd()), before)) }()
	keys := newKeyboard(ctx.Done())
	go keys.listen(tty) // a read of a terminal ends with the terminal alone
	defer keys.stop()

	past, fault := openHistory(p.historyPath())
	edited := newEditor(keys, p.stderr, tty, past)
	shown := *p
	shown.stderr = edited
	if out, ok := p.stdout.(*os.File); ok && term.IsTerminal(int(out.Fd())) {
		shown.stdout = edited
	}
	s := &shell{program: &shown, engine: engine, output: output, editor: edited, history: past}
	edited.complete = newCompleter(ctx, engine, p.now, func() string { return s.text }).complete
	if fault != nil {
		fmt.Fprintf(shown.stderr, "statements are not remembered: %v\n", fault)
	}
	return s.run(ctx)
}

// run takes lines until the end.
func (s *shell) run(ctx context.Context) error {
	fmt.Fprintln(s.program.stderr, "Statements end with a semicolon. .help tells more, Ctrl-D ends.")
	defer s.editor.close()
	for ctx.Err() == nil {
		prompt := shellPrompt
		if s.text != "" {
			prompt = shellMore
		}
		line, err := s.editor.line(prompt)
		switch {
		case errors.Is(err, errInterrupted):
			s.text = ""
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("read from the terminal: %w", err)
		case s.text == "" && isCommand(line):
			if s.command(commandWords(line)) == commandEnds {
				return nil
			}
		default:
			s.typed(ctx, line)
		}
	}
	return ctx.Err()
}

// typed adds a line to the statement, and runs what has ended.
func (s *shell) typed(ctx context.Context, line string) {
	ended, rest := query.Split(s.text + line)
	if rest == "" && len(ended) > 0 {
		s.remember(s.text + line)
	}
	s.text = ""
	for _, sql := range ended {
		s.statement(ctx, sql)
	}
	if rest != "" {
		s.text = rest + "\n"
	}
}

func (s *shell) remember(text string) {
	if err := s.history.remember(text); err != nil {
		fmt.Fprintf(s.program.stderr, "the statement is not remembered: %v\n", err)
	}
}

// statement runs a statement, which Ctrl-C ends.
func (s *shell) statement(ctx context.Context, sql string) {
	err := s.editor.keys.during(ctx, func(ctx context.Context) error {
		return s.program.runStatement(ctx, s.engine, s.output, sql)
	})
	switch {
	case err == nil:
	case ctx.Err() == nil && errors.Is(err, context.Canceled):
		fmt.Fprintln(s.program.stderr, "interrupted")
	default:
		s.program.report(err)
	}
}

// commandOutcome says whether a command ends the shell.
type commandOutcome int

const (
	commandDone commandOutcome = iota
	commandEnds
)

// isCommand says whether a line is one for the shell.
func isCommand(line string) bool {
	words := commandWords(line)
	return len(words) > 0 && (words[0][0] == '.' || len(words) == 1 && (words[0] == "exit" || words[0] == "quit"))
}

// commandWords are the words of a line, which may end with a semicolon out of habit.
func commandWords(line string) []string {
	return strings.Fields(strings.TrimSuffix(strings.TrimSpace(line), ";"))
}

func (s *shell) command(words []string) commandOutcome {
	switch {
	case words[0] == ".exit" || words[0] == ".quit" || words[0] == "exit" || words[0] == "quit":
		return commandEnds
	case words[0] == ".help":
		fmt.Fprint(s.program.stderr, shellHelp)
	case words[0] == ".mode" && len(words) == 2 && isOutput(words[1]):
		s.output = words[1]
	case words[0] == ".mode":
		fmt.Fprintln(s.program.stderr, "write .mode table, csv, json or ndjson")
	default:
		fmt.Fprintf(s.program.stderr, "there is no command %s: .help lists them\n", words[0])
	}
	return commandDone
}
