package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// historyMax is how many statements are kept. The file may hold twice as many.
const historyMax = 1000

// history are the statements of earlier shells and of this one, in a file with a line for each.
type history struct {
	path    string   // empty keeps them for this shell alone
	entries []string // the newest last
}

// historyPath is where the user's programs keep their state, or empty.
func (p *program) historyPath() string {
	folder, ok := p.getenv("XDG_STATE_HOME")
	if !ok || folder == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return ""
		}
		folder = filepath.Join(home, ".local", "state")
	}
	return filepath.Join(folder, "firth", "sql_history")
}

// openHistory reads the history. It can be used even with an error.
func openHistory(path string) (*history, error) {
	h := &history{path: path}
	if path == "" {
		return h, nil
	}
	text, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return h, nil
	case err != nil:
		h.path = ""
		return h, fmt.Errorf("read the history: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSuffix(line, "\n"); line != "" {
			h.entries = append(h.entries, line)
		}
	}
	if len(h.entries) > 2*historyMax {
		h.trim()
		return h, h.write(os.O_TRUNC, strings.Join(h.entries, "\n")+"\n")
	}
	h.trim()
	return h, nil
}

func (h *history) trim() {
	h.entries = slices.Clone(h.entries[max(0, len(h.entries)-historyMax):])
}

// write writes text to the file, which only its owner may read: statements hold what people look for.
func (h *history) write(flag int, text string) error {
	if err := os.MkdirAll(filepath.Dir(h.path), 0o700); err != nil {
		return err
	}
	file, err := os.OpenFile(h.path, os.O_CREATE|os.O_WRONLY|flag, 0o600)
	if err != nil {
		return err
	}
	_, err = file.WriteString(text)
	return errors.Join(err, file.Close())
}

// remember adds what was typed, on one line, unless it is the newest. With comments that end with their lines, each
// line is an entry.
func (h *history) remember(text string) error {
	text = strings.TrimSpace(text)
	if !strings.Contains(text, "--") {
		text = strings.ReplaceAll(text, "\n", " ")
	}
	var added []string
	for line := range strings.SplitSeq(text, "\n") {
		if last := len(h.entries) - 1; line != "" && (last < 0 || h.entries[last] != line) {
			added = append(added, line)
			h.entries = append(h.entries, line)
		}
	}
	h.trim()
	if h.path == "" || len(added) == 0 {
		return nil
	}
	return h.write(os.O_APPEND, strings.Join(added, "\n")+"\n")
}

// Add does nothing: the lines of a terminal are no entries, statements are.
func (h *history) Add(string) {}

// Len is how many entries there are.
func (h *history) Len() int { return len(h.entries) }

// At is an entry; 0 is the newest.
func (h *history) At(i int) string { return h.entries[len(h.entries)-1-i] }
