package main

import (
	"context"

	"github.com/firthlake/firth/commit/verify"
	"github.com/firthlake/firth/ingest"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/keyed"
	"github.com/firthlake/firth/table/keyindex/disktest"
)

// keyedSeeds is where the seeds begin whose worlds have a keyed table: records are versions of a few rows,
// tombstones delete, and the last version of each key has to be there and no other.
const keyedSeeds = 1 << 32

// keyed says whether the world's table is.
func (w *world) keyed() bool { return w.seed >= keyedSeeds }

// drawKeyed makes the one feed of a keyed world.
func (w *world) drawKeyed() {
	f := newFeed("rows", "signal", w.feeds[0].follows)
	f.keyed = true
	w.feeds = []*feed{f}
	w.keys, w.indexBytes = 1+w.rng.Int64N(30), []int64{1 << 10, 1 << 20}[w.rng.IntN(2)]
	w.home = map[int64]int32{}
}

// drawKey draws the key of a record. A key stays in its partition when the topic grows, as it does where
// versions have to stay in order.
func (w *world) drawKey() (key int64, partition int32) {
	key = w.rng.Int64N(w.keys)
	if _, known := w.home[key]; !known {
		w.home[key] = int32(key) % w.load.partitions
	}
	return key, w.home[key]
}

// takeDisk gives a process a disk: that of one that is dead, as it was left or damaged, or a new one.
func (w *world) takeDisk() *disktest.Memory {
	if len(w.disks) == 0 {
		return disktest.NewMemory()
	}
	disk := w.disks[len(w.disks)-1]
	w.disks = w.disks[:len(w.disks)-1]
	names := disk.Names()
	if len(names) == 0 || w.rng.IntN(4) > 0 {
		return disk
	}
	if text := disk.Text(names[w.rng.IntN(len(names))]); len(text) > 0 {
		text[w.rng.IntN(len(text))] ^= 1 << w.rng.IntN(8)
		w.tracef("a file of an index is damaged")
	}
	return disk
}

// keysOn is the key index of a process.
func (w *world) keysOn(p *process) *ingest.Keys {
	return ingest.NewKeys(func(ctx context.Context, t *table.Table) (ingest.KeyIndex, error) {
		return keyed.Open(ctx, w.objectsOf(p), t, keyed.Options{Dir: "index", MemoryBytes: w.indexBytes,
			Parallel: 1, Reads: 1, Salt: w.random, Disk: p.disk})
	})
}

// winners are the places of the last versions of keys that a keyed table has to have.
func (w *world) winners(f *feed, report *verify.Report) map[where]bool {
	last := map[int64]where{}
	for tp, fates := range w.load.fates {
		for offset, fate := range fates {
			at := where{tp.Partition, int64(offset)}
			if w.excused(f, at, nothing, report) {
				continue
			}
			switch {
			case fate.kind == isTombstone:
				delete(last, fate.id)
			case f.fate(fate) == aRow:
				last[fate.id] = at
			}
		}
	}
	out := map[where]bool{}
	for _, at := range last {
		out[at] = true
	}
	return out
}
