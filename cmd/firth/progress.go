package main

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// progress tells on stderr how far a piece of work is. It says nothing before it has lasted for two
// seconds, draws a bar with the time left on a terminal, and writes a plain line every ten seconds
// elsewhere. It belongs to one goroutine.
type progress struct {
	out      io.Writer
	terminal bool
	now      func() time.Time
	noun     string
	total    int64 // 0 when not known

	started, drawn time.Time
	open           bool // a bar stands on the terminal's line
}

// When progress speaks.
const (
	progressQuiet    = 2 * time.Second
	progressTerminal = 200 * time.Millisecond
	progressPlain    = 10 * time.Second
	progressWidth    = 30
)

// progress starts to watch work of total units; with --json it keeps silent.
func (p *program) progress(noun string, total int64) *progress {
	out := p.stderr
	if p.json {
		out = io.Discard
	}
	return &progress{out: out, terminal: p.terminal, now: p.now, noun: noun, total: total, started: p.now()}
}

// at says that done units are done; note is added to the line.
func (g *progress) at(done int64, note string) {
	now := g.now()
	every := progressPlain
	if g.terminal {
		every = progressTerminal
	}
	if now.Sub(g.started) < progressQuiet || now.Sub(g.drawn) < every {
		return
	}
	g.drawn = now
	line := g.line(done, now.Sub(g.started))
	if note != "" {
		line += ", " + note
	}
	if g.terminal {
		fmt.Fprintf(g.out, "\r\x1b[K%s", line)
		g.open = true
		return
	}
	fmt.Fprintln(g.out, line)
}

// line is the bar or the count, the rate, and the time left.
func (g *progress) line(done int64, elapsed time.Duration) string {
	rate := float64(done) / elapsed.Seconds()
	if g.total <= 0 {
		return fmt.Sprintf("%s %s, %s/s, %s", count(done), g.noun, count(int64(rate)), age(elapsed))
	}
	share := min(1, float64(done)/float64(g.total))
	left := "?"
	if rate > 0 {
		left = age(time.Duration(float64(max(0, g.total-done)) / rate * float64(time.Second)))
	}
	bar := ""
	if g.terminal {
		full := int(share * progressWidth)
		bar = "[" + strings.Repeat("#", full) + strings.Repeat(".", progressWidth-full) + "] "
	}
	return fmt.Sprintf("%s%3.0f%% %s of %s %s, %s/s, %s left",
		bar, share*100, count(done), count(g.total), g.noun, count(int64(rate)), left)
}

// close ends the line that stands on the terminal.
func (g *progress) close() {
	if g.open {
		fmt.Fprintln(g.out)
		g.open = false
	}
}
