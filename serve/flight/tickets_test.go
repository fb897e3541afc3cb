package flight

import (
	"testing"

	arrowflight "github.com/apache/arrow-go/v18/arrow/flight"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/firthlake/firth/serve/stream"
	"github.com/firthlake/firth/table"
)

func TestATicketAsksForOneThing(t *testing.T) {
	asked, ident, err := parseTicket([]byte(`{"table": "a.b.t", "stream": {"from": "end", "columns": ["id"]}}`))
	require.NoError(t, err)
	require.Equal(t, table.Ident{"a", "b", "t"}, ident)
	require.Equal(t, &stream.Asked{From: "end", Columns: []string{"id"}}, asked.Stream)
	for _, wrong := range []string{`{`, `{"table": "db.t"}`, `{"table": "db.t", "keys": [1], "stream": {}}`,
		`{"table": "t", "stream": {}}`, `{"table": "db.t", "stream": {"form": "end"}}`,
		`{"table": "db.t", "stream": {}} {}`, `{"table": "db.t", "keys": [1], "from": "end"}`} {
		_, _, err := parseTicket([]byte(wrong))
		require.Error(t, err, wrong)
	}
}

func TestTicketsThatCannotBeServedSayWhy(t *testing.T) {
	w := newItems(t)
	for _, text := range []string{
		`{"table": "db.items", "stream": {"from": "yesterday"}}`,
		`{"table": "db.items", "stream": {"filter": "none = 1"}}`,
		`{"table": "db.items", "stream": {"columns": ["none"]}}`,
		`{"table": "db.items", "stream": {"rows": "old"}}`,
		`{"table": "db.items"}`,
	} {
		require.Equal(t, codes.InvalidArgument, w.refused(text), text)
	}
	require.Equal(t, codes.NotFound, w.refused(`{"table": "db.none", "stream": {}}`))
	require.Equal(t, codes.NotFound, w.refused(`{"table": "db.items", "stream": {"from": "77"}}`))
	client, _ := run(t, Options{Engine: &lake{}, Views: &lake{}}, nil)
	for _, text := range []string{`{"table": "db.items", "stream": {}}`, `{"table": "db.users", "keys": [1]}`} {
		_, err := client.Client.GetFlightInfo(t.Context(), command(text))
		require.Equal(t, codes.Unimplemented, status.Code(err), text)
	}
}

func TestAFlightInfoTellsTheColumnsOfAStream(t *testing.T) {
	w := newItems(t)
	text := `{"table": "db.items", "stream": {"columns": ["id"]}}`
	info, err := w.client.Client.GetFlightInfo(t.Context(), command(text))
	require.NoError(t, err)
	require.Equal(t, text, string(info.Endpoint[0].Ticket.Ticket))
	schema, err := arrowflight.DeserializeSchema(info.Schema, memory.DefaultAllocator)
	require.NoError(t, err)
	require.Equal(t, "op", schema.Field(0).Name)
	require.Zero(t, w.subscribers(), "nobody follows by asking that")
	_, err = w.client.Client.GetFlightInfo(t.Context(), command(`{"table": "db.none", "stream": {}}`))
	require.Equal(t, codes.NotFound, status.Code(err))
}

func command(text string) *arrowflight.FlightDescriptor {
	return &arrowflight.FlightDescriptor{Type: arrowflight.DescriptorCMD, Cmd: []byte(text)}
}
