// Package pebblebench compares the key index with Pebble under the load of upserts. It is a module of its
// own, so that nothing else depends on Pebble:
//
//	cd table/keyindex/pebblebench && go test -run '^$' -bench . -benchtime 40x -timeout 2h
//
// 40 batches are enough for memory to run full and for a whole log to be folded once.
package pebblebench

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/objstorage/objstorageprovider"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/firthlake/firth/table/keyindex"
	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"
)

const (
	keysMax   = 10_000_000
	batchKeys = 100_000
	keyBytes  = 16
	// parallel is how many goroutines look up.
	parallel = 2
)

// index is what an upsert needs of either store.
type index interface {
	// fill takes in entries in order of their keys.
	fill(b *testing.B, entries []keyindex.Entry)
	// upsert looks keys up and gives them new places.
	upsert(b *testing.B, keys []keyindex.Key, places []keyindex.Place, n int64)
	close(b *testing.B)
}

// BenchmarkUpsert looks up and moves batches of 100,000 keys of 10 million, with memory for all of them and
// for a tenth. Closing counts; Pebble then leaves compactions that have not begun undone, which is to
// its good.
func BenchmarkUpsert(b *testing.B) {
	entries := make([]keyindex.Entry, keysMax)
	for i := range entries {
		entries[i] = keyindex.Entry{Key: keyOf(uint64(i)), Place: keyindex.Place{File: 1, Row: uint32(i)}}
	}
	slices.SortFunc(entries, func(a, b keyindex.Entry) int { return a.Key.Compare(b.Key) })
	for _, memory := range []struct {
		name  string
		bytes int64
	}{{"all", 512 << 20}, {"tenth", 36 << 20}} {
		for _, load := range []struct {
			name   string
			choose func(*rand.Rand) func() uint64
		}{
			{"uniform", func(r *rand.Rand) func() uint64 { return func() uint64 { return r.Uint64N(keysMax) } }},
			{"zipf", func(r *rand.Rand) func() uint64 { return rand.NewZipf(r, 1.1, 1, keysMax-1).Uint64 }},
		} {
			for _, store := range []struct {
				name string
				open func(*testing.B, int64) index
			}{{"keyindex", openIndex}, {"pebble-get", openGets}, {"pebble-seek", openSeeks}} {
				b.Run(memory.name+"/"+load.name+"/"+store.name, func(b *testing.B) {
					x := store.open(b, memory.bytes)
					x.fill(b, entries)
					upserts(b, x, load.choose(rand.New(rand.NewPCG(1, 2))))
				})
			}
		}
	}
}

func upserts(b *testing.B, x index, choose func() uint64) {
	places := make([]keyindex.Place, batchKeys)
	batches := make([][]keyindex.Key, b.N)
	for i := range batches {
		seen := make(map[uint64]bool, batchKeys)
		for len(seen) < batchKeys {
			seen[choose()] = true
		}
		for n := range seen {
			batches[i] = append(batches[i], keyOf(n))
		}
	}
	runtime.GC()
	cpu := cpuSeconds(b)
	b.ResetTimer()
	for i, keys := range batches {
		x.upsert(b, keys, places, int64(i)+2)
		for row := range places {
			if places[row].File == 0 {
				b.Fatalf("batch %d: key %v is nowhere", i, keys[row])
			}
		}
	}
	x.close(b)
	b.StopTimer()
	done := float64(b.N * batchKeys)
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/done, "ns/key")
	b.ReportMetric((cpuSeconds(b)-cpu)*1e9/done, "cpu-ns/key")
}

func cpuSeconds(b *testing.B) float64 {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return float64(used.Utime.Sec+used.Stime.Sec) + float64(used.Utime.Usec+used.Stime.Usec)/1e6
}

// keyOf is a hash of a number, as keys are.
func keyOf(n uint64) keyindex.Key {
	mix := func(v uint64) uint64 {
		for range 2 {
			v = (v ^ v>>32) * 0xd6e8feb86659fd93
		}
		return v ^ v>>32
	}
	return keyindex.Key{High: mix(n + 0x9e3779b97f4a7c15), Low: mix(n ^ 0x1234567)}
}

type ours struct{ *keyindex.Index }

func openIndex(b *testing.B, memory int64) index {
	random := rand.New(rand.NewPCG(3, 4))
	x, err := keyindex.Open(b.Context(), keyindex.Options{Dir: filepath.Join(b.TempDir(), "index"),
		Table: uuid.UUID{1}, Identifier: "1 long", MemoryBytes: memory, Parallel: parallel, Salt: random.Uint64})
	if err != nil {
		b.Fatal(err)
	}
	return ours{x}
}

func (x ours) fill(b *testing.B, entries []keyindex.Entry) {
	fill, err := x.Rebuild()
	if err != nil {
		b.Fatal(err)
	}
	x.Number("1")
	if err := fill.Add(entries); err != nil {
		b.Fatal(err)
	}
	if _, err := fill.Finish(b.Context(), keyindex.Tag{SnapshotID: 1, SequenceNumber: 1}); err != nil {
		b.Fatal(err)
	}
}

func (x ours) upsert(b *testing.B, keys []keyindex.Key, places []keyindex.Place, n int64) {
	if err := x.Lookup(b.Context(), keys, places); err != nil {
		b.Fatal(err)
	}
	file := x.Number(fmt.Sprint(n))
	changes := keyindex.Changes{Tag: keyindex.Tag{SnapshotID: n, SequenceNumber: n}}
	changes.Entries = make([]keyindex.Entry, len(keys))
	for i, k := range keys {
		changes.Entries[i] = keyindex.Entry{Key: k, Place: keyindex.Place{File: file, Row: uint32(i)}}
	}
	if err := errors.Join(x.Apply(b.Context(), changes), x.Settle(b.Context())); err != nil {
		b.Fatal(err)
	}
}

func (x ours) close(b *testing.B) {
	if err := x.Close(); err != nil {
		b.Fatal(err)
	}
}

// peb is Pebble as it is good for this: a quarter of the memory for new entries, the rest for blocks, Bloom
// filters, no compression (hashes have nothing to compress) and, as in the index, no sync of the log.
// Keys are looked up in their order, which is faster for Pebble too, one by one or by seeks of one iterator.
type peb struct {
	options *pebble.Options
	db      *pebble.DB
	order   []int32
	lookup  func(p *peb, keys []keyindex.Key, places []keyindex.Place, order []int32) error
}

func openGets(b *testing.B, memory int64) index {
	p := openPebble(b, memory)
	p.lookup = (*peb).gets
	return p
}

func openSeeks(b *testing.B, memory int64) index {
	p := openPebble(b, memory)
	p.lookup = (*peb).seeks
	return p
}

func openPebble(b *testing.B, memory int64) *peb {
	options := &pebble.Options{
		MemTableSize: uint64(min(memory/4, 64<<20)),
		Logger:       quiet{},
		CompactionConcurrencyRange: func() (int, int) {
			return 1, 2
		},
		MemTableStopWritesThreshold: 4,
		L0CompactionThreshold:       4,
	}
	options.Cache = pebble.NewCache(memory - 2*int64(options.MemTableSize))
	defer options.Cache.Unref()
	for i := range options.Levels {
		options.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
		options.Levels[i].Compression = func() *sstable.CompressionProfile { return sstable.NoCompression }
	}
	db, err := pebble.Open(filepath.Join(b.TempDir(), "pebble"), options)
	if err != nil {
		b.Fatal(err)
	}
	return &peb{options: options, db: db}
}

type quiet struct{}

func (quiet) Infof(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}
func (quiet) Fatalf(format string, args ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", args...)
	os.Exit(1)
}

// fill ingests tables of the lowest level, which costs Pebble least and leaves it in its best order.
func (p *peb) fill(b *testing.B, entries []keyindex.Entry) {
	dir := b.TempDir()
	var names []string
	for part := range slices.Chunk(entries, keysMax/8) {
		name := filepath.Join(dir, fmt.Sprint(len(names)))
		names = append(names, name)
		file, err := vfs.Default.Create(name, vfs.WriteCategoryUnspecified)
		if err != nil {
			b.Fatal(err)
		}
		out := sstable.NewWriter(objstorageprovider.NewFileWritable(file),
			p.options.MakeWriterOptions(6, p.db.TableFormat()))
		var key [keyBytes]byte
		var value [8]byte
		for _, e := range part {
			putKey(key[:], e.Key)
			putPlace(value[:], e.Place)
			if err := out.Set(key[:], value[:]); err != nil {
				b.Fatal(err)
			}
		}
		if err := out.Close(); err != nil {
			b.Fatal(err)
		}
	}
	if err := p.db.Ingest(b.Context(), names); err != nil {
		b.Fatal(err)
	}
}

func (p *peb) write(b *testing.B, entries []keyindex.Entry) {
	batch := p.db.NewBatchWithSize(len(entries) * (keyBytes + 8 + 4))
	for _, e := range entries {
		op := batch.SetDeferred(keyBytes, 8)
		putKey(op.Key, e.Key)
		putPlace(op.Value, e.Place)
		if err := op.Finish(); err != nil {
			b.Fatal(err)
		}
	}
	if err := batch.Commit(pebble.NoSync); err != nil {
		b.Fatal(err)
	}
	if err := batch.Close(); err != nil {
		b.Fatal(err)
	}
}

func putPlace(out []byte, p keyindex.Place) {
	binary.LittleEndian.PutUint32(out, p.File)
	binary.LittleEndian.PutUint32(out[4:], p.Row)
}

func putKey(out []byte, k keyindex.Key) {
	binary.BigEndian.PutUint64(out, k.High)
	binary.BigEndian.PutUint64(out[8:], k.Low)
}

func (p *peb) upsert(b *testing.B, keys []keyindex.Key, places []keyindex.Place, n int64) {
	p.order = p.order[:0]
	for i := range keys {
		p.order = append(p.order, int32(i))
	}
	slices.SortFunc(p.order, func(a, b int32) int { return keys[a].Compare(keys[b]) })
	var work errgroup.Group
	for part := range parallel {
		work.Go(func() error {
			return p.lookup(p, keys, places, p.order[len(keys)*part/parallel:len(keys)*(part+1)/parallel])
		})
	}
	if err := work.Wait(); err != nil {
		b.Fatal(err)
	}
	entries := make([]keyindex.Entry, len(keys))
	for at, i := range p.order {
		entries[at] = keyindex.Entry{Key: keys[i], Place: keyindex.Place{File: uint32(n), Row: uint32(i)}}
	}
	p.write(b, entries)
}

func (p *peb) gets(keys []keyindex.Key, places []keyindex.Place, order []int32) error {
	var key [keyBytes]byte
	for _, i := range order {
		putKey(key[:], keys[i])
		value, closer, err := p.db.Get(key[:])
		if err != nil {
			return err
		}
		places[i] = placeOf(value)
		if err := closer.Close(); err != nil {
			return err
		}
	}
	return nil
}

func (p *peb) seeks(keys []keyindex.Key, places []keyindex.Place, order []int32) error {
	iterator, err := p.db.NewIter(nil)
	if err != nil {
		return err
	}
	var key [keyBytes]byte
	for _, i := range order {
		putKey(key[:], keys[i])
		places[i] = keyindex.Place{}
		if iterator.SeekGE(key[:]) && bytes.Equal(iterator.Key(), key[:]) {
			places[i] = placeOf(iterator.Value())
		}
	}
	return iterator.Close()
}

func placeOf(value []byte) keyindex.Place {
	return keyindex.Place{File: binary.LittleEndian.Uint32(value), Row: binary.LittleEndian.Uint32(value[4:])}
}

func (p *peb) close(b *testing.B) {
	if err := p.db.Close(); err != nil {
		b.Fatal(err)
	}
}
