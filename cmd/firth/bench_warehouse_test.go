package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestABenchmarkUsesTheWarehouseOfTheConfiguration(t *testing.T) {
	folder := t.TempDir()
	p := &program{configPath: write(t, folder, "firth.yaml", `
catalog: {store: catalog.db}
warehouse:
  location: s3://bucket/lake
  s3: {endpoint: "http://127.0.0.1:9", access_key: "${KEY}", secret_key: "${SECRET}", ca_file: ca.pem}
`), getenv: func(name string) (string, bool) { return "from-" + name, true }}
	text, err := p.benchWarehouse()
	require.NoError(t, err)
	require.Contains(t, text, "${SECRET}", "keys are not written down")
	require.NotContains(t, text, "from-SECRET")
	own := &program{configPath: write(t, t.TempDir(), "firth.yaml", "catalog: {store: catalog.db}\n"+text),
		getenv: p.getenv}
	c, err := own.loadConfig()
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(c.Warehouse.Location, "s3://bucket/lake/firth-bench-"), c.Warehouse.Location)
	require.Equal(t, "http://127.0.0.1:9", c.Warehouse.S3.Endpoint)
	require.EqualValues(t, "from-SECRET", c.Warehouse.S3.SecretKey)
	require.Equal(t, filepath.Join(folder, "ca.pem"), c.Warehouse.S3.CAFile)
	again, err := p.benchWarehouse()
	require.NoError(t, err)
	require.NotEqual(t, text, again, "each has a place of its own")
}

func TestReadersOfDoorsReadTheWarehouseOfTheConfiguration(t *testing.T) {
	t.Setenv("FIRTH_TEST_RUN_MAIN", "1") // for the service
	folder := t.TempDir()
	file := write(t, folder, "firth.yaml", "catalog: {store: catalog.db}\nwarehouse: {location: lake}\n")
	out := firth(t, "bench", "live", "-c", file, "--seconds", "2", "--rate", "1000", "--chunks", "0", "--json")
	require.Zero(t, out.code, out.stderr+out.stdout)
	found, err := os.ReadDir(filepath.Join(folder, "lake"))
	require.NoError(t, err)
	require.Len(t, found, 1)
}
