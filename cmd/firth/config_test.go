package main

import (
	"path/filepath"
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/table/objstore"
)

func load(t *testing.T, text string, environment map[string]string) (config, error) {
	t.Helper()
	p := &program{configPath: write(t, t.TempDir(), "firth.yaml", text), getenv: func(name string) (string, bool) {
		value, ok := environment[name]
		return value, ok
	}}
	return p.loadConfig()
}

func TestConfigTakesSecretsFromEnvironmentAndFiles(t *testing.T) {
	secret := write(t, t.TempDir(), "secret", "from-file\n")
	c, err := load(t, `
clusters:
  default:
    brokers: ["${HOST}:9092"]
    sasl: {mechanism: PLAIN, user: u, password: "${PASSWORD}"}
tokens: {write: "${file:`+secret+`}"}
`, map[string]string{"HOST": "kafka", "PASSWORD": "s3cret"})
	require.NoError(t, err)
	require.Equal(t, []string{"kafka:9092"}, c.Clusters["default"].Brokers)
	require.Equal(t, objstore.Secret("s3cret"), c.Clusters["default"].SASL.Password)
	require.Equal(t, objstore.Secret("from-file"), c.Tokens.Write)

	shown := c.effective()
	require.NotContains(t, shown, "s3cret")
	require.NotContains(t, shown, "from-file")
	require.Contains(t, shown, "kafka:9092")
	require.Contains(t, c.LogValue().String(), "***")
}

func TestConfigMasksPasswordsInAddresses(t *testing.T) {
	c, err := load(t,
		"catalog: {store: 'postgres://firth:hunter2@db/firth'}\nregistry: {urls: ['http://u:hunter2@sr:8081']}\n", nil)
	require.NoError(t, err)
	require.NotContains(t, c.effective(), "hunter2")
}

func TestConfigPathsAreRelativeToTheFile(t *testing.T) {
	c, err := load(t, "tables: specs\n", nil)
	require.NoError(t, err)
	require.Equal(t, filepath.Join(filepath.Dir(c.file), "specs"), c.Tables)
	require.True(t, filepath.IsAbs(c.Warehouse.Location))
}

func TestConfigFaultsNameLineAndRemedy(t *testing.T) {
	for text, want := range map[string]string{
		"clusers: {}":                   ":1: clusers: unknown key; known here: clusters, registry,",
		"tokens:\n  read: ${MISSING}":   ":2: environment variable MISSING is not set; set it",
		"tokens: {read: a}":             ":1: tokens: a read token alone leaves writing open",
		"limits: {memory: 1MiB}":        ":1: limits.memory: 1MiB is too little; write 128MiB or more",
		"clusters:\n  a: {brokers: []}": ":2: clusters.a.brokers: names no broker",
		"clusters:\n  a:\n    brokers: [b]\n    sasl: {mechanism: GSSAPI}": ":4: clusters.a.sasl.mechanism: unknown",
		"live: {interval: 1ms}":                  ":1: live.interval: 1ms is not between 100ms and 10s; write 500ms",
		"catalog: {uri: nowhere}":                ":1: catalog.uri: \"nowhere\" is no address",
		"limits: {decode_workers: many}":         ":1: \"many\" where a number belongs",
		"warehouse: {s3: {endpoint: 'ftp://x'}}": ":1: warehouse.s3: s3 endpoint",
	} {
		_, err := load(t, text, nil)
		require.ErrorContains(t, err, want, text)
	}
}

// knobsMax is the budget of the style guide (7.5).
const knobsMax = 40

func TestConfigKeepsItsBudgetOfKnobs(t *testing.T) {
	require.LessOrEqual(t, knobs(reflect.TypeFor[config]()), knobsMax)
}

// knobs counts the settings in a configuration type, a map's element once.
func knobs(t reflect.Type) int {
	switch t.Kind() {
	case reflect.Map:
		return knobs(t.Elem())
	case reflect.Struct:
		n := 0
		for i := range t.NumField() {
			if t.Field(i).Tag.Get("yaml") != "" {
				n += knobs(t.Field(i).Type)
			}
		}
		return n
	}
	return 1
}

func TestConfigRefusesAnOpenCatalogOnTheNetwork(t *testing.T) {
	_, err := load(t, "listen: {catalog: '0.0.0.0:8181'}\n", nil)
	require.ErrorContains(t, err, "asks for no token; set tokens.write, or listen on 127.0.0.1")
	_, err = load(t, "listen: {catalog: '0.0.0.0:8181'}\ntokens: {write: secret}\n", nil)
	require.NoError(t, err)
}

func TestTemporaryFolderIsAllowedOnLoopbackOnly(t *testing.T) {
	c := defaultConfig()
	require.NotEmpty(t, c.allowedLocations())
	c.Listen.Catalog = ":8181"
	require.Empty(t, c.allowedLocations())
	c.Catalog.AllowedLocations = []string{"s3://other/place"}
	require.Equal(t, []string{"s3://other/place"}, c.allowedLocations())
}

func TestTokenFileIsReadForEveryAuthentication(t *testing.T) {
	c, err := load(t, "clusters: {default: {brokers: [k:9092], tls: {ca_file: ca.pem}, "+
		"sasl: {mechanism: OAUTHBEARER, token_file: token}}}\n", nil)
	require.NoError(t, err)
	cluster, folder := c.Clusters["default"], filepath.Dir(c.file)
	require.Equal(t, filepath.Join(folder, "ca.pem"), cluster.TLS.CAFile)
	for _, want := range []string{"first", "second"} {
		write(t, folder, "token", want+"\n")
		token, err := cluster.SASL.token(t.Context())
		require.NoError(t, err)
		require.Equal(t, want, token)
	}
}
