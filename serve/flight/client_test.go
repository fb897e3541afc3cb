package flight

import (
	"context"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/serve/query"
	"github.com/firthlake/firth/table"
)

func TestClientIsAnEngine(t *testing.T) {
	served, _ := serve(t, "", "secret")
	require.NotNil(t, served)
	client := &Client{sql: served, token: "secret"}
	described, err := client.Describe(t.Context(), "echo ?")
	require.NoError(t, err)
	require.True(t, described.Columns.Equal(numbers()))
	require.True(t, described.Parameters.Equal(numbers()))

	reader, err := client.Run(t.Context(), "numbers", nil)
	require.NoError(t, err)
	require.True(t, reader.Next())
	row := reader.RecordBatch().NewSlice(0, 1)
	require.False(t, reader.Next())
	require.NoError(t, reader.Err())
	reader.Release()

	reader, err = client.Run(t.Context(), "echo ?", row)
	require.NoError(t, err)
	require.True(t, reader.Next())
	require.EqualValues(t, 1, reader.RecordBatch().Column(0).(*array.Int64).Value(0))
	reader.Release()
	row.Release()

	for sql, want := range map[string]error{
		"nonsense": query.ErrInvalid, "gone": table.ErrNotFound, "write": query.ErrRefused,
	} {
		_, err := client.Run(t.Context(), sql, nil)
		require.ErrorIs(t, err, want)
	}
	client.token = "other"
	_, err = client.Run(t.Context(), "numbers", nil)
	require.ErrorIs(t, err, ErrToken)
}

func TestClientEndsItsStatement(t *testing.T) {
	served, l := serve(t, "", "")
	client := &Client{sql: served}
	reader, err := client.Run(t.Context(), "endless", nil)
	require.NoError(t, err)
	require.True(t, reader.Next())
	reader.Release()
	<-l.ended

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = client.Run(ctx, "numbers", nil)
	require.ErrorIs(t, err, context.Canceled)
}

func TestNobodyAnswers(t *testing.T) {
	client, err := Dial("grpc://127.0.0.1:1", "")
	require.NoError(t, err)
	defer client.Close()
	_, err = client.Run(t.Context(), "numbers", nil)
	require.ErrorIs(t, err, ErrUnreachable)
	_, err = Dial("ftp://x", "")
	require.ErrorContains(t, err, "there is no scheme ftp")
}
