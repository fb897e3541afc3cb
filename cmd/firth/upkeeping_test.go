package main

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/commit"
)

// TestUpkeepFollowsTheSpecs asks the role for its tables and policies, as they stand without ingest.
func TestUpkeepFollowsTheSpecs(t *testing.T) {
	f := newIngestedFolder(t)
	spec := filepath.Join(f.dir, "tables", "events.yaml")
	text, err := os.ReadFile(spec)
	require.NoError(t, err)
	text = append(text, "\nretention: {snapshots: 7, orphans: 48h}\n"...)
	require.NoError(t, os.WriteFile(spec, text, 0o600))

	p := &program{stdout: os.Stdout, stderr: os.Stderr, now: time.Now, configPath: f.config}
	c, err := p.loadConfig()
	require.NoError(t, err)
	l, err := p.open(t.Context(), c)
	require.NoError(t, err)
	defer l.close()
	feeder, err := p.newFeeder(l, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	require.NoError(t, err)
	defer feeder.close()
	role := &compacting{service: newService(feeder)}
	_, err = role.upkeep(prometheus.NewRegistry())
	require.NoError(t, err)
	tables, err := role.policies(t.Context())
	require.NoError(t, err)
	require.Len(t, tables, 1)
	require.Equal(t, commit.Expiry{Keep: 7, AgeMin: commit.ExpiryAgeDefault}, tables[0].Expiry)
	require.Equal(t, 48*time.Hour, tables[0].Grace)
	others, err := otherPlaces(t.Context(), l.catalog, tables[0].Committer.Table())
	require.NoError(t, err)
	require.Len(t, others, 1, "its dead letters")
}
