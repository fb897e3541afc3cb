package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/apache/iceberg-go"

	"github.com/firthlake/firth/catalog"
	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/ingest"
	"github.com/firthlake/firth/ingest/decode"
	"github.com/firthlake/firth/ingest/evolve"
	"github.com/firthlake/firth/table"
)

// feed is one table that the topic feeds, and what the world did to it beside firth.
type feed struct {
	ident table.Ident
	// keeps is the kind of record that the table's filter keeps.
	keeps string
	// follows says that the table takes new fields as columns; else records with one are dead letters.
	follows bool
	// keyed says that records are versions of rows, and id tells rows apart.
	keyed bool
	// engine is what becomes of several versions of a row, and seen what the table was found to be; both are of
	// keyed tables.
	engine engine
	seen   *observed

	// lost are offsets that the operator gave up.
	lost map[where]bool
	// removed are records that others deleted from the table, foreign the ids of rows that others
	// added and did not delete.
	removed map[where]bool
	foreign map[int64]bool
	// tags are the snapshots that others hold.
	tags map[string]int64
}

func newFeed(name, keeps string, follows bool) *feed {
	return &feed{
		ident: table.Ident{"db", name}, keeps: keeps, follows: follows, lost: map[where]bool{},
		removed: map[where]bool{}, foreign: map[int64]bool{}, tags: map[string]int64{},
	}
}

// where is the place of a record.
type where struct {
	partition int32
	offset    int64
}

// recordFate is what lies at an offset of the log.
type recordFate struct {
	kind recordKind
	id   int64
	// extra says that the record has a field that the table does not have at first.
	extra bool
	// row is what a record of a keyed table says; nil for tombstones.
	row *version
}

type recordKind int

const (
	isSignal recordKind = iota
	isNoise
	isBroken
	isTombstone
	isAbsent
)

// becomes is what the table is to make of a record.
type becomes int

const (
	nothing becomes = iota
	aRow
	aDeadLetter
)

func (f *feed) fate(r recordFate) becomes {
	switch {
	case r.kind == isBroken, r.extra && !f.follows:
		return aDeadLetter
	case r.kind == isSignal && f.keeps == "signal", r.kind == isNoise && f.keeps == "noise":
		return aRow
	}
	return nothing
}

// extraOf is the value of the field extra in the record with an id.
func extraOf(id int64) int64 { return id + 1000 }

func tableSchema(f *feed) *iceberg.Schema {
	fields := []iceberg.NestedField{
		{ID: 1, Name: "id", Type: iceberg.PrimitiveTypes.Int64, Required: true},
		{ID: 2, Name: "kind", Type: iceberg.PrimitiveTypes.String},
		{ID: 3, Name: "_kafka_topic", Type: iceberg.PrimitiveTypes.String},
		{ID: 4, Name: "_kafka_partition", Type: iceberg.PrimitiveTypes.Int32},
		{ID: 5, Name: "_kafka_offset", Type: iceberg.PrimitiveTypes.Int64},
	}
	if f.keyed {
		return iceberg.NewSchemaWithIdentifiers(0, []int{1}, append(fields, keyedFields()...)...)
	}
	return iceberg.NewSchema(0, fields...)
}

// create makes the topic, the tables and their dead-letter tables.
func (w *world) create(ctx context.Context) error {
	w.log.Create(topic, w.load.partitions)
	for _, f := range w.feeds {
		spec := catalog.TableSpec{
			Schema: tableSchema(f), Properties: iceberg.Properties{"format-version": w.load.version},
		}
		if f.keyed {
			w.shapeKeyed(&spec)
		} else if w.load.bucketed {
			partitioned := iceberg.NewPartitionSpec(iceberg.PartitionField{SourceIDs: []int{1},
				FieldID: 1000, Name: "id_bucket", Transform: iceberg.BucketTransform{NumBuckets: 4}})
			spec.PartitionSpec = &partitioned
		}
		if _, err := w.healthy.CreateTable(ctx, f.ident, spec); err != nil {
			return err
		}
		if f.keyed && w.keeping.changelog {
			if _, err := w.healthy.CreateTable(ctx, changesIdent(), w.changesSpec(f)); err != nil {
				return err
			}
		}
		letters := catalog.TableSpec{Schema: ingest.DeadLetterSchema()}
		if _, err := w.healthy.CreateTable(ctx, commit.DeadLettersIdent(f.ident), letters); err != nil {
			return err
		}
	}
	return nil
}

// record is the value of a record.
func (r recordFate) value() []byte {
	var text strings.Builder
	if r.kind == isBroken {
		fmt.Fprintf(&text, `{"id":"%d`, r.id)
		return []byte(text.String())
	}
	if r.row != nil {
		return r.row.json()
	}
	switch r.kind {
	case isNoise:
		fmt.Fprintf(&text, `{"id":%d,"kind":"noise"`, r.id)
	default:
		fmt.Fprintf(&text, `{"kind":"signal","id":%d`, r.id)
	}
	if r.extra {
		fmt.Fprintf(&text, `,"extra":%d`, extraOf(r.id))
	}
	return []byte(text.String() + "}")
}

// evolver follows new fields as the service does.
type evolver struct {
	committer *commit.Committer
	policy    evolve.Policy
}

// Evolve implements ingest.Evolver.
func (e evolver) Evolve(ctx context.Context, evolution *decode.EvolutionError) (bool, error) {
	return ingest.Follower{Committer: e.committer, Policy: e.policy}.Evolve(ctx, evolution)
}
