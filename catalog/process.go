package catalog

import (
	"context"
	"fmt"
	"time"
)

// forgetAfter is how long a process is listed that was killed. It is longer than one that lives says nothing, and two
// clocks differ.
const forgetAfter = 24 * time.Hour

// Announce tells the other processes on this catalog where one answers, or that it still does.
func (c *Catalog) Announce(ctx context.Context, name, address string) error {
	now := c.opts.Now()
	err := c.store.Apply(ctx, Announce{Process: Process{Name: name, Address: address, Seen: now},
		Forget: now.Add(-forgetAfter)})
	if err != nil {
		return fmt.Errorf("announce this process in the catalog: %w", err)
	}
	return nil
}

// Retire takes the announcement back.
func (c *Catalog) Retire(ctx context.Context, name string) error {
	if err := c.store.Apply(ctx, Retire{Name: name}); err != nil {
		return fmt.Errorf("take back the announcement of this process: %w", err)
	}
	return nil
}

// Processes are those that were announced within a day and have not been taken back. One that was killed is among them.
func (c *Catalog) Processes(ctx context.Context) ([]Process, error) {
	return c.store.Processes(ctx)
}
