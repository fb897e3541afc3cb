package orphans

import (
	"context"
	"errors"
	"fmt"

	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/objstore"
)

// remove removes what is due of the list that was just written, page after page.
func (r *run) remove(ctx context.Context) error {
	var page []Orphan
	var done int64
	flush := func() error {
		if len(page) == 0 {
			return nil
		}
		done += int64(len(page))
		err := r.page(ctx, page)
		page = page[:0]
		return err
	}
	list := readQuarantine(ctx, r.store, r.root+quarantineName, r.table.Metadata().TableUUID())
	for o, err := range list {
		if err != nil {
			return err
		}
		switch {
		case !removable(o.Path, r.root):
			return fmt.Errorf("%s is not below %s, or no file of a table: %w", o.Path, r.root, objstore.ErrBadLocation)
		case !r.due(o):
			r.wait(o)
			continue
		case r.young[changeOf(o.Path)]:
			r.report.InFlight++
			r.wait(o)
			continue
		}
		if page = append(page, o); len(page) < pageObjects*r.opts.Parallel {
			continue
		}
		if err := flush(); err != nil {
			return err // what stays is tried again by the next run
		}
		r.opts.Progress("removed", done, r.report.Listed-r.report.Needed-r.report.Strange)
	}
	return flush()
}

// errMoved says that the table is not the one any more of which orphans were listed.
var errMoved = errors.New("the table was moved, or dropped and created again, meanwhile: run it again")

// page removes orphans that the newest version of the table does not need either.
func (r *run) page(ctx context.Context, page []Orphan) error {
	if err := r.refresh(ctx); err != nil {
		r.report.Left += int64(len(page))
		return err
	}
	doomed := make([]string, 0, len(page))
	var size int64
	for _, o := range page {
		if r.needed.holds(o.Path) {
			r.report.Spared++
			continue
		}
		doomed = append(doomed, o.Path)
		size += o.Size
	}
	if err := objstore.RemoveAll(ctx, r.store, r.opts.Parallel, doomed); err != nil {
		r.report.Left += int64(len(doomed))
		return err
	}
	r.report.Removed += int64(len(doomed))
	r.report.RemovedBytes += size
	r.log.Info("orphans removed", "files", len(doomed), "bytes", size)
	return nil
}

// refresh looks at the newest version of the table, and at what it needs when it has moved.
func (r *run) refresh(ctx context.Context) error {
	now, feeder, err := r.load(ctx, r.table.Ident())
	if err != nil {
		return err
	}
	before := r.table.Metadata()
	if now.Metadata().TableUUID() != before.TableUUID() || now.Metadata().Location() != before.Location() {
		return errMoved
	}
	if now.MetadataLocation() == r.table.MetadataLocation() && sameVersion(feeder, r.feeder) {
		return nil
	}
	r.table, r.feeder = now, feeder
	return r.needed.extend(ctx, now, feeder)
}

func sameVersion(a, b *table.Table) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.MetadataLocation() == b.MetadataLocation()
}
