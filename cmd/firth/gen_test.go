package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/ingest/source"
)

func TestGenProvesWhoItIs(t *testing.T) {
	broker, err := source.StartEmbedded(source.EmbeddedOptions{
		Users: map[string]string{"SCRAM-SHA-256/ann": "secret"}})
	require.NoError(t, err)
	t.Cleanup(broker.Close)
	at := broker.Connection().Brokers[0]
	password := write(t, t.TempDir(), "password", "secret\n")
	gen := func(flags ...string) outcome {
		return firth(t, append([]string{"gen", "--rows", "100", "--topic", "events"}, flags...)...)
	}
	known := []string{"--brokers", at, "--sasl-mechanism", "SCRAM-SHA-256", "--sasl-user", "ann"}
	good := gen(append(known, "--sasl-password", "${file:"+password+"}")...)
	require.Zero(t, good.code, good.stderr)
	require.Contains(t, good.stdout, "100 rows")
	configured := write(t, t.TempDir(), "firth.yaml", "clusters: {main: {brokers: ['"+at+"'], "+
		"sasl: {mechanism: SCRAM-SHA-256, user: ann, password: '${file:"+password+"}'}}}\n")
	named := gen("-c", configured, "--cluster", "main")
	require.Zero(t, named.code, named.stderr)

	for want, flags := range map[string][]string{
		"check TLS, user and password":              append(known, "--sasl-password", "wrong"),
		"--sasl: SCRAM-SHA-256 needs user and":      known,
		"FIRTH_NOWHERE is not set":                  append(known, "--sasl-password", "${FIRTH_NOWHERE}"),
		"--tls: cert_file and key_file belong":      {"--brokers", at, "--tls-cert-file", "x.pem"},
		"--sasl-mechanism: unknown mechanism \"X\"": {"--brokers", at, "--sasl-mechanism", "X"},
		"there is no cluster \"other\"":             {"-c", configured, "--cluster", "other"},
		"both --cluster and --brokers":              {"--cluster", "main", "--brokers", at},
		"give --out FILE, or --topic":               {},
	} {
		out := gen(flags...)
		require.Equal(t, exitCouldNot, out.code, out.stderr)
		require.Contains(t, out.stderr, want)
	}
}

func TestAnInterruptedGenSaysWhatIsMissing(t *testing.T) {
	file := filepath.Join(t.TempDir(), "rows.json")
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	const rows = "4000000000"
	ended := make(chan outcome, 1)
	go func() {
		ended <- firthWith(ctx, strings.NewReader(""), "gen", "--rows", rows, "--out", file, "--json")
	}()
	require.Eventually(t, func() bool {
		found, err := os.Stat(file)
		return err == nil && found.Size() > 0
	}, patience, time.Millisecond)
	interrupt()
	out := <-ended
	require.Equal(t, exitFallsShort, out.code, out.stderr)
	require.Contains(t, out.stderr, "of "+rows+" rows")
	var report genReport
	require.NoError(t, json.Unmarshal([]byte(out.stdout), &report))
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	require.EqualValues(t, strings.Count(string(text), "\n"), report.Rows)
	require.Positive(t, report.Rows)
	require.Contains(t, out.stderr, "--from ")

	endless := firthWith(ctx, strings.NewReader(""), "gen", "--out", file)
	require.Zero(t, endless.code, "without --rows an interrupt is how it ends")
}
