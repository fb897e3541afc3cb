package ingest

import (
	"context"
	"iter"
	"slices"
	"testing"

	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/commit/verify"
	"github.com/firthlake/firth/ingest/decode"
	"github.com/firthlake/firth/ingest/evolve"
	"github.com/firthlake/firth/ingest/source"
	"github.com/firthlake/firth/ingest/source/sourcetest"
	"github.com/firthlake/firth/ingest/spec"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/filter"
)

// rereader reads the test's log again.
type rereader struct {
	log   *sourcetest.Log
	first commit.Offset
}

func (r rereader) Cluster() string { return r.log.TopicPartition("events", 0).Cluster }

func (r rereader) Bounds(_ context.Context, tp commit.TopicPartition) (first, end commit.Offset, found bool,
	err error) {
	return r.first, r.log.End(tp.Topic, tp.Partition), tp == r.log.TopicPartition(tp.Topic, tp.Partition), nil
}

func (r rereader) Read(_ context.Context, tp commit.TopicPartition, from, next commit.Offset,
) iter.Seq2[source.Chunk, error] {
	return func(yield func(source.Chunk, error) bool) {
		chunk := source.Chunk{TopicPartition: tp, From: from, Next: next}
		for _, record := range r.log.Records(tp.Topic, tp.Partition) {
			if record.Offset >= from && record.Offset < next {
				chunk.Records = append(chunk.Records, record)
			}
		}
		yield(chunk, nil)
	}
}

// deepCheck verifies a table against the log.
func (w *world) deepCheck(ident table.Ident, opts TableOptions, first commit.Offset) *verify.Report {
	w.t.Helper()
	t, err := w.catalog.LoadTable(w.t.Context(), ident)
	require.NoError(w.t, err)
	letters, err := w.catalog.LoadTable(w.t.Context(), commit.DeadLettersIdent(ident))
	require.NoError(w.t, err)
	opts.Committer, opts.Evolver = nil, nil
	r := NewRecounter(t, w.mem)
	require.NoError(w.t, r.Add(rereader{w.log, first}, opts))
	report, err := verify.Check(w.t.Context(), t, w.objects, verify.Options{Deep: true, Log: r,
		LogRequired: true, DeadLetters: letters})
	require.NoError(w.t, err)
	return report
}

// placedFields are the columns of events and of where they stand.
func placedFields(t *testing.T) []iceberg.NestedField {
	fields := eventFields()
	next := 100
	for _, name := range decode.DefaultMetadataColumns() {
		f, err := decode.MetadataField(name, func() int { next++; return next })
		require.NoError(t, err)
		known := slices.ContainsFunc(fields, func(g iceberg.NestedField) bool { return g.Name == f.Name })
		if !known {
			fields = append(fields, f)
		}
	}
	return fields
}

func TestRecountGivesWhatWasCommitted(t *testing.T) {
	w := newWorld(t)
	w.log.Create("events", 1)
	w.log.Skip("events", 0, 5)
	w.append(0, event(0), "", "not json", `{"id":"x"}`, event(1))
	w.log.Skip("events", 0, 3)
	w.append(0, event(900), event(2), `{"id":3,"name":7}`)
	w.log.Skip("events", 0, 2)
	ident := w.create("db.events", placedFields(t)...)
	opts := w.options(ident, "g")
	var err error
	opts.Filter, err = filter.Parse("id < 100")
	require.NoError(t, err)
	opts.DeadLetters.Classes = map[decode.Class]spec.Policy{decode.ClassSyntax: spec.Skip}
	g := w.ingester(w.log.Join("g", 4, "events"), opts)
	w.steps(g, 30)
	report := w.deepCheck(ident, opts, 0)
	require.Empty(t, report.Faults)
	require.Empty(t, report.Notes)
	require.EqualValues(t, report.Partitions[0].Next, report.Partitions[0].Retained)
	require.Empty(t, w.deepCheck(ident, opts, 7).Faults, "the log has lost its beginning")

	opts.Filter = nil
	report = w.deepCheck(ident, opts, 0)
	require.Equal(t, verify.FaultLog, report.Faults[0].Kind)
	require.Contains(t, report.Faults[0].Text, "when the spec's filter, format or policies changed")
	g.Close(t.Context())
}

func TestRecountDecodesWithTheSchemaOfTheTime(t *testing.T) {
	for name, policy := range map[string]evolve.Policy{
		"followed": {AddColumn: true}, "refused": {},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.log.Create("events", 2)
			w.append(0, events(0, 10)...)
			opts := evolvingTable(w, policy)
			g := w.ingester(w.log.Join("g", 7, "events"), opts)
			w.steps(g, 12)
			w.append(0, `{"id":10,"name":"x","colour":"red"}`, event(11))
			w.append(1, event(12), `{"id":13,"colour":"blue","size":4}`)
			w.steps(g, 30)
			report := w.deepCheck(opts.Ident, opts, 0)
			require.Empty(t, report.Faults)
			require.EqualValues(t, 12, report.Partitions[0].Retained)
			require.EqualValues(t, 2, report.Partitions[1].Retained)
			g.Close(t.Context())
		})
	}
}

// TestRecountLeavesOutColumnsThatWereAddedLater: the records had the field all along, the table had not.
func TestRecountLeavesOutColumnsThatWereAddedLater(t *testing.T) {
	w := newWorld(t)
	w.log.Create("events", 1)
	w.append(0, `{"id":0,"name":"a","colour":"red"}`)
	ident := w.create("db.events", eventFields()...)
	opts := w.options(ident, "g")
	g := w.ingester(w.log.Join("g", 7, "events"), opts)
	w.steps(g, 15)
	addColour := func(meta icetable.Metadata) ([]icetable.Update, error) {
		if _, there := meta.CurrentSchema().FindFieldByName("colour"); there {
			return nil, nil
		}
		old := meta.CurrentSchema()
		added := append(old.Fields(), iceberg.NestedField{ID: meta.LastColumnID() + 1, Name: "colour",
			Type: iceberg.PrimitiveTypes.String})
		schema := iceberg.NewSchema(old.ID+1, added...)
		return []icetable.Update{icetable.NewAddSchemaUpdate(schema), icetable.NewSetCurrentSchemaUpdate(-1)}, nil
	}
	_, err := opts.Committer.(*commit.Committer).Evolve(t.Context(), addColour)
	require.NoError(t, err)
	w.append(0, `{"id":1,"name":"b","colour":"blue"}`)
	w.steps(g, 15)
	w.append(0, `{"id":2,"name":"c","colour":"green"}`)
	w.steps(g, 15)
	report := w.deepCheck(ident, opts, 0)
	require.Empty(t, report.Faults)
	require.EqualValues(t, 3, report.Partitions[0].Retained)
	g.Close(t.Context())
}
