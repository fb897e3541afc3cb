//go:build e2e

package e2e

import (
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/e2e/components"
)

// TestS3ConformsOnMinIO runs the object store's conformance suite against a real server, with answers lost
// by a proxy.
func TestS3ConformsOnMinIO(t *testing.T) {
	t.Parallel()
	minio, err := newLab(t).MinIO(t.Context(), "conformance")
	require.NoError(t, err)
	keys := url.UserPassword(components.AccessKey, components.SecretKey)
	at := url.URL{Scheme: "http", User: keys, Host: minio.Address}
	runTagged(t, "../table/objstore", "S3", "FIRTH_TEST_S3="+at.String())
}

// TestCatalogStoreConformsOnPostgres runs the catalog's suites, crash sweeps among them, on a real server.
func TestCatalogStoreConformsOnPostgres(t *testing.T) {
	t.Parallel()
	postgres, err := newLab(t).Postgres(t.Context())
	require.NoError(t, err)
	runTagged(t, "../catalog", ".", "FIRTH_TEST_POSTGRES="+postgres.DSN)
}

// runTagged runs tests of a package that need a server.
func runTagged(t *testing.T, folder, pattern, variable string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "test", "-tags", "e2e", "-count", "1", "-run", pattern, ".")
	cmd.Dir = folder
	cmd.Env = append(os.Environ(), variable)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.NotContains(t, string(out), "no tests to run")
	t.Log(strings.TrimSpace(string(out)))
}
