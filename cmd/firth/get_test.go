package main

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

// TestGetShowsRowsBeforeTheyAreCommitted looks up rows in a running process whose checkpoints are far apart.
func TestGetShowsRowsBeforeTheyAreCommitted(t *testing.T) {
	f := newLakeFolder(t)
	write(t, f.dir, "tables/users.yaml", `
name: db.users
identifier: [id, shop]
schema:
  columns:
  - {name: id, type: long, required: true}
  - {name: shop, type: string, required: true}
  - {name: name, type: string}
sources: [{topics: [events]}]
freshness: {interval: 1h, interval_max: 1h}
`)
	f.spec(t, "", "")
	require.Zero(t, f.firth(t, "apply", "--yes").code)
	r := f.run(t)
	url := r.url(t, "admin")
	client, err := kgo.NewClient(kgo.SeedBrokers(f.broker.Connection().Brokers...),
		kgo.DefaultProduceTopic("events"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	require.NoError(t, err)
	defer client.Close()
	put := func(name string) {
		value := fmt.Appendf(nil, `{"id":7,"shop":"a,b","name":%q}`, name)
		require.NoError(t, client.ProduceSync(t.Context(), &kgo.Record{Value: value}).FirstErr())
	}
	ask := func(keys ...string) (out lookupAnswer, code int) {
		got := f.firth(t, append([]string{"get", "db.users", "--url", url, "--json"}, keys...)...)
		require.NotEqual(t, exitCouldNot, got.code, got.stderr)
		require.NoError(t, json.Unmarshal([]byte(got.stdout), &out), got.stdout)
		return out, got.code
	}
	for round := range 3 {
		name := fmt.Sprint("n", round)
		put(name)
		require.Eventually(t, func() bool {
			out, _ := ask("7,a%2Cb")
			var row struct{ Name string }
			require.NoError(t, json.Unmarshal(out.Rows[0], &row))
			return row.Name == name && out.Behind == ""
		}, patience, 20*time.Millisecond, r.log)
	}
	out, code := ask("7,a%2Cb", "8,x")
	require.Equal(t, exitFallsShort, code)
	require.Equal(t, "null", string(out.Rows[1]))
	require.EqualValues(t, 3, out.Position["events"]["0"])
	// The committed table is older: the first look-up had it committed, and the interval is an hour.
	read := f.firth(t, "read", "db.users", "--output", "csv", "--columns", "name")
	require.NotContains(t, read.stdout, "n2")
	for table, want := range map[string]string{"db.events": "has no identifier", "db.none": "there is no table"} {
		got := f.firth(t, "get", table, "1", "--url", url)
		require.Equal(t, exitCouldNot, got.code)
		require.Contains(t, got.stderr, want)
	}
	wrong := f.firth(t, "get", "db.users", "x,y", "--url", url)
	require.Contains(t, wrong.stderr, `column id is of type long: "x" is none`)
	status, body := get(t, r.url(t, "catalog")+"/v1/tables/db/users/rows/7,a%2Cb")
	require.Equal(t, 200, status, body)
	require.Contains(t, body, `"name":"n2"`)
	r.end(t)
}
