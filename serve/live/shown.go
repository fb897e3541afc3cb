package live

import (
	"time"

	"github.com/firthlake/firth/table"
)

// Shown is what a reader who comes now is shown of a table that is committed so: where it ends, and why no further. It
// makes nothing and reads nothing, so it may be asked at any time.
func (c *Catalog) Shown(t *table.Table) (cut table.Position, degraded string) {
	v := c.view(committed{meta: t.Metadata()})
	if v.degraded != "" {
		return v.view.Cut, v.degraded
	}
	c.mu.Lock()
	o := c.overlays[t.Metadata().TableUUID()]
	c.mu.Unlock()
	if o == nil {
		return v.view.Cut, ""
	}
	if last := o.handedSince(c.opts.Now().Add(-Pin)); last != nil && last.degraded != "" {
		return last.view.Cut, last.degraded // it has its reason for some time yet
	}
	return v.view.Cut, ""
}

// handedSince is the current version if a reader has got it since then, else nil.
func (o *overlay) handedSince(then time.Time) *version {
	o.mu.Lock()
	defer o.mu.Unlock()
	if n := len(o.versions); n > 0 && !o.versions[n-1].handed.Before(then) {
		return o.versions[n-1]
	}
	return nil
}
