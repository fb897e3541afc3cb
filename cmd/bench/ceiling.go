package main

import (
	"context"
	"errors"
	"os/exec"
	"strconv"
	"sync"
)

// ceiling measures what the machine gives on n cores: n processes that encode rows, with nothing in common but
// caches, memory and the clock of the processor. No program can gain more from a core than they do.
func ceiling(name string, n int) measurement {
	return measurement{name: name, cores: n, how: func(ctx context.Context, b *bench) (figure, error) {
		figures, failures := make([]figure, n), make([]error, n)
		var running sync.WaitGroup
		for i := range n {
			running.Go(func() {
				cmd := exec.CommandContext(ctx, b.options.firth, "bench", "encode", "--json",
					"--rows", strconv.FormatInt(b.options.rows, 10))
				figures[i], failures[i] = b.alone(cmd, n)
			})
		}
		running.Wait()
		var all figure
		for _, f := range figures {
			all.RowsPerSecond += f.RowsPerSecond
			all.RowsPerCPU += f.RowsPerCPU / float64(n)
			all.RSSBytesMax = max(all.RSSBytesMax, f.RSSBytesMax)
		}
		return all, errors.Join(failures...)
	}}
}

// alone runs a command, on one thread, on the first cores of the machine.
func (b *bench) alone(cmd *exec.Cmd, cores int) (figure, error) {
	cmd.Env = append(cmd.Environ(), "GOMAXPROCS=1")
	return output(cmd, func() error { return startOn(cmd, b.cores.first(cores)) })
}
