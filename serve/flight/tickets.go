package flight

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/flight"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/firthlake/firth/serve/lookup"
	"github.com/firthlake/firth/serve/stream"
	"github.com/firthlake/firth/table"
)

// ticket is one that is JSON: it asks for rows of a table by their keys, or for its stream.
type ticket struct {
	Table  string            `json:"table"`
	Keys   []json.RawMessage `json:"keys"`
	Stream *stream.Asked     `json:"stream"`
}

// ticketForm is what is said to who writes another.
const ticketForm = `write {"table": "namespace.table", "keys": […]} for rows, or {"table": "namespace.table", ` +
	`"stream": {"from": …, "filter": …, "columns": […], "rows": …}} for a stream`

// ticketDoor answers tickets that are JSON. Those of Flight SQL begin otherwise.
type ticketDoor struct {
	flight.FlightServer
	lookups  lookup.Tables
	streams  *stream.Streams
	log      *slog.Logger
	sendWait time.Duration
	sending  sync.WaitGroup // streams
}

// isTicket says whether a ticket, or the command that a ticket is asked for with, is of this door.
func isTicket(text []byte) bool { return bytes.HasPrefix(text, []byte("{")) }

// DoGet answers a ticket.
func (d *ticketDoor) DoGet(from *flight.Ticket, to flight.FlightService_DoGetServer) error {
	if !isTicket(from.GetTicket()) {
		return d.FlightServer.DoGet(from, to)
	}
	asked, ident, err := d.parse(from.GetTicket())
	if err != nil {
		return err
	}
	if asked.Stream != nil {
		return d.stream(asked, ident, to)
	}
	return d.rows(asked, ident, to)
}

// GetFlightInfo gives a ticket for a command, which is the same text, and tells the columns.
func (d *ticketDoor) GetFlightInfo(ctx context.Context, about *flight.FlightDescriptor) (*flight.FlightInfo, error) {
	if !isTicket(about.GetCmd()) {
		return d.FlightServer.GetFlightInfo(ctx, about)
	}
	asked, ident, err := d.parse(about.GetCmd())
	if err != nil {
		return nil, err
	}
	var schema *arrow.Schema
	if asked.Stream != nil {
		schema, err = d.streamSchema(ctx, asked, ident)
	} else {
		schema, err = d.rowsSchema(ctx, asked, ident)
	}
	if err != nil {
		return nil, err
	}
	return infoOf(about, about.GetCmd(), schema), nil
}

// parse reads a ticket for what is served.
func (d *ticketDoor) parse(text []byte) (*ticket, table.Ident, error) {
	asked, ident, err := parseTicket(text)
	if err != nil {
		return nil, nil, status.Errorf(codes.InvalidArgument, "ticket: %v: %s", err, ticketForm)
	}
	if asked.Stream != nil && d.streams == nil || asked.Stream == nil && d.lookups == nil {
		return nil, nil, status.Error(codes.Unimplemented, "this server does not answer such tickets")
	}
	return asked, ident, nil
}

func parseTicket(text []byte) (*ticket, table.Ident, error) {
	var asked ticket
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&asked); err != nil {
		return nil, nil, err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, nil, errors.New("something follows the object")
	}
	if (asked.Keys == nil) == (asked.Stream == nil) {
		return nil, nil, errors.New("it asks for rows and a stream, or for neither")
	}
	ident, err := table.ParseIdent(asked.Table)
	if err != nil {
		return nil, nil, fmt.Errorf("table: %w", err)
	}
	return &asked, ident, nil
}
