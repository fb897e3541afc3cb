package keyindex

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/firthlake/firth/table/keyindex/disk"
)

// Open opens the index of a folder, or begins an empty one, whose Tag is zero: when there is none, when
// it is of another table or other columns, or when it is damaged.
func Open(ctx context.Context, opts Options) (*Index, error) {
	if opts.Disk == nil {
		opts.Disk = disk.Local{}
	}
	if opts.MemoryBytes == 0 {
		opts.MemoryBytes = memoryDefault
	}
	if err := opts.Disk.MakeFolder(opts.Dir); err != nil {
		return nil, fmt.Errorf("make folder of key index: %w", err)
	}
	x, err := load(ctx, opts)
	if err != nil {
		if opts.Log != nil && !errors.Is(err, os.ErrNotExist) {
			opts.Log.Warn("key index is of no use and will be built anew", "dir", opts.Dir, "err", err)
		}
		return begin(opts, Seed{opts.Salt(), opts.Salt()})
	}
	return x, x.tidy()
}

// begin makes an empty index in place of whatever lies in the folder.
func begin(opts Options, seed Seed) (*Index, error) {
	x := &Index{opts: opts, seed: seed, files: newFileNumbers(), shared: new(shared)}
	var err error
	if x.log, err = createLog(opts.Disk, opts.Dir, opts.Salt()); err != nil {
		return nil, err
	}
	if err := x.writeManifest(); err != nil {
		x.log.drop()
		return nil, err
	}
	return x, x.tidy()
}

// errForeign says that an index belongs to something else.
var errForeign = errors.New("key index of another table or of other columns")

func load(ctx context.Context, opts Options) (*Index, error) {
	text, err := readFile(opts.Disk, filepath.Join(opts.Dir, manifestName))
	if err != nil {
		return nil, fmt.Errorf("read manifest of key index: %w", err)
	}
	m, err := decodeManifest(text)
	if err != nil {
		return nil, err
	}
	if m.table != opts.Table || m.identifier != opts.Identifier {
		return nil, errForeign
	}
	x := &Index{opts: opts, seed: m.seed, tag: m.tag, saved: m.tag, files: newFileNumbers(),
		shared: new(shared)}
	for n, path := range m.files {
		x.files.set(n, path)
	}
	x.files.last, x.files.logged = m.last, m.last
	if err := errors.Join(x.openCold(&m), x.warm(ctx)); err != nil {
		x.closeCold()
		return nil, err
	}
	x.log, err = openLog(opts.Disk, opts.Dir, m.log, func(r record) error {
		for i, n := range r.numbers {
			if n == 0 || n > x.files.last+1 {
				return fmt.Errorf("number %d of a data file in log of key index: %w", n, ErrDamaged)
			}
			x.files.set(n, r.paths[i])
		}
		x.files.logged = x.files.last
		return x.take(ctx, r.changes)
	})
	x.folded = m.folded
	if err == nil && (x.log.bytes < m.folded || x.tag == (Tag{}) && x.Keys() > 0) {
		err = errors.Join(errLost, x.log.close())
	}
	if err != nil {
		x.closeCold()
		return nil, err
	}
	return x, nil
}

// errLost says that the log ends before the changes that cold files have, or with no snapshot: of which one
// they are cannot be told.
var errLost = fmt.Errorf("log of key index is cut off: %w", ErrDamaged)

func (x *Index) openCold(m *manifest) error {
	for i, e := range m.groups {
		if e == (coldEntry{}) {
			continue
		}
		c, err := openCold(x.opts.Disk, filepath.Join(x.opts.Dir, coldName(i, e.salt)), e.salt, e.counts)
		if err != nil {
			return err
		}
		x.groups[i].cold, x.groups[i].partial = c, true
	}
	return nil
}

// warm reads cold files into memory when all of them fit.
func (x *Index) warm(ctx context.Context) error {
	if x.Keys()*entryBytes*3/2 > x.opts.MemoryBytes {
		return nil
	}
	return x.eachGroup(ctx, func(w *worker, i int) error {
		g := &x.groups[i]
		if g.cold == nil {
			return nil
		}
		var hots [groupSegments]hot
		for k := range hots {
			w.entries = slices.Grow(w.entries[:0], int(g.cold.counts[k]))
			err := w.reader.each(g.cold.segment(k), func(e Entry) error {
				w.entries = append(w.entries, e)
				return nil
			})
			if err != nil {
				return err
			}
			hots[k].fill(w.entries)
		}
		x.shared.groups[i].Lock()
		g.hots, g.partial = hots, false
		x.shared.groups[i].Unlock()
		return nil
	})
}

func (x *Index) closeCold() {
	for i := range x.groups {
		if c := x.groups[i].cold; c != nil {
			_ = c.file.Close()
		}
	}
}

// tidy removes what a crash left behind.
func (x *Index) tidy() error {
	entries, err := x.opts.Disk.List(x.opts.Dir)
	if err != nil {
		return fmt.Errorf("list folder of key index: %w", err)
	}
	keep := map[string]bool{manifestName: true, filepath.Base(x.log.name): true}
	for i := range x.groups {
		if c := x.groups[i].cold; c != nil {
			keep[filepath.Base(c.name)] = true
		}
	}
	for _, e := range entries {
		name := e.Name()
		ours := name == manifestName+".new" || strings.HasSuffix(name, ".cold") || strings.HasSuffix(name, ".log")
		if ours && !keep[name] {
			if err := x.opts.Disk.Remove(filepath.Join(x.opts.Dir, name)); err != nil {
				return fmt.Errorf("remove left-over of key index: %w", err)
			}
		}
	}
	return nil
}
