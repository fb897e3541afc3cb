package flight

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/flight"
	"github.com/apache/arrow-go/v18/arrow/flight/flightsql"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/google/uuid"

	"github.com/firthlake/firth/serve/query"
)

// handle is a statement as clients carry it about.
type handle struct {
	SQL string `json:"sql"`
	// Parameters is one row in Arrow's stream format.
	Parameters []byte `json:"parameters,omitempty"`
	// Number tells one run of the statement from others.
	Number string `json:"number"`
}

func (h handle) bytes() ([]byte, error) { return json.Marshal(h) }

func parseHandle(text []byte) (handle, error) {
	var h handle
	if err := json.Unmarshal(text, &h); err != nil || h.SQL == "" {
		return h, fmt.Errorf("%w: the handle is none of this server: prepare the statement again", query.ErrInvalid)
	}
	return h, nil
}

// row is the row of parameters, or nil. The caller releases it.
func (h handle) row() (arrow.RecordBatch, error) {
	if h.Parameters == nil {
		return nil, nil
	}
	reader, err := ipc.NewReader(bytes.NewReader(h.Parameters))
	if err != nil {
		return nil, fmt.Errorf("%w: parameters: %w", query.ErrInvalid, err)
	}
	defer reader.Release()
	if !reader.Next() {
		return nil, fmt.Errorf("%w: there is no row of parameters", query.ErrInvalid)
	}
	row := reader.RecordBatch()
	row.Retain()
	return row, nil
}

// GetFlightInfoStatement describes a statement and gives the ticket to run it.
func (d *door) GetFlightInfoStatement(
	ctx context.Context, cmd flightsql.StatementQuery, desc *flight.FlightDescriptor,
) (*flight.FlightInfo, error) {
	found, err := d.opts.Engine.Describe(ctx, cmd.GetQuery())
	if err != nil {
		return nil, d.fault(err)
	}
	text, err := handle{SQL: cmd.GetQuery(), Number: uuid.NewString()}.bytes()
	if err != nil {
		return nil, d.fault(err)
	}
	ticket, err := flightsql.CreateStatementQueryTicket(text)
	if err != nil {
		return nil, d.fault(err)
	}
	return infoOf(desc, ticket, found.Columns), nil
}

// infoOf says that an answer is to be had for a ticket, from the server that was asked.
func infoOf(desc *flight.FlightDescriptor, ticket []byte, schema *arrow.Schema) *flight.FlightInfo {
	return &flight.FlightInfo{
		Endpoint:         []*flight.FlightEndpoint{{Ticket: &flight.Ticket{Ticket: ticket}}},
		FlightDescriptor: desc, Schema: flight.SerializeSchema(schema, memory.DefaultAllocator),
		TotalRecords: -1, TotalBytes: -1,
	}
}

// GetSchemaStatement tells the columns of a statement.
func (d *door) GetSchemaStatement(
	ctx context.Context, cmd flightsql.StatementQuery, _ *flight.FlightDescriptor,
) (*flight.SchemaResult, error) {
	return d.schemaOf(ctx, cmd.GetQuery())
}

func (d *door) schemaOf(ctx context.Context, sql string) (*flight.SchemaResult, error) {
	found, err := d.opts.Engine.Describe(ctx, sql)
	if err != nil {
		return nil, d.fault(err)
	}
	return &flight.SchemaResult{Schema: flight.SerializeSchema(found.Columns, memory.DefaultAllocator)}, nil
}

// DoGetStatement runs a statement.
func (d *door) DoGetStatement(
	ctx context.Context, ticket flightsql.StatementQueryTicket,
) (*arrow.Schema, <-chan flight.StreamChunk, error) {
	return d.run(ctx, ticket.GetStatementHandle())
}

// CreatePreparedStatement describes a statement. The columns of its answer are told here already: clients of JDBC take
// a statement without any for an update.
func (d *door) CreatePreparedStatement(
	ctx context.Context, cmd flightsql.ActionCreatePreparedStatementRequest,
) (flightsql.ActionCreatePreparedStatementResult, error) {
	found, err := d.opts.Engine.Describe(ctx, cmd.GetQuery())
	if err != nil {
		return flightsql.ActionCreatePreparedStatementResult{}, d.fault(err)
	}
	text, err := handle{SQL: cmd.GetQuery(), Number: uuid.NewString()}.bytes()
	if err != nil {
		return flightsql.ActionCreatePreparedStatementResult{}, d.fault(err)
	}
	update := false
	return flightsql.ActionCreatePreparedStatementResult{Handle: text, DatasetSchema: found.Columns,
		ParameterSchema: found.Parameters, IsUpdate: &update}, nil
}

// ClosePreparedStatement has nothing to give back.
func (d *door) ClosePreparedStatement(context.Context, flightsql.ActionClosePreparedStatementRequest) error {
	return nil
}

// GetFlightInfoPreparedStatement describes a prepared statement; the ticket is the command itself.
func (d *door) GetFlightInfoPreparedStatement(
	ctx context.Context, cmd flightsql.PreparedStatementQuery, desc *flight.FlightDescriptor,
) (*flight.FlightInfo, error) {
	h, err := parseHandle(cmd.GetPreparedStatementHandle())
	if err != nil {
		return nil, d.fault(err)
	}
	found, err := d.opts.Engine.Describe(ctx, h.SQL)
	if err != nil {
		return nil, d.fault(err)
	}
	return infoOf(desc, desc.Cmd, found.Columns), nil
}

// GetSchemaPreparedStatement tells the columns of a prepared statement.
func (d *door) GetSchemaPreparedStatement(
	ctx context.Context, cmd flightsql.PreparedStatementQuery, _ *flight.FlightDescriptor,
) (*flight.SchemaResult, error) {
	h, err := parseHandle(cmd.GetPreparedStatementHandle())
	if err != nil {
		return nil, d.fault(err)
	}
	return d.schemaOf(ctx, h.SQL)
}

// DoGetPreparedStatement runs a prepared statement.
func (d *door) DoGetPreparedStatement(
	ctx context.Context, cmd flightsql.PreparedStatementQuery,
) (*arrow.Schema, <-chan flight.StreamChunk, error) {
	return d.run(ctx, cmd.GetPreparedStatementHandle())
}

// DoPutPreparedStatementQuery returns a handle with parameters, which takes the place of the one without.
func (d *door) DoPutPreparedStatementQuery(
	_ context.Context, cmd flightsql.PreparedStatementQuery, reader flight.MessageReader, _ flight.MetadataWriter,
) ([]byte, error) {
	h, err := parseHandle(cmd.GetPreparedStatementHandle())
	if err != nil {
		return nil, d.fault(err)
	}
	var buf bytes.Buffer
	writer := ipc.NewWriter(&buf, ipc.WithSchema(reader.Schema()))
	rows := int64(0)
	for reader.Next() {
		if rows += reader.RecordBatch().NumRows(); rows > 1 {
			return nil, d.fault(fmt.Errorf("%w: there are several rows of parameters: run the statement once for each",
				query.ErrInvalid))
		}
		if err := writer.Write(reader.RecordBatch()); err != nil {
			return nil, d.fault(err)
		}
	}
	if err := errors.Join(reader.Err(), writer.Close()); err != nil {
		return nil, d.fault(err)
	}
	h.Parameters = nil
	if rows > 0 {
		h.Parameters = buf.Bytes()
	}
	return h.bytes()
}

// run starts a statement and streams its answer.
func (d *door) run(ctx context.Context, text []byte) (*arrow.Schema, <-chan flight.StreamChunk, error) {
	h, err := parseHandle(text)
	if err != nil {
		return nil, nil, d.fault(err)
	}
	row, err := h.row()
	if err != nil {
		return nil, nil, d.fault(err)
	}
	if row != nil {
		defer row.Release()
	}
	ctx, ended := d.running.add(ctx, h.Number)
	reader, err := d.opts.Engine.Run(ctx, h.SQL, row)
	if err != nil {
		ended()
		return nil, nil, d.fault(err)
	}
	chunks := make(chan flight.StreamChunk)
	go func() {
		defer ended()
		flight.StreamChunksFromReader(ctx, &told{reader, d}, chunks)
	}()
	return reader.Schema(), chunks, nil
}

// told is a reader whose error is one of the protocol.
type told struct {
	array.RecordReader
	door *door
}

// Err is why the answer broke off.
func (t *told) Err() error {
	if err := t.RecordReader.Err(); err != nil {
		return t.door.fault(err)
	}
	return nil
}
