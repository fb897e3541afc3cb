package lookup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/iceberg-go"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/point"
)

// memoryTables are tables by name, whose rows are their keys.
type memoryTables map[string]*memoryTable

func (m memoryTables) Lookup(_ context.Context, ident table.Ident) (Table, error) {
	if t := m[table.FormatIdent(ident)]; t != nil {
		return t, nil
	}
	return nil, fmt.Errorf("load %s: %w", table.FormatIdent(ident), table.ErrNotFound)
}

type memoryTable struct {
	schema *iceberg.Schema
	ids    map[int64]bool // of rows
	err    error
}

func (m *memoryTable) Schema() (*iceberg.Schema, error) { return m.schema, nil }

func (m *memoryTable) Get(_ context.Context, keys []arrow.RecordBatch) (point.Answer, error) {
	out := point.Answer{SnapshotID: 7, Position: table.Position{{Topic: "users", Partition: 1}: 42}}
	for _, key := range keys {
		if !m.ids[key.Column(int(key.NumCols())-1).(*array.Int64).Value(0)] {
			out.Rows = append(out.Rows, nil)
			continue
		}
		key.Retain()
		out.Rows = append(out.Rows, key)
	}
	return out, m.err
}

func handler(token string) http.Handler {
	id := iceberg.NestedField{ID: 1, Name: "id", Type: iceberg.PrimitiveTypes.Int64, Required: true}
	shop := iceberg.NestedField{ID: 2, Name: "shop", Type: iceberg.PrimitiveTypes.String, Required: true}
	rows := map[int64]bool{1: true, 2: true}
	return NewHandler(Options{Tables: memoryTables{
		"db.users":   {schema: iceberg.NewSchemaWithIdentifiers(0, []int{1}, id), ids: rows},
		"db.prices":  {schema: iceberg.NewSchemaWithIdentifiers(0, []int{1, 2}, shop, id), ids: rows},
		"db.events":  {schema: iceberg.NewSchema(0, id)},
		"db.far":     {schema: iceberg.NewSchemaWithIdentifiers(0, []int{1}, id), err: ErrElsewhere},
		"db.busy":    {schema: iceberg.NewSchemaWithIdentifiers(0, []int{1}, id), err: context.DeadlineExceeded},
		"db.faulty":  {schema: iceberg.NewSchemaWithIdentifiers(0, []int{1}, id), err: errors.New("disk on fire")},
		"a.b.nested": {schema: iceberg.NewSchemaWithIdentifiers(0, []int{1}, id), ids: rows},
	}, ReadToken: token, Metrics: NewMetrics(nil), Now: time.Now, Log: slog.New(slog.DiscardHandler)})
}

func TestAnswersAndTheirCodes(t *testing.T) {
	const cut = `"snapshot_id":7,"position":{"users":{"1":42}}}`
	for _, c := range []struct {
		method, path, body string
		status             int
		want               string // a part of the answer
	}{
		{"GET", "/v1/tables/db/users/rows/1", "", 200, `{"row":{"id":1},` + cut},
		{"GET", "/v1/tables/db/users/rows?key=2", "", 200, `{"row":{"id":2},` + cut},
		{"GET", "/v1/tables/a.b/nested/rows/1", "", 200, `{"row":{"id":1},`},
		{"GET", "/v1/tables/db/prices/rows/a%2Cb%2Fc,2", "", 200, `{"row":{"shop":"a,b/c","id":2},`},
		{"GET", "/v1/tables/db/prices/rows?key=%7B%22id%22:1,%22shop%22:%22x%22%7D", "", 200,
			`{"row":{"shop":"x","id":1}`},
		{"POST", "/v1/tables/db/users/rows", `[1,"2",3,[1],{"id":2}]`, 200,
			`{"rows":[{"id":1},{"id":2},null,{"id":1},{"id":2}],` + cut},
		{"POST", "/v1/tables/db/users/rows", `[]`, 200, `{"rows":[],` + cut},
		{"GET", "/v1/tables/db/users/rows/3", "", 404, `NoSuchRowException`},
		{"GET", "/v1/tables/db/users/rows/3", "", 404, cut},
		{"GET", "/v1/tables/db/none/rows/3", "", 404, `there is no table db.none`},
		{"GET", "/v1/tables/db/users/rows/x", "", 400, `column id is of type long: \"x\" is none`},
		{"GET", "/v1/tables/db/users/rows", "", 400, `is not one JSON value`},
		{"GET", "/v1/tables/db/prices/rows/x", "", 400, `it has 1 values, and the identifier is shop,id`},
		{"GET", "/v1/tables/db/events/rows/1", "", 400, `read it with SQL or 'firth read --where'`},
		{"POST", "/v1/tables/db/users/rows", `{"id":1}`, 400, `no JSON list`},
		{"POST", "/v1/tables/db/users/rows", `[1,null]`, 400, `key 2 of the list`},
		{"POST", "/v1/tables/db/users/rows", "[" + strings.Repeat("1,", keysMax) + "1]", 400, `send 1000 at a time`},
		{"POST", "/v1/tables/db/users/rows", `["` + strings.Repeat("x", bodyBytesMax) + `"]`, 400,
			`send less at a time`},
		{"GET", "/v1/tables/db/far/rows/1", "", 421, `ask the process that does`},
		{"GET", "/v1/tables/db/busy/rows/1", "", 503, `try again`},
		{"GET", "/v1/tables/db/faulty/rows/1", "", 503, `look up in db.faulty: disk on fire`},
		{"DELETE", "/v1/tables/db/users/rows/1", "", 405, ``},
	} {
		answer := httptest.NewRecorder()
		handler("").ServeHTTP(answer, httptest.NewRequest(c.method, c.path, strings.NewReader(c.body)))
		require.Equal(t, c.status, answer.Code, "%s %s: %s", c.method, c.path, answer.Body)
		require.Contains(t, answer.Body.String(), c.want, c.path)
		if c.status != http.StatusMethodNotAllowed {
			require.True(t, json.Valid(answer.Body.Bytes()), answer.Body)
		}
	}
}

func TestOnlyWhoHasATokenLooksUp(t *testing.T) {
	for token, status := range map[string]int{"": 401, "Bearer wrong": 401, "Bearer secret": 200} {
		answer := httptest.NewRecorder()
		request := httptest.NewRequest(http.MethodGet, "/v1/tables/db/users/rows/1", nil)
		request.Header.Set("Authorization", token)
		handler("secret").ServeHTTP(answer, request)
		require.Equal(t, status, answer.Code, token)
	}
}
