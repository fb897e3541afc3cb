//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	iceio "github.com/apache/iceberg-go/io"
	icetable "github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/e2e/components"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/objstore"
)

// tableKind is a kind of table: a column of the matrix.
type tableKind struct {
	name  string
	keyed bool
	// vectors says that deleted rows are in deletion vectors.
	vectors bool
	more    string // of its spec
}

// tableKinds are the columns of the matrix in docs/engines.md, in their order.
func tableKinds() []tableKind {
	return []tableKind{
		{name: "plain", more: "format_version: 2\n"},
		{name: "listed", more: "format_version: 2\npartition: [country]\n"},
		{name: "third", more: "format_version: 3\n"},
		{name: "third_days", more: "format_version: 3\npartition: [\"bucket(4, user_id)\", day(ts)]\n"},
		{name: "wide", keyed: true, more: "format_version: 2\n"},
		{name: "wide_buckets", keyed: true, more: "format_version: 2\npartition: [\"bucket(3, id)\"]\n"},
		{name: "newest", keyed: true, vectors: true, more: "format_version: 3\n"},
		{name: "newest_buckets", keyed: true, vectors: true,
			more: "format_version: 3\npartition: [\"bucket(3, id)\"]\n"},
	}
}

func (k tableKind) spec() string {
	if !k.keyed {
		return "name: db." + k.name + "\nschema: " + events10 + "\n" + k.more +
			"sources: [{topics: [events]}]\nfreshness: {interval: 4s}\n"
	}
	return "name: db." + k.name + "\nidentifier: [id]\ndelete: {column: gone}\n" + k.more +
		"schema: {columns: [{name: id, type: long, required: true}, {name: gone, type: boolean}]}\n" +
		"sources: [{topics: [" + changesTopic + "]}]\nfreshness: {interval: 10s}\n"
}

func isKeyed(name string) bool {
	return slices.ContainsFunc(tableKinds(), func(k tableKind) bool { return k.name == name && k.keyed })
}

func cutCell(cell string) (catalog, name string, ok bool) { return strings.Cut(cell, " ") }

// client is a row of the matrix.
type client struct{ name, title string }

// clients are the rows of the matrix, those that suffer from many files first.
func clients() []client {
	return []client{
		{"clickhouse", "ClickHouse 26.9"},
		{"pyiceberg", "PyIceberg 0.11.1"},
		{"polars", "polars 2.1.0, PyIceberg 0.12.0"},
		{"iceberg-go", "iceberg-go 0.7.0"},
		{"duckdb", "DuckDB 1.5.5"},
		{"trino", "Trino 483"},
		{"spark", "Spark 4.0.1, Iceberg 1.11.0"},
	}
}

// limit is what the client says of a kind of table that it cannot read, "" where it can.
func (c client) limit(k tableKind) string {
	if c.name == "clickhouse" && k.vectors {
		return "Position deletes are supported only for parquet format"
	}
	return ""
}

// inDocs wants docs/engines.md to have the client's row as it was found.
func (c client) inDocs(t *testing.T, told map[string]*record) {
	t.Helper()
	row := "| " + c.title + " |"
	for _, k := range tableKinds() {
		cell := " yes |"
		for _, catalog := range []string{catalogLive, catalogCommitted} {
			if told[catalog+" "+k.name].limit != "" {
				cell = " no |"
			}
		}
		row += cell
	}
	text, err := os.ReadFile("../docs/engines.md")
	require.NoError(t, err)
	require.Contains(t, string(text), row+"\n", "docs/engines.md lacks the row as it was found")
}

// icebergGo reads a table as a client that has the protocol and iceberg-go's reader: the library's own REST client
// would bring the SDK of a cloud into go.mod.
func icebergGo(ctx context.Context, r components.Reader, catalog string, k tableKind) components.Answer {
	warehouse := r.Warehouse
	if catalog == catalogCommitted {
		warehouse = r.Committed
	}
	rows, err := icebergGoRows(ctx, r, warehouse, k)
	if err != nil {
		return components.Answer{Fault: err.Error()}
	}
	if k.keyed {
		return components.Answer{Rows: rows}
	}
	return components.Answer{Rows: seams(rows)}
}

func icebergGoRows(
	ctx context.Context, r components.Reader, warehouse string, k tableKind,
) (rows [][]string, err error) {
	tbl, err := icebergGoTable(ctx, r, warehouse, k)
	if err != nil {
		return nil, err
	}
	columns := []string{"_kafka_partition", "_kafka_offset"}
	if k.keyed {
		columns = append(columns, "id")
	}
	_, batches, err := tbl.Scan(icetable.WithSelectedFields(columns...)).ToArrowRecords(ctx)
	if err != nil {
		return nil, err
	}
	for batch, err := range batches {
		if err != nil {
			return nil, err
		}
		for i := range int(batch.NumRows()) {
			var row []string
			for _, name := range columns { // the batch has them in the order of the schema
				row = append(row, batch.Column(batch.Schema().FieldIndices(name)[0]).ValueStr(i))
			}
			rows = append(rows, row)
		}
		batch.Release()
	}
	return rows, nil
}

// icebergGoTable loads a table with the keys that the catalog gives.
func icebergGoTable(ctx context.Context, r components.Reader, warehouse string, k tableKind) (*icetable.Table, error) {
	at := fmt.Sprintf("%s/v1/%s/namespaces/db/tables/%s", r.Catalog, warehouse, k.name)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("X-Iceberg-Access-Delegation", "vended-credentials")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	var loaded struct {
		Location string            `json:"metadata-location"`
		Metadata json.RawMessage   `json:"metadata"`
		Config   map[string]string `json:"config"`
	}
	if err := json.NewDecoder(response.Body).Decode(&loaded); err != nil {
		return nil, fmt.Errorf("GET %s: %s: %w", at, response.Status, err)
	}
	meta, err := icetable.ParseMetadataBytes(loaded.Metadata)
	if err != nil {
		return nil, fmt.Errorf("GET %s: %s: %w", at, response.Status, err)
	}
	cfg := objstore.DefaultS3Config()
	cfg.Endpoint, cfg.Region, cfg.PathStyle = loaded.Config["s3.endpoint"], loaded.Config["s3.region"], true
	cfg.AccessKey = loaded.Config["s3.access-key-id"]
	cfg.SecretKey = objstore.Secret(loaded.Config["s3.secret-access-key"])
	cfg.SessionToken = objstore.Secret(loaded.Config["s3.session-token"])
	store, err := objstore.NewS3(cfg)
	if err != nil {
		return nil, err
	}
	files := func(ctx context.Context) (iceio.IO, error) { return table.FileIO(ctx, store), nil }
	return icetable.New(table.Ident{"db", k.name}, meta, loaded.Location, files, nil), nil
}

// seams are the offsets by partition, as seamQuestion asks for them.
func seams(rows [][]string) [][]string {
	found := map[string][]int{}
	for _, row := range rows {
		offset, err := strconv.Atoi(row[1])
		if err != nil {
			panic("BUG: it was a number: " + err.Error())
		}
		found[row[0]] = append(found[row[0]], offset)
	}
	var out [][]string
	for partition, offsets := range found {
		all := len(offsets)
		slices.Sort(offsets)
		offsets = slices.Compact(offsets)
		out = append(out, []string{partition, strconv.Itoa(all), strconv.Itoa(len(offsets)), strconv.Itoa(offsets[0]),
			strconv.Itoa(offsets[len(offsets)-1])})
	}
	return out
}
