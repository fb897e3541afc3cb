package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"time"

	"github.com/google/uuid"

	"github.com/firthlake/firth/commit"
)

// commitOptions name this process as the writer of what it commits.
func (p *program) commitOptions() commit.Options {
	return commit.Options{Now: p.now, NewID: uuid.New, Random: rand.Uint64, Sleep: sleep,
		Writer: writerName()}
}

// writerName is host and process, for the message of whoever is fenced.
func writerName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown-host"
	}
	return fmt.Sprintf("%s pid %d", host, os.Getpid())
}

// sleep waits, or returns early with the context's error.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
