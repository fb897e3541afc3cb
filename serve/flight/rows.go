package flight

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/flight"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/firthlake/firth/serve/lookup"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/point"
)

// What the metadata of an answer's schema says of its cut.
const (
	metadataSnapshot = "firth.snapshot_id"
	metadataPosition = "firth.position"
	metadataBehind   = "firth.behind"
)

// rows answers with the rows of keys, which are as in a look-up over HTTP.
func (d *ticketDoor) rows(asked *ticket, ident table.Ident, to flight.FlightService_DoGetServer) error {
	schema, answer, err := lookup.Ask(to.Context(), d.lookups, ident, asked.Keys)
	if err != nil {
		return faultOfRows(asked.Table, err)
	}
	defer answer.Release()
	batch, err := rowsBatch(schema, &answer)
	if err != nil {
		return faultOfRows(asked.Table, err)
	}
	defer batch.Release()
	w := flight.NewRecordWriter(to, ipc.WithSchema(batch.Schema()))
	if err := w.Write(batch); err != nil {
		return fmt.Errorf("send rows: %w", err)
	}
	return w.Close()
}

// rowsSchema is the columns of rows of a table.
func (d *ticketDoor) rowsSchema(ctx context.Context, asked *ticket, ident table.Ident) (*arrow.Schema, error) {
	t, err := d.lookups.Lookup(ctx, ident)
	if err != nil {
		return nil, faultOfRows(asked.Table, err)
	}
	schema, err := t.Schema()
	if err != nil {
		return nil, faultOfRows(asked.Table, err)
	}
	return table.ArrowSchema(schema)
}

func faultOfRows(name string, err error) error {
	fault := lookup.FaultOf(name, err)
	return status.Error(codeOf(fault.Status, codes.Unavailable), fault.Text)
}

// rowsBatch makes one batch of the rows that there are, in the order of their keys, with the columns of a schema.
func rowsBatch(schema *iceberg.Schema, answer *point.Answer) (arrow.RecordBatch, error) {
	plain, err := table.ArrowSchema(schema)
	if err != nil {
		return nil, err
	}
	cut, err := json.Marshal(lookup.Cut(answer))
	if err != nil {
		return nil, fmt.Errorf("write the cut: %w", err)
	}
	metadata := arrow.NewMetadata([]string{metadataSnapshot, metadataPosition, metadataBehind},
		[]string{strconv.FormatInt(answer.SnapshotID, 10), string(cut), answer.Behind})
	form := arrow.NewSchema(plain.Fields(), &metadata)
	columns := make([]arrow.Array, 0, form.NumFields())
	defer func() {
		for _, column := range columns {
			column.Release()
		}
	}()
	found := int64(0)
	for _, row := range answer.Rows {
		if row != nil {
			found++
		}
	}
	for i, field := range form.Fields() {
		column, err := rowsColumn(field, schema.Field(i).ID, answer.Rows)
		if err != nil {
			return nil, err
		}
		columns = append(columns, column)
	}
	return array.NewRecordBatch(form, columns, found), nil
}

// rowsColumn joins the column with an id of the rows that there are. Rows that were read before the column came have
// null there.
func rowsColumn(field arrow.Field, id int, rows []arrow.RecordBatch) (arrow.Array, error) {
	var parts []arrow.Array
	defer func() {
		for _, part := range parts {
			part.Release()
		}
	}()
	for _, row := range rows {
		if row == nil {
			continue
		}
		at := table.FieldByID(row.Schema().Fields(), id)
		if at < 0 {
			parts = append(parts, array.MakeArrayOfNull(memory.DefaultAllocator, field.Type, 1))
			continue
		}
		part := row.Column(at)
		if !arrow.TypeEqual(part.DataType(), field.Type) {
			return nil, fmt.Errorf("column %s becomes another type just now, %s and %s: try again", field.Name,
				part.DataType(), field.Type)
		}
		part.Retain()
		parts = append(parts, part)
	}
	if len(parts) == 0 {
		return array.MakeArrayOfNull(memory.DefaultAllocator, field.Type, 0), nil
	}
	column, err := array.Concatenate(parts, memory.DefaultAllocator)
	if err != nil {
		return nil, fmt.Errorf("join rows of column %s: %w", field.Name, err)
	}
	return column, nil
}
