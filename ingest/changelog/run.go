package changelog

import (
	"context"
	"time"
)

const (
	// lookEvery is how often the source is looked at as its committer knows it, which costs nothing.
	lookEvery = 200 * time.Millisecond
	// refreshEvery is how often it is read anew, for commits of others while it takes none of its own.
	refreshEvery = 10 * time.Second
	// waitAfterError lets a store or another follower of the same table get on.
	waitAfterError = 5 * time.Second
)

// Run follows the source until ctx ends. An error is told once for as long as it lasts, and tried again.
func (f *Follower) Run(ctx context.Context) error {
	var trouble string
	var seen string
	refreshed := f.opts.Now()
	for ctx.Err() == nil {
		name := f.opts.Source.Table().String()
		wait := lookEvery
		if now := f.opts.Now(); now.Sub(refreshed) >= refreshEvery {
			refreshed = now
			if err := f.opts.Source.Refresh(ctx); err != nil {
				f.opts.Log.Debug("table cannot be looked at", "table", name, "err", err)
			}
		}
		if at := f.opts.Source.Table().MetadataLocation(); at != seen || trouble != "" {
			more, err := f.Step(ctx)
			switch {
			case ctx.Err() != nil:
			case err != nil:
				if text := err.Error(); text != trouble {
					f.opts.Log.Error("changes are not written for now", "table", name, "err", err)
					trouble = text
				}
				f.opts.Metrics.failed.WithLabelValues(name).Inc()
				wait = waitAfterError
			case more:
				trouble, wait = "", 0
			default:
				trouble, seen = "", at
			}
		}
		if wait > 0 {
			if err := f.opts.Sleep(ctx, wait); err != nil {
				return ctx.Err()
			}
		}
	}
	return ctx.Err()
}
