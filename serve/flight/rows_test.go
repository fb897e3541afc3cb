package flight

import (
	"context"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	arrowflight "github.com/apache/arrow-go/v18/arrow/flight"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/firthlake/firth/serve/lookup"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/point"
)

// users is one table with the rows 1 and 2, of which 1 was read before there was a name.
type users struct{}

func (users) Lookup(_ context.Context, ident table.Ident) (lookup.Table, error) {
	switch table.FormatIdent(ident) {
	case "db.users":
		return users{}, nil
	case "db.far":
		return nil, lookup.ErrElsewhere
	}
	return nil, table.ErrNotFound
}

func userFields() []iceberg.NestedField {
	return []iceberg.NestedField{
		{ID: 1, Name: "id", Type: iceberg.PrimitiveTypes.Int64, Required: true},
		{ID: 2, Name: "name", Type: iceberg.PrimitiveTypes.String},
	}
}

func (users) Schema() (*iceberg.Schema, error) {
	return iceberg.NewSchemaWithIdentifiers(0, []int{1}, userFields()...), nil
}

func (users) Get(_ context.Context, keys []arrow.RecordBatch) (point.Answer, error) {
	out := point.Answer{SnapshotID: 7, Position: table.Position{{Topic: "users", Partition: 1}: 42}}
	for _, key := range keys {
		id := key.Column(0).(*array.Int64).Value(0)
		if id > 2 {
			out.Rows = append(out.Rows, nil)
			continue
		}
		form, err := table.ArrowSchema(iceberg.NewSchema(0, userFields()[:id]...))
		if err != nil {
			return out, err
		}
		text := map[int64]string{1: `[{"id": 1}]`, 2: `[{"id": 2, "name": "Ada"}]`}[id]
		row, _, err := array.RecordFromJSON(memory.DefaultAllocator, form, strings.NewReader(text))
		if err != nil {
			return out, err
		}
		out.Rows = append(out.Rows, row)
	}
	return out, nil
}

func TestRowsAreAskedForByTheirKeys(t *testing.T) {
	client, _ := serve(t, "", "")
	ask := func(ticket string) (*arrowflight.Reader, error) {
		stream, err := client.Client.DoGet(t.Context(), &arrowflight.Ticket{Ticket: []byte(ticket)})
		require.NoError(t, err)
		return arrowflight.NewRecordReader(stream)
	}
	reader, err := ask(`{"table": "db.users", "keys": [2, 9, "1", {"id": 2}]}`)
	require.NoError(t, err)
	defer reader.Release()
	require.True(t, reader.Next())
	text, err := reader.RecordBatch().MarshalJSON()
	require.NoError(t, err)
	require.JSONEq(t, `[{"id": 2, "name": "Ada"}, {"id": 1, "name": null}, {"id": 2, "name": "Ada"}]`, string(text))
	metadata := reader.Schema().Metadata()
	position, _ := metadata.GetValue(metadataPosition)
	require.JSONEq(t, `{"users": {"1": 42}}`, position)
	snapshot, _ := metadata.GetValue(metadataSnapshot)
	require.Equal(t, "7", snapshot)
	require.False(t, reader.Next())
	require.NoError(t, reader.Err())

	none, err := ask(`{"table": "db.users", "keys": [9]}`)
	require.NoError(t, err)
	defer none.Release()
	for none.Next() {
		require.Zero(t, none.RecordBatch().NumRows())
	}
	require.NoError(t, none.Err())
	require.Equal(t, 2, none.Schema().NumFields())

	for ticket, code := range map[string]codes.Code{
		`{"table": "db.none", "keys": [1]}`:    codes.NotFound,
		`{"table": "none", "keys": [1]}`:       codes.InvalidArgument,
		`{"table": "db.users", "keys": ["x"]}`: codes.InvalidArgument,
		`{"table": "db.users", "keys": 1}`:     codes.InvalidArgument,
		`{"table": "db.users", "key": [1]}`:    codes.InvalidArgument,
		`{"table": "db.far", "keys": [1]}`:     codes.FailedPrecondition,
	} {
		_, err := ask(ticket)
		require.Equal(t, code, status.Code(err), "%s: %v", ticket, err)
	}
}

func TestAFlightInfoTellsTheColumnsOfRows(t *testing.T) {
	client, _ := serve(t, "", "")
	text := []byte(`{"table": "db.users", "keys": [1]}`)
	info, err := client.Client.GetFlightInfo(t.Context(), &arrowflight.FlightDescriptor{
		Type: arrowflight.DescriptorCMD, Cmd: text})
	require.NoError(t, err)
	require.Equal(t, text, info.Endpoint[0].Ticket.Ticket)
	schema, err := arrowflight.DeserializeSchema(info.Schema, memory.DefaultAllocator)
	require.NoError(t, err)
	require.Equal(t, 2, schema.NumFields())
	require.Equal(t, []string{"1 (null)"}, rows(t, client, info, nil))
}

func TestRowsAreForThoseWithAToken(t *testing.T) {
	client, _ := serve(t, "secret", "")
	stream, err := client.Client.DoGet(t.Context(), &arrowflight.Ticket{Ticket: []byte(`{"table": "db.users"}`)})
	require.NoError(t, err)
	_, err = arrowflight.NewRecordReader(stream)
	require.Equal(t, codes.Unauthenticated, status.Code(err), "%v", err)
}
