package objstore_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/table/objstore"
)

func TestOpenPicksTheStoreByScheme(t *testing.T) {
	folder := t.TempDir()
	cfg := objstore.DefaultConfig()
	cfg.Root = folder
	store, err := objstore.Open(cfg)
	require.NoError(t, err)
	locations := []string{"mem://x/a", folder + "/a", "file://" + folder + "/b"}
	for _, location := range locations {
		require.NoError(t, putString(t.Context(), store, location, "x"), location)
		_, err := store.Stat(t.Context(), location)
		require.NoError(t, err, location)
	}
	require.NoError(t, store.Remove(t.Context(), locations...))
	for _, location := range locations {
		_, err := store.Stat(t.Context(), location)
		require.ErrorIs(t, err, objstore.ErrNotFound, location)
	}
	_, err = store.Stat(t.Context(), "gs://bucket/key")
	require.ErrorIs(t, err, objstore.ErrBadLocation)
	require.ErrorContains(t, err, `no store for scheme "gs"`)
}

func TestConfigIsValidated(t *testing.T) {
	for want, cfg := range map[string]objstore.S3Config{
		"want a URL":         {Endpoint: "127.0.0.1:9000"},
		"leave out the path": {Endpoint: "http://host:9000/bucket"},
		"give both":          {AccessKey: "key"},
		"negative":           {Attempts: -1},
	} {
		require.ErrorContains(t, objstore.Config{S3: cfg}.Validate(), want)
	}
	require.NoError(t, objstore.DefaultConfig().Validate())
}

func TestSecretsAreMasked(t *testing.T) {
	cfg := objstore.S3Config{AccessKey: "key", SecretKey: "hush", SessionToken: "hush"}
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		require.NotContains(t, fmt.Sprintf(format, cfg), "hush", format)
	}
}
