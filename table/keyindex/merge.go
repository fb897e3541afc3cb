package keyindex

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"slices"
)

// Settle brings memory under its limit, and the log under its own, by folding changes into cold files.
// Callers call it after Apply. After an error the index is as right as before and only larger than it
// should be: the disk may be full.
func (x *Index) Settle(ctx context.Context) error {
	if x.log.bytes > max(logBytesMin, x.Keys()*entryBytes/logShare) {
		return x.Save(ctx)
	}
	over := x.Bytes() - x.opts.MemoryBytes
	if over <= 0 {
		return nil
	}
	// An eighth more than needed, so that not every checkpoint has to.
	over += x.opts.MemoryBytes / 8
	order := make([]int, groups)
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int {
		return cmp.Compare(x.groups[b].bytes(), x.groups[a].bytes())
	})
	n := 0
	for freed := int64(0); n < groups && freed < over; n++ {
		freed += x.groups[order[n]].bytes()
	}
	err := x.fold(ctx, order[:n])
	if err == nil {
		x.folded = x.log.bytes
		err = x.writeManifest()
	}
	if err != nil {
		return fmt.Errorf("make room in memory for key index: %w", err)
	}
	for _, i := range order[:n] {
		g := &x.groups[i]
		x.shared.groups[i].Lock()
		g.hots, g.partial = [groupSegments]hot{}, g.cold != nil
		x.shared.groups[i].Unlock()
	}
	x.dropReplaced()
	return nil
}

// Save folds all changes into cold files and begins a new log, so that the next opening has none to
// apply.
func (x *Index) Save(ctx context.Context) error {
	all := make([]int, groups)
	for i := range all {
		all[i] = i
	}
	err := x.fold(ctx, all)
	if err != nil {
		return fmt.Errorf("save key index: %w", err)
	}
	before, saved, folded := x.log, x.saved, x.log.bytes
	if x.log, err = createLog(x.opts.Disk, x.opts.Dir, x.opts.Salt()); err == nil {
		x.saved, x.folded = x.tag, 0
		err = x.writeManifest()
	}
	if err != nil {
		if x.log != nil {
			x.log.drop()
		}
		x.log, x.saved, x.folded = before, saved, folded
		return fmt.Errorf("save key index: %w", err)
	}
	x.dropReplaced()
	before.drop()
	return nil
}

// fold writes new cold files of those of the groups that are dirty. Those they replace are closed, and
// stay until a manifest that does not name them is written.
func (x *Index) fold(ctx context.Context, which []int) error {
	written := make([]*coldFile, groups)
	chosen := [groups]bool{}
	for _, i := range which {
		chosen[i] = x.groups[i].dirty
	}
	salts := x.salts()
	err := x.eachGroup(ctx, func(w *worker, i int) (err error) {
		if chosen[i] {
			written[i], err = x.merge(w, &x.groups[i], coldName(i, salts[i]), salts[i])
		}
		return err
	})
	if err != nil {
		drop(written)
		return err
	}
	for i := range x.groups {
		g := &x.groups[i]
		if !chosen[i] {
			continue
		}
		before := g.cold
		x.shared.groups[i].Lock()
		g.cold, g.dirty = written[i], false
		x.shared.groups[i].Unlock()
		if before != nil {
			_ = before.file.Close() // it was only read; a Finder that reads it looks again
			x.replaced = append(x.replaced, before)
		}
	}
	return nil
}

// dropReplaced removes the cold files that the manifest does not name any more.
func (x *Index) dropReplaced() {
	drop(x.replaced)
	x.replaced = nil
}

func drop(files []*coldFile) {
	for _, f := range files {
		if f != nil {
			f.drop()
		}
	}
}

// merge writes the cold file of a group as it is now.
func (x *Index) merge(work *worker, g *group, name string, salt uint64) (*coldFile, error) {
	w, err := work.createCold(x.opts.Disk, filepath.Join(x.opts.Dir, name), salt)
	if err != nil {
		return nil, err
	}
	for i := range g.hots {
		if err = x.mergeSegment(&work.reader, g, i, w); err == nil {
			err = w.end(i)
		}
		if err != nil {
			w.abort()
			return nil, err
		}
	}
	file, err := w.finish()
	if err != nil {
		w.abort()
	}
	return file, err
}

func (x *Index) mergeSegment(r *reader, g *group, segment int, w *coldWriter) error {
	keep := func(e Entry) error {
		if e.Place.File == gone || !x.files.live(e.Place.File) {
			return nil
		}
		return w.add(segment, e)
	}
	slots := g.hots[segment].slots
	at := 0
	next := func() bool { // to the next slot that is taken
		for at < len(slots) && slots[at].Place.File == 0 {
			at++
		}
		return at < len(slots)
	}
	if g.partial {
		err := r.each(g.cold.segment(segment), func(e Entry) error {
			for ; next() && slots[at].Key.less(e.Key); at++ {
				if err := keep(slots[at]); err != nil {
					return err
				}
			}
			if next() && slots[at].Key == e.Key {
				return nil // the newer one follows
			}
			return keep(e)
		})
		if err != nil {
			return err
		}
	}
	for ; next(); at++ {
		if err := keep(slots[at]); err != nil {
			return err
		}
	}
	return nil
}

func coldName(group int, salt uint64) string { return fmt.Sprintf("%02d-%016x.cold", group, salt) }
