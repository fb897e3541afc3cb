package ingest

import (
	"testing"

	"github.com/apache/iceberg-go"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/ingest/decode"
	"github.com/firthlake/firth/ingest/evolve"
)

func evolvingTable(w *world, policy evolve.Policy) TableOptions {
	ident := w.create("db.events", eventFields()...)
	opts := w.options(ident, "g")
	opts.Decode.UnknownFields = decode.UnknownEvolve
	opts.Evolver = Follower{Committer: opts.Committer.(*commit.Committer), Policy: policy}
	return opts
}

func TestTheTableFollowsNewFieldsWhileRunning(t *testing.T) {
	w := newWorld(t)
	w.log.Create("events", 2)
	w.append(0, events(0, 10)...)
	w.append(1, events(10, 20)...)
	opts := evolvingTable(w, evolve.Policy{AddColumn: true})
	g := w.ingester(w.log.Join("g", 7, "events"), opts)
	w.steps(g, 3)
	w.append(0, `{"id":20,"name":"x","colour":"red"}`, event(21))
	w.append(1, event(22), `{"id":23,"colour":"blue","size":4}`)
	w.append(0, events(24, 40)...)
	w.steps(g, 30)
	require.Equal(t, StateActive, g.Progress().Tables[0].State, g.Progress().Tables[0].Trouble)
	w.requireIDs(opts.Ident, 40)
	schema := opts.Committer.Table().Metadata().CurrentSchema()
	colour, found := schema.FindFieldByName("colour")
	require.True(t, found)
	require.Equal(t, iceberg.PrimitiveTypes.String, colour.Type)
	_, found = schema.FindFieldByName("size")
	require.True(t, found)
	g.Close(t.Context())
}

func TestRecordsOfARefusedSchemaAreDeadLetters(t *testing.T) {
	w := newWorld(t)
	w.log.Create("events", 1)
	w.append(0, events(0, 5)...)
	w.append(0, `{"id":100,"colour":"red"}`, event(5), `{"id":101,"colour":"red"}`)
	w.append(0, events(6, 10)...)
	opts := evolvingTable(w, evolve.Policy{})
	g := w.ingester(w.log.Join("g", 50, "events"), opts)
	w.steps(g, 20)
	w.requireIDs(opts.Ident, 10)
	letters := rows(w, commit.DeadLettersIdent(opts.Ident), "error_class", textAt)
	require.Equal(t, []string{"schema_changed", "schema_changed"}, letters)
	g.Close(t.Context())
}
