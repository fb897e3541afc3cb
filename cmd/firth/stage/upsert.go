package stage

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/firthlake/firth/catalog"
	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/ingest"
	"github.com/firthlake/firth/ingest/spec"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/keyed"
	"github.com/firthlake/firth/table/objstore"
)

// UpsertOptions say what Upsert measures: Rows records of the feed over Keys keys, which a keyed table takes
// in as the service does.
type UpsertOptions struct {
	Options
	Keys int
	// Distribution is how keys are drawn: Uniform or Zipf.
	Distribution string
	// Merge is the merge engine: last, partial or aggregate, which counts and sums versions.
	Merge spec.Merge
	// Interval is how often it commits, Workers how many goroutines decode and write, BudgetBytes what
	// buffered rows may take, and IndexBytes what the key index may.
	Interval                time.Duration
	Workers                 int
	BudgetBytes, IndexBytes int64
	// Dir is an empty folder for warehouse, catalog and index.
	Dir string
	// Committer is what commits need from outside: clock, ids, randomness, sleep, name.
	Committer commit.Options
}

// UpsertResult is what was measured, from the first record to the last commit. Rows are records.
type UpsertResult struct {
	Result
	Distribution string     `json:"distribution"`
	Merge        spec.Merge `json:"merge"`
	Keys         int        `json:"keys"`
	Commits      int64      `json:"commits"`
	// Counts are what the records came to.
	Counts commit.Counts `json:"counts"`
	// IndexBytesPerKey is the memory of the index at the end.
	IndexBytesPerKey float64 `json:"index_bytes_per_key"`
	// Mismatches are keys whose row is not what a map of the records would hold.
	Mismatches int64 `json:"mismatches"`
}

// upsertTable is the table of the benchmark; the feed's columns follow.
const upsertTable = "bench.upserts"

// Upsert measures how fast records become the rows of a keyed table, on a local store and an SQLite catalog.
// Records are made of rows that were made ready beforehand: what it takes to give them keys is counted.
func Upsert(ctx context.Context, o UpsertOptions) (UpsertResult, error) {
	result := UpsertResult{Distribution: o.Distribution, Merge: o.Merge, Keys: o.Keys}
	b := &upserting{opts: o}
	closer, err := b.open(ctx)
	if err != nil {
		return result, err
	}
	defer closer()
	log, err := newKeyedLog(o)
	if err != nil {
		return result, err
	}
	ingester, err := b.ingester(ctx, log)
	if err != nil {
		return result, err
	}
	meter, err := StartMeter(o.Now)
	if err != nil {
		return result, err
	}
	defer meter.Cancel()
	if err := b.run(ctx, ingester); err != nil {
		return result, err
	}
	result.Stage, result.Workload, result.Format = "upsert", o.Workload, o.Format
	result.Rows, result.BytesRead = o.Rows, log.bytes
	if err := meter.Stop(&result.Result, o.CPUProfile); err != nil {
		return result, err
	}
	result.Rate()
	progress := ingester.Progress().Tables[0]
	result.Commits, result.Files, result.Counts = progress.Commits, progress.Files, progress.Committed
	if keys := b.index.Index().Keys(); keys > 0 {
		result.IndexBytesPerKey = float64(b.index.Index().Bytes()) / float64(keys)
	}
	result.Mismatches, err = b.compare(ctx, log)
	return result, err
}

// upserting is the table while it takes in records.
type upserting struct {
	opts      UpsertOptions
	spec      *spec.Spec
	store     objstore.Store
	committer *commit.Committer
	index     *keyed.Keeper
	keys      *ingest.Keys
}

// open makes the table. The caller calls what it returns at the end.
func (b *upserting) open(ctx context.Context) (func(), error) {
	var err error
	if b.spec, err = upsertSpec(b.opts); err != nil {
		return nil, err
	}
	schema, err := b.spec.TableSchema()
	if err != nil {
		return nil, err
	}
	local, err := objstore.NewLocal("")
	if err != nil {
		return nil, err
	}
	store, err := catalog.OpenSQLite(ctx, filepath.Join(b.opts.Dir, "catalog.db"))
	if err != nil {
		return nil, err
	}
	fail := func(err error) (func(), error) { return nil, errors.Join(err, store.Close()) }
	cat := catalog.New(store, local, catalog.Options{Warehouse: filepath.Join(b.opts.Dir, "warehouse"),
		TableProperties: catalog.DefaultTableProperties(), Now: b.opts.Committer.Now,
		NewID: b.opts.Committer.NewID})
	ident := b.spec.Ident()
	if err := cat.CreateNamespace(ctx, catalog.Namespace{ident[0]}, nil); err != nil {
		return fail(err)
	}
	if _, err := cat.CreateTable(ctx, ident, catalog.TableSpec{Schema: schema,
		Properties: map[string]string{"format-version": "3"}}); err != nil {
		return fail(err)
	}
	b.store = local
	if b.committer, err = commit.Open(ctx, cat, local, ident, b.opts.Committer); err != nil {
		return fail(err)
	}
	b.keys = ingest.NewKeys(func(ctx context.Context, t *table.Table) (ingest.KeyIndex, error) {
		var err error
		b.index, err = keyed.Open(ctx, local, t, keyed.Options{Dir: filepath.Join(b.opts.Dir, "index"),
			MemoryBytes: b.opts.IndexBytes, Parallel: b.opts.Workers, Salt: rand.Uint64})
		return b.index, err
	})
	return func() { _ = errors.Join(b.keys.Close(), store.Close()) }, nil // the folder is thrown away
}

// upsertSpec is the spec of the table.
func upsertSpec(o UpsertOptions) (*spec.Spec, error) {
	g, err := o.Generator()
	if err != nil {
		return nil, err
	}
	s := KeyedSpec(upsertTable, spec.Source{Topics: []string{topic}, Format: o.Format}, g)
	s.Sequence, s.Merge = []string{ColumnVersion}, o.Merge
	if o.Merge == spec.MergeAggregate {
		s.Schema.Columns = append(s.Schema.Columns, spec.Column{Name: columnCount, Type: "long"},
			spec.Column{Name: columnSum, Type: "long", Path: ColumnVersion})
		s.Aggregate = map[string]spec.Function{columnCount: spec.FunctionCount, columnSum: spec.FunctionSum}
	}
	text, err := spec.Marshal(&s)
	if err != nil {
		return nil, err
	}
	return spec.Parse("bench.yaml", text)
}

func (b *upserting) ingester(ctx context.Context, log *keyedLog) (*ingest.Ingester, error) {
	decoding, err := b.spec.DecodeOptions(b.spec.Sources[0])
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Join(b.opts.Dir, "index"), 0o755); err != nil {
		return nil, fmt.Errorf("make folder of the index: %w", err)
	}
	keyed := &ingest.KeyedOptions{Sequence: b.spec.Sequence, Tombstones: true, Keys: b.keys}
	if m := b.opts.Merge; m == spec.MergePartial || m == spec.MergeAggregate {
		keyed.Merge = &ingest.MergeOptions{Functions: b.spec.Aggregate}
	}
	return ingest.New(ctx, ingest.Options{
		Source: log, Store: b.store, Budget: table.NewBudget(b.opts.BudgetBytes), Workers: b.opts.Workers,
		SpillDir: b.opts.Dir, Now: b.opts.Now, NewID: b.opts.Committer.NewID,
		Tables: []ingest.TableOptions{{Ident: b.spec.Ident(), Topics: []string{topic}, Committer: b.committer,
			Decode: decoding, Freshness: spec.Freshness{Interval: spec.Duration(b.opts.Interval),
				Rows: b.opts.Rows + 1, Bytes: spec.Size(b.opts.BudgetBytes)},
			Keyed: keyed,
		}},
	})
}

// upsertLook is how often the benchmark looks whether all records were read.
const upsertLook = 20 * time.Millisecond

// run ingests until all records are committed.
func (b *upserting) run(ctx context.Context, ingester *ingest.Ingester) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- ingester.Run(ctx) }()
	ticker := time.NewTicker(upsertLook)
	defer ticker.Stop()
	for {
		select {
		case err := <-ended:
			return errors.Join(err, errors.New("ingest ended before the last record"))
		case <-ticker.C:
		}
		t := ingester.Progress().Tables[0]
		b.opts.Progress(t.Read.Sum())
		if t.Trouble != "" { // there is nothing here that may pass
			cancel()
			return errors.Join(errors.New(t.Trouble), <-ended)
		}
		if t.Read.Sum() >= b.opts.Rows {
			cancel()
			return <-ended // the last checkpoint is committed before it returns
		}
	}
}

// compare reads the table and counts the keys that are not as the records left them.
func (b *upserting) compare(ctx context.Context, log *keyedLog) (mismatches int64, err error) {
	scan := table.Scan{Columns: []string{ColumnKey, ColumnVersion}}
	adds := b.opts.Merge == spec.MergeAggregate
	if adds {
		scan.Columns = append(scan.Columns, columnCount, columnSum)
	}
	tasks, err := table.Plan(ctx, b.committer.Table(), b.store, scan)
	if err != nil {
		return 0, err
	}
	found := make([]keyState, b.opts.Keys)
	for _, task := range tasks {
		for batch, err := range table.Read(ctx, b.store, task) {
			if err != nil {
				return 0, err
			}
			keys, versions := batch.Column(0).(*array.String), batch.Column(1).(*array.Int64)
			for row := range int(batch.NumRows()) {
				key, err := KeyNumber(keys.Value(row))
				if err != nil || key >= len(found) || found[key] != (keyState{}) {
					mismatches++ // no key of ours, or one that has two rows
					continue
				}
				found[key].version = versions.Value(row)
				if adds {
					found[key].count = batch.Column(2).(*array.Int64).Value(row)
					found[key].sum = batch.Column(3).(*array.Int64).Value(row)
				}
			}
		}
	}
	for key, want := range log.last {
		if !adds {
			want.count, want.sum = 0, 0
		}
		if found[key] != want {
			mismatches++
		}
	}
	return mismatches, nil
}
