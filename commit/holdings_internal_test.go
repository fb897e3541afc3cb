package commit

import (
	"context"
	"fmt"
	"maps"
	"slices"
)

// CheckHoldings holds what the committer knows of its head, after many commits, against what a reading of all
// manifests says.
func (c *Committer) CheckHoldings(ctx context.Context) error {
	t := c.main
	if t.holdings == nil {
		return fmt.Errorf("there are none")
	}
	if err := t.holdings.sync(ctx, t.store, 1, t.head); err != nil {
		return err
	}
	fresh := newHoldings()
	if err := fresh.sync(ctx, t.store, 1, t.head); err != nil {
		return err
	}
	where := func(x *holdings) map[fileKey]string {
		out := map[fileKey]string{}
		for key, number := range x.data {
			out[key] = x.manifests[number].location
		}
		for _, list := range x.deletes {
			for _, d := range list {
				key := d.place.file
				key[0] ^= byte(d.place.offset)
				out[key] = fmt.Sprint(x.manifests[d.manifest].location, d.heldEntry)
			}
		}
		return out
	}
	if got, want := where(t.holdings), where(fresh); !maps.Equal(got, want) {
		return fmt.Errorf("%d files are held, want %d", len(got), len(want))
	}
	if !maps.Equal(t.holdings.entries, fresh.entries) {
		return fmt.Errorf("entries of delete files: %v, want %v", t.holdings.entries, fresh.entries)
	}
	got, want := slices.Sorted(maps.Keys(t.holdings.numbers)), slices.Sorted(maps.Keys(fresh.numbers))
	if !slices.Equal(got, want) {
		return fmt.Errorf("manifests %v, want %v", got, want)
	}
	return nil
}
