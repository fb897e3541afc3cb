package flight

import (
	"context"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/flight"
	"github.com/apache/arrow-go/v18/arrow/flight/flightsql"
	"github.com/apache/arrow-go/v18/arrow/flight/flightsql/schema_ref"
)

// Iceberg has no foreign keys: what asks for them gets answers without rows.

// GetFlightInfoExportedKeys promises no rows.
func (d *door) GetFlightInfoExportedKeys(_ context.Context, _ flightsql.TableRef, desc *flight.FlightDescriptor,
) (*flight.FlightInfo, error) {
	return infoOf(desc, desc.Cmd, schema_ref.ExportedKeys), nil
}

// DoGetExportedKeys has no rows.
func (d *door) DoGetExportedKeys(ctx context.Context, _ flightsql.TableRef,
) (*arrow.Schema, <-chan flight.StreamChunk, error) {
	return atOnce(ctx, schema_ref.ExportedKeys, nothing)
}

// GetFlightInfoImportedKeys promises no rows.
func (d *door) GetFlightInfoImportedKeys(_ context.Context, _ flightsql.TableRef, desc *flight.FlightDescriptor,
) (*flight.FlightInfo, error) {
	return infoOf(desc, desc.Cmd, schema_ref.ImportedKeys), nil
}

// DoGetImportedKeys has no rows.
func (d *door) DoGetImportedKeys(ctx context.Context, _ flightsql.TableRef,
) (*arrow.Schema, <-chan flight.StreamChunk, error) {
	return atOnce(ctx, schema_ref.ImportedKeys, nothing)
}

// GetFlightInfoCrossReference promises no rows.
func (d *door) GetFlightInfoCrossReference(_ context.Context, _ flightsql.CrossTableRef, desc *flight.FlightDescriptor,
) (*flight.FlightInfo, error) {
	return infoOf(desc, desc.Cmd, schema_ref.CrossReference), nil
}

// DoGetCrossReference has no rows.
func (d *door) DoGetCrossReference(ctx context.Context, _ flightsql.CrossTableRef,
) (*arrow.Schema, <-chan flight.StreamChunk, error) {
	return atOnce(ctx, schema_ref.CrossReference, nothing)
}
