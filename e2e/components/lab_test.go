//go:build e2e

package components

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestServersStartAndRestart(t *testing.T) {
	lab, err := NewLab(t.TempDir())
	require.NoError(t, err)
	t.Cleanup(lab.Stop)
	ctx := t.Context()

	kafka, err := lab.Kafka(ctx)
	require.NoError(t, err)
	require.NoError(t, kafka.CreateTopic(ctx, "events", 8))
	require.NoError(t, kafka.Restart(ctx))
	require.ErrorContains(t, kafka.CreateTopic(ctx, "events", 8), "already exists")

	_, err = lab.MinIO(ctx, "warehouse")
	require.NoError(t, err)
	_, err = lab.Postgres(ctx)
	require.NoError(t, err)
	_, err = lab.Toxiproxy(ctx)
	require.NoError(t, err)
	_, err = lab.Registry(ctx)
	require.NoError(t, err)
}
