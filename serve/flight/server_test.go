package flight

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	arrowflight "github.com/apache/arrow-go/v18/arrow/flight"
	"github.com/apache/arrow-go/v18/arrow/flight/flightsql"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/firthlake/firth/serve/query"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/filter"
)

// lake answers a few statements from memory, and is the views of two tables.
type lake struct{ ended chan struct{} }

func numbers() *arrow.Schema {
	return arrow.NewSchema([]arrow.Field{{Name: "n", Type: arrow.PrimitiveTypes.Int64, Nullable: true}}, nil)
}

func (l *lake) Describe(_ context.Context, sql string) (query.Description, error) {
	switch {
	case strings.HasPrefix(sql, "SELECT * FROM") || sql == "numbers" || sql == "endless":
		return query.Description{Columns: numbers(), Parameters: arrow.NewSchema(nil, nil)}, nil
	case sql == "echo ?":
		return query.Description{Columns: numbers(), Parameters: numbers()}, nil
	case sql == "gone":
		return query.Description{}, fmt.Errorf("table x: %w", table.ErrNotFound)
	case sql == "write":
		return query.Description{}, fmt.Errorf("%w: only queries", query.ErrRefused)
	}
	return query.Description{}, fmt.Errorf("%w: syntax error", query.ErrInvalid)
}

func (l *lake) Run(ctx context.Context, sql string, row arrow.RecordBatch) (array.RecordReader, error) {
	switch sql {
	case "numbers":
		batch, _, err := array.RecordFromJSON(memory.DefaultAllocator, numbers(),
			strings.NewReader(`[{"n": 1}, {"n": 2}]`))
		if err != nil {
			return nil, err
		}
		return array.NewRecordReader(numbers(), []arrow.RecordBatch{batch})
	case "echo ?":
		if row == nil {
			return nil, fmt.Errorf("%w: no values", query.ErrInvalid)
		}
		return array.NewRecordReader(row.Schema(), []arrow.RecordBatch{row})
	}
	return array.ReaderFromIter(numbers(), func(yield func(arrow.RecordBatch, error) bool) {
		batch, _, err := array.RecordFromJSON(memory.DefaultAllocator, numbers(), strings.NewReader(`[{"n": 1}]`))
		if yield(batch, err) {
			<-ctx.Done()
			yield(nil, ctx.Err())
		}
		close(l.ended)
	}), nil
}

func (l *lake) Close() error { return nil }

func (l *lake) Tables(context.Context) ([]table.Ident, error) {
	return []table.Ident{{"db", "events"}, {"a", "b", "keyed_rows"}}, nil
}

func (l *lake) Open(context.Context, table.Ident, query.At) (query.View, error) { return view{}, nil }

type view struct{}

func (view) Schema() *iceberg.Schema {
	return iceberg.NewSchemaWithIdentifiers(0, []int{1},
		iceberg.NestedField{ID: 1, Name: "n", Type: iceberg.PrimitiveTypes.Int64, Required: true, Doc: "a number"})
}
func (view) Tasks(context.Context, *filter.Expr) ([]table.Task, error) { return nil, nil }
func (view) Close()                                                    {}

// serve runs a server and returns a client of it.
func serve(t *testing.T, readToken, writeToken string) (*flightsql.Client, *lake) {
	t.Helper()
	l := &lake{ended: make(chan struct{})}
	client, _ := run(t, Options{Engine: l, Views: l, Lookups: users{}, ReadToken: readToken, WriteToken: writeToken},
		nil)
	return client, l
}

// run runs a server, which tune may change, until the test ends or stop is called, and returns a client of it.
func run(t *testing.T, opts Options, tune func(*Server)) (client *flightsql.Client, stop func()) {
	t.Helper()
	opts.Catalog, opts.Version, opts.Logger = "firth", "test", slog.New(slog.DiscardHandler)
	server, err := New(opts)
	require.NoError(t, err)
	if tune != nil {
		tune(server)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Serve(ctx, listener) }()
	// A window of a fixed size: what a client has not read stays at the server.
	client, err = flightsql.NewClient(listener.Addr().String(), nil, nil,
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithInitialWindowSize(64<<10))
	require.NoError(t, err)
	stop = sync.OnceFunc(func() {
		cancel()
		require.NoError(t, <-done)
	})
	t.Cleanup(func() {
		require.NoError(t, client.Close())
		stop()
	})
	return client, stop
}

// rows reads an answer as texts.
func rows(t *testing.T, client *flightsql.Client, info *arrowflight.FlightInfo, err error) []string {
	t.Helper()
	require.NoError(t, err)
	reader, err := client.DoGet(t.Context(), info.Endpoint[0].Ticket)
	require.NoError(t, err)
	defer reader.Release()
	var out []string
	for reader.Next() {
		batch := reader.RecordBatch()
		for i := range int(batch.NumRows()) {
			var cells []string
			for _, column := range batch.Columns() {
				if column.DataType().ID() != arrow.BINARY {
					cells = append(cells, column.ValueStr(i))
				}
			}
			out = append(out, strings.Clone(strings.Join(cells, " ")))
		}
	}
	require.NoError(t, reader.Err())
	return out
}

func TestStatementsAreRun(t *testing.T) {
	client, _ := serve(t, "", "")
	ctx := t.Context()
	info, err := client.Execute(ctx, "numbers")
	require.Equal(t, []string{"1", "2"}, rows(t, client, info, err))

	schema, err := client.GetExecuteSchema(ctx, "numbers")
	require.NoError(t, err)
	told, err := arrowflight.DeserializeSchema(schema.Schema, memory.DefaultAllocator)
	require.NoError(t, err)
	require.True(t, told.Equal(numbers()))
}

func TestPreparedStatementsTellTheirColumnsAtOnce(t *testing.T) {
	client, _ := serve(t, "", "")
	ctx := t.Context()
	prepared, err := client.Prepare(ctx, "echo ?")
	require.NoError(t, err)
	require.True(t, prepared.DatasetSchema().Equal(numbers()))
	require.True(t, prepared.ParameterSchema().Equal(numbers()))
	for _, value := range []string{"7", "8"} {
		row, _, err := array.RecordFromJSON(memory.DefaultAllocator, numbers(), strings.NewReader(`[{"n": `+value+`}]`))
		require.NoError(t, err)
		prepared.SetParameters(row)
		info, err := prepared.Execute(ctx)
		require.Equal(t, []string{value}, rows(t, client, info, err))
		row.Release()
	}
	require.NoError(t, prepared.Close(ctx))
}

func TestFaultsHaveTheirCodes(t *testing.T) {
	client, _ := serve(t, "", "")
	ctx := t.Context()
	for sql, want := range map[string]codes.Code{
		"nonsense": codes.InvalidArgument, "gone": codes.NotFound, "write": codes.PermissionDenied,
	} {
		_, err := client.Execute(ctx, sql)
		require.Equal(t, want, status.Code(err), sql)
		_, err = client.Prepare(ctx, sql)
		require.Equal(t, want, status.Code(err), sql)
	}
	_, err := client.ExecuteUpdate(ctx, "INSERT INTO db.events VALUES (1)")
	require.Equal(t, codes.PermissionDenied, status.Code(err))
	require.ErrorContains(t, err, "rows are written through Kafka")
	_, err = client.BeginTransaction(ctx)
	require.Equal(t, codes.Unimplemented, status.Code(err))
}

func TestTheCatalogIsListed(t *testing.T) {
	client, _ := serve(t, "", "")
	ctx := t.Context()
	info, err := client.GetCatalogs(ctx)
	require.Equal(t, []string{"firth"}, rows(t, client, info, err))
	info, err = client.GetDBSchemas(ctx, &flightsql.GetDBSchemasOpts{})
	require.Equal(t, []string{"firth a.b", "firth db"}, rows(t, client, info, err))
	info, err = client.GetTableTypes(ctx)
	require.Equal(t, []string{"TABLE"}, rows(t, client, info, err))

	pattern, other := "%v_nts", "x"
	for _, c := range []struct {
		opts *flightsql.GetTablesOpts
		want []string
	}{
		{&flightsql.GetTablesOpts{}, []string{"firth a.b keyed_rows TABLE", "firth db events TABLE"}},
		{&flightsql.GetTablesOpts{IncludeSchema: true},
			[]string{"firth a.b keyed_rows TABLE", "firth db events TABLE"}},
		{&flightsql.GetTablesOpts{TableNameFilterPattern: &pattern}, []string{"firth db events TABLE"}},
		{&flightsql.GetTablesOpts{Catalog: &other}, nil},
		{&flightsql.GetTablesOpts{TableTypes: []string{"VIEW"}}, nil},
	} {
		info, err = client.GetTables(ctx, c.opts)
		require.Equal(t, c.want, rows(t, client, info, err))
	}
	namespace := "a.b"
	info, err = client.GetPrimaryKeys(ctx, flightsql.TableRef{DBSchema: &namespace, Table: "keyed_rows"})
	require.Equal(t, []string{"firth a.b keyed_rows n 1 (null)"}, rows(t, client, info, err))
	info, err = client.GetExportedKeys(ctx, flightsql.TableRef{Table: "events"})
	require.Empty(t, rows(t, client, info, err))
	info, err = client.GetSqlInfo(ctx, []flightsql.SqlInfo{flightsql.SqlInfoFlightSqlServerReadOnly, 9999})
	require.Len(t, rows(t, client, info, err), 1)
	info, err = client.GetSqlInfo(ctx, nil)
	require.Greater(t, len(rows(t, client, info, err)), 30)
	info, err = client.GetXdbcTypeInfo(ctx, nil)
	require.Len(t, rows(t, client, info, err), len(kinds()))
}

func TestTablesSayTheirColumns(t *testing.T) {
	client, _ := serve(t, "", "")
	info, err := client.GetTables(t.Context(), &flightsql.GetTablesOpts{IncludeSchema: true})
	require.NoError(t, err)
	reader, err := client.DoGet(t.Context(), info.Endpoint[0].Ticket)
	require.NoError(t, err)
	defer reader.Release()
	require.True(t, reader.Next())
	text := reader.RecordBatch().Column(4).(*array.Binary).Value(1)
	schema, err := arrowflight.DeserializeSchema(text, memory.DefaultAllocator)
	require.NoError(t, err)
	field := schema.Field(0)
	require.False(t, field.Nullable)
	about := flightsql.ColumnMetadata{Data: &field.Metadata}
	name, _ := about.TypeName()
	remarks, _ := about.Remarks()
	require.Equal(t, "long a number", name+" "+remarks)
}

func TestStatementsAreCancelled(t *testing.T) {
	for name, cancelBy := range map[string]func(*testing.T, *flightsql.Client, *arrowflight.FlightInfo, func()){
		"the stream": func(_ *testing.T, _ *flightsql.Client, _ *arrowflight.FlightInfo, stop func()) { stop() },
		"its ticket": func(t *testing.T, client *flightsql.Client, info *arrowflight.FlightInfo, _ func()) {
			require.Eventually(t, func() bool {
				result, err := client.CancelFlightInfo(t.Context(), &arrowflight.CancelFlightInfoRequest{Info: info})
				return err == nil && result.Status == arrowflight.CancelStatusCancelled
			}, 10*time.Second, 10*time.Millisecond)
		},
	} {
		t.Run(name, func(t *testing.T) {
			client, l := serve(t, "", "")
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			info, err := client.Execute(ctx, "endless")
			require.NoError(t, err)
			reader, err := client.DoGet(ctx, info.Endpoint[0].Ticket)
			require.NoError(t, err)
			defer reader.Release()
			require.True(t, reader.Next())
			cancelBy(t, client, info, stop)
			<-l.ended
			require.False(t, reader.Next())
		})
	}
}
