package flight

import (
	"errors"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/flight/flightsql"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestAServerWithoutEngineSaysSo(t *testing.T) {
	client, _ := run(t, Options{NoEngine: errors.New("built without it: build another"), Views: &lake{},
		Lookups: users{}}, nil)
	_, err := client.Execute(t.Context(), "numbers")
	require.Equal(t, codes.Unimplemented, status.Code(err))
	require.ErrorContains(t, err, "built without it: build another")
	_, err = client.Prepare(t.Context(), "numbers")
	require.Equal(t, codes.Unimplemented, status.Code(err))
	info, err := client.GetDBSchemas(t.Context(), &flightsql.GetDBSchemasOpts{})
	require.Equal(t, []string{"firth a.b", "firth db"}, rows(t, client, info, err))
	engine := &Client{sql: client}
	_, err = engine.Run(t.Context(), "numbers", nil)
	require.ErrorIs(t, err, ErrNoEngine)
	_, err = noEngine{errors.New("none")}.Run(t.Context(), "numbers", nil)
	require.Equal(t, codes.Unimplemented, status.Code(err))
}
