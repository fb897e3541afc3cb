package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// errInterrupted says that Ctrl-C was typed.
var errInterrupted = errors.New("interrupted")

const (
	keyCtrlC = 3
	keyTab   = '\t'
	// typedMax bounds what is typed while a statement runs.
	typedMax = 64 << 10
	// choicesMax is how many choices are shown for a word.
	choicesMax = 60
)

// keyboard reads what is typed, while statements run too, so that Ctrl-C ends them. The terminal makes no signal of it:
// a signal would end the program.
type keyboard struct {
	typed   chan []byte // nil after the end
	stopped chan struct{}
	ended   <-chan struct{} // when nobody shall type any more
	left    []byte          // for Read
}

func newKeyboard(ended <-chan struct{}) *keyboard {
	return &keyboard{typed: make(chan []byte), stopped: make(chan struct{}), ended: ended}
}

func (k *keyboard) stop() { close(k.stopped) }

// listen reads keys until the end of in.
func (k *keyboard) listen(in io.Reader) {
	typed := k.typed
	defer close(typed)
	for {
		buffer := make([]byte, 256)
		n, err := in.Read(buffer)
		if n > 0 {
			select {
			case typed <- buffer[:n]:
			case <-k.stopped:
				return
			}
		}
		if err != nil {
			return // of a terminal, that is its end
		}
	}
}

// Read is what was typed. Ctrl-C is an error, and what came before it is gone.
func (k *keyboard) Read(p []byte) (int, error) {
	if len(k.left) == 0 {
		if k.typed == nil {
			return 0, io.EOF
		}
		select {
		case typed, open := <-k.typed:
			if !open {
				k.typed = nil
				return 0, io.EOF
			}
			k.left = typed
		case <-k.ended:
			return 0, io.EOF
		}
	}
	if at := bytes.LastIndexByte(k.left, keyCtrlC); at >= 0 {
		k.left = k.left[at+1:]
		return 0, errInterrupted
	}
	n := copy(p, k.left)
	k.left = k.left[n:]
	return n, nil
}

// during calls act with a context that Ctrl-C ends, and waits for it. What else is typed meanwhile comes to Read.
func (k *keyboard) during(ctx context.Context, act func(context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- act(ctx) }()
	for {
		select {
		case err := <-done:
			return err
		case typed, open := <-k.typed:
			if !open {
				k.typed = nil
			}
			if at := bytes.LastIndexByte(typed, keyCtrlC); at >= 0 {
				cancel()
				k.left, typed = nil, typed[at+1:]
			}
			if len(k.left)+len(typed) <= typedMax {
				k.left = append(k.left, typed...)
			}
		}
	}
}

// editor reads lines from a terminal, with history and completion. What is written to it appears there.
type editor struct {
	keys     *keyboard
	out      io.Writer
	tty      *os.File
	history  *history
	terminal *term.Terminal
	// complete tells what the word before pos may become, and how long it is.
	complete func(line string, pos int) (length int, choices []string)
}

func newEditor(keys *keyboard, out io.Writer, tty *os.File, past *history) *editor {
	e := &editor{keys: keys, out: out, tty: tty, history: past}
	e.reset()
	return e
}

// reset forgets what is typed.
func (e *editor) reset() {
	e.terminal = term.NewTerminal(struct {
		io.Reader
		io.Writer
	}{e.keys, e.out}, "")
	e.terminal.History = e.history
	e.terminal.AutoCompleteCallback = e.key
	e.terminal.SetBracketedPasteMode(true) // so that tabs in what is pasted complete nothing
}

func (e *editor) close() { e.terminal.SetBracketedPasteMode(false) }

// Write shows text.
func (e *editor) Write(text []byte) (int, error) { return e.terminal.Write(text) }

// line reads a line.
func (e *editor) line(prompt string) (string, error) {
	if width, height, err := term.GetSize(int(e.tty.Fd())); err == nil && width > 0 {
		_ = e.terminal.SetSize(width, height) // what is shown on a strange screen is no harm
	}
	e.terminal.SetPrompt(prompt)
	line, err := e.terminal.ReadLine()
	switch {
	case errors.Is(err, term.ErrPasteIndicator):
		return line, nil
	case errors.Is(err, errInterrupted):
		_, _ = io.WriteString(e.out, "^C\r\n") // whoever cannot see it has no terminal
		e.reset()
	case errors.Is(err, io.EOF):
		_, _ = io.WriteString(e.out, "\r\n")
		e.reset()
	}
	return line, err
}

// key completes the word before the cursor.
func (e *editor) key(line string, pos int, key rune) (newLine string, newPos int, ok bool) {
	if key != keyTab || e.complete == nil {
		return "", 0, false
	}
	length, choices := e.complete(line, pos)
	word := line[pos-length : pos]
	completed := word
	switch len(choices) {
	case 0:
	case 1:
		completed = choices[0] + " "
	default:
		if completed = sharedPrefix(choices); len(completed) <= len(word) {
			completed = word
			e.show(choices)
		}
	}
	return line[:pos-length] + completed + line[pos:], pos - length + len(completed), true
}

// show lists choices above the line.
func (e *editor) show(choices []string) {
	text := strings.Join(choices[:min(len(choices), choicesMax)], "  ")
	if len(choices) > choicesMax {
		text += "  …"
	}
	_, _ = e.Write([]byte(text + "\n")) // as above
}

// sharedPrefix is what all texts begin with, written as the first writes it.
func sharedPrefix(texts []string) string {
	prefix := texts[0]
	for _, text := range texts[1:] {
		for !strings.HasPrefix(strings.ToLower(text), strings.ToLower(prefix)) {
			prefix = prefix[:len(prefix)-1]
		}
	}
	return strings.ToValidUTF8(prefix, "")
}
