package verify

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"golang.org/x/sync/errgroup"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/keyindex"
)

// Refolder is the Log of a keyed table: it also tells which row each key has by the records.
type Refolder interface {
	Log
	// Keyed says whether records are versions of rows.
	Keyed() bool
	// Refold decodes steps again, one after the other, and folds the versions as ingest did. It returns the
	// last one of each key that there was, of those that mine takes. Keys are made with seed.
	Refold(ctx context.Context, steps []Step, seed keyindex.Seed, mine func(keyindex.Key) bool,
	) (map[keyindex.Key]*Version, error)
}

// Step are the ranges of one checkpoint.
type Step struct {
	SchemaID int
	// Ranges are read from From to Next.
	Ranges map[commit.TopicPartition]commit.Range
	// Several says that the ranges are of several checkpoints, and nothing tells which.
	Several bool
	// Unsure says that what the last versions are cannot be told for sure: of the schema or of the beginning
	// of the checkpoint something is not known.
	Unsure bool
	// Headless says that the topics have not all records any more of before: what there was of a key is not
	// known.
	Headless bool
}

// Version is what the records say of the row of a key.
type Version struct {
	// Present says that there is one; else the last version deletes it.
	Present bool
	// Checksum is that of the row, Sequence is what puts versions in order.
	Checksum uint64
	Sequence []int64
	// Unsure says that it may be another one, whose sequence is Most at the most.
	Unsure bool
	Most   []int64

	rows int // that the table was found to have
}

// keysAtOnce bounds the keys that are compared in one pass over log and files: 184 bytes each.
const keysAtOnce = 2 << 20

// keyFaultsMax is how many faults of a kind are told one by one.
const keyFaultsMax = 10

// keyed says whether the table's records are versions of rows.
func (c *check) keyed() bool {
	log, ok := c.opts.Log.(Refolder)
	return ok && log.Keyed() && len(c.meta.CurrentSchema().IdentifierFieldIDs) > 0
}

// compareKeys folds the versions that the log still has and holds the table against the last of each key.
func (c *check) compareKeys(ctx context.Context) error {
	if !c.keyed() {
		return nil
	}
	k := &keyComparison{check: c, log: c.opts.Log.(Refolder), first: map[place]commit.Offset{}}
	if err := k.begin(ctx); err != nil || k.steps == nil {
		return err
	}
	id := c.meta.TableUUID()
	k.seed = keyindex.Seed{High: binary.LittleEndian.Uint64(id[:]) ^ uint64(c.report.SnapshotID),
		Low: binary.LittleEndian.Uint64(id[8:])}
	k.passes = uint64(max(0, c.report.Files.Rows-c.report.Files.DeletedRows)/keysAtOnce) + 1
	for k.pass = range k.passes {
		if err := k.compare(ctx); err != nil {
			return err
		}
	}
	k.tell()
	return nil
}

// keyComparison is one comparison of a keyed table with its log.
type keyComparison struct {
	*check
	log   Refolder
	steps []Step
	// first is the first retained offset of each place; partly says that older ones were lost with time.
	first  map[place]commit.Offset
	partly bool
	seed   keyindex.Seed
	passes uint64
	pass   uint64

	mu       sync.Mutex // guards what follows
	versions map[keyindex.Key]*Version
	sure     differences
	aged     differences // those that there may be since the row of the key was too old and went
	keys     int64       // compared
	unsure   int64
	unknown  int64 // rows whose keys no record has that is still there
}

// mine says whether a key is compared in this pass.
func (k *keyComparison) mine(key keyindex.Key) bool { return key.Low%k.passes == k.pass }

// begin finds what is to be folded. No steps mean that nothing can be.
func (k *keyComparison) begin(ctx context.Context) error {
	for _, tp := range sorted(k.totals) {
		first, ok, err := k.log.Earliest(ctx, tp)
		switch {
		case err != nil:
			return k.logTrouble(ctx, tp, err)
		case !ok:
			k.note("rows are not compared with the last versions of their keys: no source reads %s any more", tp)
			return nil
		case k.totals[tp].Counts.Lost > 0 || k.totals[tp].Counts.SampledOut > 0:
			k.note("rows are not compared with the last versions of their keys: records of %s were lost or "+
				"sampled out", tp)
			return nil
		}
		k.first[place{tp.Topic, tp.Partition}] = first
		k.partly = k.partly || first > k.totals[tp].From
	}
	steps := []Step{{SchemaID: k.schemasBefore()[0], Several: true, Unsure: len(k.schemasBefore()) > 1,
		Ranges: k.expired}}
	for i, s := range k.check.steps {
		steps = append(steps, Step{SchemaID: s.schemaID, Unsure: len(k.schemasOf(i)) > 1, Ranges: s.ranges})
	}
	for _, s := range steps {
		ranges := map[commit.TopicPartition]commit.Range{}
		for tp, r := range s.Ranges {
			first := k.first[place{tp.Topic, tp.Partition}]
			s.Headless = k.partly
			s.Unsure = s.Unsure || first > r.From && !s.Several
			if r.From = max(r.From, first); r.From < r.Next {
				ranges[tp] = r
			}
		}
		if s.Ranges = ranges; len(ranges) > 0 {
			k.steps = append(k.steps, s)
		}
	}
	return nil
}

// compare is one pass.
func (k *keyComparison) compare(ctx context.Context) error {
	var err error
	if k.versions, err = k.log.Refold(ctx, k.steps, k.seed, k.mine); err != nil {
		if ctx.Err() != nil || k.opts.LogRequired {
			return fmt.Errorf("fold the log: %w", err)
		}
		k.note("rows are not compared with the last versions of their keys: %v", err)
		return nil
	}
	if err := k.readRows(ctx); err != nil {
		return err
	}
	for _, v := range k.versions {
		switch {
		case v.Unsure:
			k.unsure++
		case v.Present && v.rows == 0:
			k.aged.add(Fault{Kind: FaultMissingRow, Text: "the last version of a key is not in the table"})
		}
	}
	k.keys += int64(len(k.versions))
	k.versions = nil
	return nil
}

// readRows holds every live row against the versions.
func (k *keyComparison) readRows(ctx context.Context) error {
	tasks, err := table.Plan(ctx, k.table, k.store, table.Scan{})
	if err != nil {
		return err
	}
	foreign := map[string]bool{}
	for _, f := range k.files {
		foreign[f.name] = f.foreign
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(k.opts.Parallel)
	for _, task := range tasks {
		group.Go(func() error {
			err := guard(func() error { return k.readFile(ctx, task, foreign[task.File.FilePath()]) })
			if err != nil && ctx.Err() == nil && k.store.cause() == nil {
				return nil // deep has told that the file cannot be decoded
			}
			return err
		})
	}
	return group.Wait()
}

func (k *keyComparison) readFile(ctx context.Context, task table.Task, foreign bool) error {
	sums, err := table.NewChecksummer(task.Schema)
	if err != nil {
		return err
	}
	hasher, err := keyindex.NewHasher(task.Schema, k.seed)
	if err != nil {
		return err
	}
	var checksums []uint64
	var keys []keyindex.Key
	for batch, err := range table.Read(ctx, k.store, task) {
		if err != nil {
			return err
		}
		if checksums, err = sums.Rows(checksums[:0], batch); err != nil {
			return err
		}
		if keys, _, err = hasher.Keys(keys, batch); err != nil {
			return err
		}
		k.take(rowsOfFile{batch: batch, keys: keys, sums: checksums, name: task.File.FilePath(),
			foreign: foreign})
	}
	return nil
}

// rowsOfFile are rows that were read.
type rowsOfFile struct {
	batch   arrow.RecordBatch
	keys    []keyindex.Key
	sums    []uint64
	name    string
	foreign bool
}

func (k *keyComparison) take(r rowsOfFile) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for i, key := range r.keys {
		if !k.mine(key) {
			continue
		}
		v := k.versions[key]
		if v == nil {
			if k.unknown++; !k.partly && !r.foreign {
				k.sure.add(k.at(r, i, FaultRevivedRow, "no record of the topics is of its key"))
			}
			continue
		}
		if v.rows++; v.rows > 1 {
			k.sure.add(k.at(r, i, FaultDoubledRow, "the key has another row"))
		}
		switch older := k.older(r, i, v); {
		case v.Unsure, older, v.Present && v.Checksum == r.sums[i]:
		case v.Present:
			k.aged.add(k.at(r, i, FaultStaleRow, "it is not the last version of its key: an update was lost"))
		default:
			k.aged.add(k.at(r, i, FaultRevivedRow, "the last version of its key deletes it"))
		}
	}
}

// older says whether a row may be of a record that the log has no more, and stand against versions of a
// lower sequence.
func (k *keyComparison) older(r rowsOfFile, i int, v *Version) bool {
	if !k.partly || len(v.Sequence) == 0 {
		return false
	}
	where, offset, ok := placeOfRow(r.batch, i)
	return !ok || offset < k.first[where]
}

// placeOfRow is where the record of a row is, when the table has the columns that say so.
func placeOfRow(batch arrow.RecordBatch, i int) (place, commit.Offset, bool) {
	topic, ok1 := column(batch, rowCoordinates.topic).(*array.String)
	partition, ok2 := column(batch, rowCoordinates.partition).(*array.Int32)
	offset, ok3 := column(batch, rowCoordinates.offset).(*array.Int64)
	if !ok1 || !ok2 || !ok3 {
		return place{}, 0, false
	}
	return place{topic.Value(i), partition.Value(i)}, commit.Offset(offset.Value(i)), true
}

func (k *keyComparison) at(r rowsOfFile, i int, kind Kind, text string) Fault {
	f := Fault{Kind: kind, File: r.name, Text: text}
	if where, offset, ok := placeOfRow(r.batch, i); ok {
		f.Topic, f.Partition, f.From, f.Next = where.topic, where.partition, offset, offset+1
	}
	return f
}

// differences are rows that are not as the topics say.
type differences struct {
	rows   int64
	told   map[Kind]int64
	faults []Fault // the first few of each kind
}

// add counts a fault. Where it is called the comparison's mu is held, or nothing runs.
func (d *differences) add(f Fault) {
	if d.told == nil {
		d.told = map[Kind]int64{}
	}
	d.rows++
	if d.told[f.Kind]++; d.told[f.Kind] <= keyFaultsMax {
		d.faults = append(d.faults, f)
	}
}

// tell reports what was found. What others changed is told from no damage, so it is a note.
func (k *keyComparison) tell() {
	k.report.Keys = k.keys - k.unsure
	if k.unsure > 0 {
		k.note("%d keys are not compared with the topics: the schema changed, or their checkpoint began before "+
			"the topics do", k.unsure)
	}
	if k.partly && k.unknown > 0 {
		k.note("%d rows are of keys of which the topics have no record any more", k.unknown)
	}
	// A row that went takes with it what its key had, so each makes one key differ at most.
	if expired := k.report.Foreign.Expired; k.aged.rows > 0 && k.aged.rows <= expired {
		k.note("%d keys differ from the topics, and %d rows were too old and went", k.aged.rows, expired)
		k.aged = differences{}
	}
	for _, found := range []differences{k.sure, k.aged} {
		k.tellDifferences(found)
	}
}

func (k *keyComparison) tellDifferences(found differences) {
	if k.report.Foreign.Snapshots+k.report.Foreign.Unseen > 0 {
		for _, kind := range slices.Sorted(maps.Keys(found.told)) {
			k.note("%d rows differ from the topics (%s); others changed this table, and a wanted change is not "+
				"told from damage", found.told[kind], kind)
		}
		return
	}
	slices.SortStableFunc(found.faults, compareFaults)
	for _, f := range found.faults {
		k.report.fault(f)
	}
	for _, kind := range slices.Sorted(maps.Keys(found.told)) {
		if more := found.told[kind] - keyFaultsMax; more > 0 {
			k.note("%d more rows are %s", more, kind)
		}
	}
}

func compareFaults(a, b Fault) int {
	return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Topic, b.Topic),
		cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.From, b.From), cmp.Compare(a.File, b.File))
}
