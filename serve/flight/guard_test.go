package flight

import (
	"context"
	"errors"
	"io"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/flight/flightsql"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

func TestTokensAreAskedFor(t *testing.T) {
	client, _ := serve(t, "may-read", "may-write")
	with := func(header string) context.Context {
		return metadata.AppendToOutgoingContext(t.Context(), "authorization", header)
	}
	for _, header := range []string{"", "Bearer guessed", "Bearer ", "bearer", "Basic ?", "Basic bWF5LXJlYWQ",
		"may-read", "Digest may-read"} {
		_, err := client.Execute(with(header), "numbers")
		require.Equal(t, codes.Unauthenticated, status.Code(err), header)
		_, err = shakeHands(with(header), client)
		require.Equal(t, codes.Unauthenticated, status.Code(err), header)
		_, err = client.Prepare(with(header), "numbers")
		require.Equal(t, codes.Unauthenticated, status.Code(err), header)
	}
	for _, token := range []string{"may-read", "may-write"} {
		_, err := client.Execute(with("Bearer "+token), "numbers")
		require.NoError(t, err)
		answer, err := shakeHands(with("bearer  "+token), client)
		require.NoError(t, err)
		require.Equal(t, []string{"Bearer " + token}, answer)
		ctx, err := client.Client.AuthenticateBasicToken(t.Context(), "anybody", token)
		require.NoError(t, err)
		_, err = client.Execute(ctx, "numbers")
		require.NoError(t, err)
	}
	_, err := client.Client.AuthenticateBasicToken(t.Context(), "anybody", "guessed")
	require.Error(t, err)
}

// shakeHands returns the token to go on with, as a handshake's answer has it.
func shakeHands(ctx context.Context, client *flightsql.Client) ([]string, error) {
	stream, err := client.Client.Handshake(ctx)
	if err != nil {
		return nil, err
	}
	if err := stream.CloseSend(); err != nil {
		return nil, err
	}
	if _, err = stream.Recv(); !errors.Is(err, io.EOF) {
		return nil, err
	}
	return stream.Trailer().Get("authorization"), nil
}

func TestWithoutTokensEverybodyShakesHands(t *testing.T) {
	client, _ := serve(t, "", "")
	for header, want := range map[string]string{"": "Bearer none", "Basic YW55Ym9keTo=": "Bearer none",
		"Basic YW55Ym9keTpoaQ": "Bearer hi", "Bearer hi": "Bearer hi"} {
		ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", header)
		answer, err := shakeHands(ctx, client)
		require.NoError(t, err, header)
		require.Equal(t, []string{want}, answer, header)
		ctx = metadata.AppendToOutgoingContext(t.Context(), "authorization", answer[0])
		_, err = client.Execute(ctx, "numbers")
		require.NoError(t, err, header)
	}
}
