package ingest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/apache/iceberg-go"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/commit/verify"
	"github.com/firthlake/firth/ingest/upsert"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/keyindex"
)

// refoldRows is how many rows are folded at a time where nothing tells what a checkpoint was.
const refoldRows = 1 << 18

// Keyed says whether the records are versions of rows with keys.
func (r *Recounter) Keyed() bool {
	return len(r.sources) > 0 && r.sources[0].opts.Keyed != nil
}

// Refold decodes checkpoints again, one after the other, and folds the versions of rows as the Ingester did.
// It holds the versions of one checkpoint and those that mine takes.
func (r *Recounter) Refold(
	ctx context.Context, steps []verify.Step, seed keyindex.Seed, mine func(keyindex.Key) bool,
) (map[keyindex.Key]*verify.Version, error) {
	f := refold{recounter: r, seed: seed, mine: mine, versions: map[keyindex.Key]*verify.Version{}}
	defer f.rows.drop()
	for _, step := range steps {
		if err := f.take(ctx, step); err != nil {
			return nil, fmt.Errorf("fold %s again: %w", r.table, err)
		}
	}
	return f.versions, nil
}

// refold is one run.
type refold struct {
	recounter *Recounter
	seed      keyindex.Seed
	mine      func(keyindex.Key) bool
	versions  map[keyindex.Key]*verify.Version

	step   verify.Step
	schema *iceberg.Schema
	keyed  *keyedShape // nil until the first portion
	rows   heldRows    // of tables that merge versions
	set    *upsert.Set
}

// take folds one checkpoint.
func (f *refold) take(ctx context.Context, step verify.Step) error {
	f.step, f.schema = step, f.recounter.schema(step.SchemaID)
	if f.schema == nil {
		return fmt.Errorf("no schema %d", step.SchemaID)
	}
	defer f.drop()
	if err := f.follow(ctx); err != nil {
		return err
	}
	for _, tp := range slices.SortedFunc(maps.Keys(step.Ranges), commit.TopicPartition.Compare) {
		if err := f.read(ctx, tp, step.Ranges[tp]); err != nil {
			return fmt.Errorf("%s: %w", tp, err)
		}
	}
	return f.fold()
}

func (f *refold) read(ctx context.Context, tp commit.TopicPartition, stretch commit.Range) error {
	s := f.recounter.source(tp)
	if s == nil {
		return errors.New("no source reads it")
	}
	run, err := f.recounter.newRecount(ctx, s, f.schema)
	if err != nil {
		return err
	}
	defer run.worker.close()
	for chunk, err := range s.log.Read(ctx, tp, stretch.From, stretch.Next) {
		if err != nil {
			return err
		}
		for _, piece := range split(chunk, rowsOfUnit(run.group.rowBytes)) {
			if err := run.each(ctx, piece, f.add); err != nil {
				return err
			}
		}
	}
	return nil
}

// add takes in the versions of a portion.
func (f *refold) add(p *portion) error {
	defer p.release()
	switch {
	case p.err != nil:
		return p.err
	case p.suspend != nil:
		return p.suspend
	case p.rows == nil:
		return nil
	}
	if f.set == nil {
		f.keyed = p.shape.keyed
		f.set = upsert.New(f.keyed.foldOptions())
	}
	if err := f.set.Add(p.chunk.TopicPartition, p.rows, p.ops); err != nil {
		return err
	}
	if f.step.Several && f.set.Rows() >= refoldRows {
		return f.fold()
	}
	return nil
}

// fold moves the versions by what was added, and begins anew.
func (f *refold) fold() error {
	if f.set == nil {
		return nil
	}
	defer f.drop()
	hasher, err := keyindex.NewHasher(f.schema, f.seed)
	if err != nil {
		return err
	}
	sums, err := table.NewChecksummer(f.schema)
	if err != nil {
		return err
	}
	keys, checksums := make([]keyindex.Key, 0, f.set.Rows()), make([]uint64, 0, f.set.Rows())
	for _, part := range f.set.Parts() {
		some, _, err := hasher.Keys(nil, part.Batch)
		if err != nil {
			return err
		}
		keys = append(keys, some...)
		if checksums, err = sums.Rows(checksums, part.Batch); err != nil {
			return err
		}
	}
	keys = f.set.Order(keys)
	result := f.set.Fold(func(key int) upsert.Old { return f.old(keys[key]) })
	if result.Merged != nil {
		return f.merge(keys, &result)
	}
	for i, key := range keys {
		if !f.mine(key) {
			continue
		}
		v := f.version(key)
		offered := f.set.Most(i)
		most := slices.MaxFunc([][]int64{offered, v.Most, v.Sequence}, slices.Compare[[]int64])
		settled := f.move(v, result.Acts[i], checksums, offered)
		v.Unsure, v.Most = f.step.Unsure || f.doubtful(i) || v.Unsure && !settled, nil
		if v.Unsure {
			v.Most = most
		}
	}
	return nil
}

// old is what the versions so far have left of a key.
func (f *refold) old(key keyindex.Key) upsert.Old {
	v := f.versions[key]
	if v == nil || !v.Present {
		return upsert.Old{}
	}
	return upsert.Old{Present: true, Sequence: v.Sequence, Groups: f.rows.groupsOf(key)}
}

// version is that of a key, a new one if there is none yet.
func (f *refold) version(key keyindex.Key) *verify.Version {
	v := f.versions[key]
	if v == nil {
		v = &verify.Version{Unsure: f.keyed.merges() && f.step.Headless}
		f.versions[key] = v
	}
	return v
}

// doubtful says whether it matters for a key where a checkpoint ended, when nothing tells: it has deletes, whose
// sequence counts to the end of the checkpoint.
func (f *refold) doubtful(key int) bool {
	return f.step.Several && len(f.keyed.sequence) > 0 && f.set.Deletes(key)
}

// move makes a version that which an act leads to. settled says that the act leads there whatever version was
// before, of those up to Most.
func (f *refold) move(v *verify.Version, act upsert.Act, checksums []uint64, offered []int64) (settled bool) {
	settled = len(f.keyed.sequence) == 0 && !f.keyed.opts.First
	switch {
	case act == upsert.Keep:
		return false
	case act == upsert.Remove:
		v.Present, v.Checksum, v.Sequence = false, 0, nil
		return settled
	}
	v.Present, v.Checksum, v.Sequence = true, checksums[act], slices.Clone(f.set.Sequence(int(act)))
	if v.Sequence == nil { // which of those with a sequence came through depends on the version before
		return settled || offered == nil && !f.keyed.opts.First
	}
	return settled || !f.keyed.opts.First && slices.Compare(v.Sequence, v.Most) >= 0
}

// drop lets go of what was added.
func (f *refold) drop() {
	if f.set == nil {
		return
	}
	for _, part := range f.set.Parts() {
		part.Batch.Release()
	}
	f.set = nil
}

var _ verify.Refolder = (*Recounter)(nil)
