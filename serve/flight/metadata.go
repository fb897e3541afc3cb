package flight

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/flight"
	"github.com/apache/arrow-go/v18/arrow/flight/flightsql"
	"github.com/apache/arrow-go/v18/arrow/flight/flightsql/schema_ref"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/firthlake/firth/serve/query"
	"github.com/firthlake/firth/table"
)

// tableType is the type of all tables.
const tableType = "TABLE"

// atOnce answers with rows that are made at once.
func atOnce(ctx context.Context, schema *arrow.Schema, fill func(*array.RecordBuilder) error,
) (*arrow.Schema, <-chan flight.StreamChunk, error) {
	builder := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer builder.Release()
	if err := fill(builder); err != nil {
		return nil, nil, err
	}
	batch := builder.NewRecordBatch()
	defer batch.Release()
	reader, err := array.NewRecordReader(schema, []arrow.RecordBatch{batch})
	if err != nil {
		return nil, nil, err
	}
	chunks := make(chan flight.StreamChunk)
	go flight.StreamChunksFromReader(ctx, reader, chunks)
	return schema, chunks, nil
}

// texts appends one row of texts to the first columns.
func texts(b *array.RecordBuilder, row ...string) {
	for i, text := range row {
		b.Field(i).(*array.StringBuilder).Append(text)
	}
}

// nothing is an answer without rows.
func nothing(*array.RecordBuilder) error { return nil }

// GetFlightInfoCatalogs promises the catalogs.
func (d *door) GetFlightInfoCatalogs(_ context.Context, desc *flight.FlightDescriptor) (*flight.FlightInfo, error) {
	return infoOf(desc, desc.Cmd, schema_ref.Catalogs), nil
}

// DoGetCatalogs lists the one catalog.
func (d *door) DoGetCatalogs(ctx context.Context) (*arrow.Schema, <-chan flight.StreamChunk, error) {
	return atOnce(ctx, schema_ref.Catalogs, func(b *array.RecordBuilder) error {
		texts(b, d.opts.Catalog)
		return nil
	})
}

// GetFlightInfoSchemas promises the namespaces.
func (d *door) GetFlightInfoSchemas(
	_ context.Context, _ flightsql.GetDBSchemas, desc *flight.FlightDescriptor,
) (*flight.FlightInfo, error) {
	return infoOf(desc, desc.Cmd, schema_ref.DBSchemas), nil
}

// DoGetDBSchemas lists namespaces that have tables.
func (d *door) DoGetDBSchemas(ctx context.Context, cmd flightsql.GetDBSchemas,
) (*arrow.Schema, <-chan flight.StreamChunk, error) {
	found, err := d.list(ctx, cmd.GetCatalog(), cmd.GetDBSchemaFilterPattern(), nil)
	if err != nil {
		return nil, nil, d.fault(err)
	}
	names := map[string]bool{}
	for _, each := range found {
		names[each.namespace] = true
	}
	return atOnce(ctx, schema_ref.DBSchemas, func(b *array.RecordBuilder) error {
		for _, name := range slices.Sorted(maps.Keys(names)) {
			texts(b, d.opts.Catalog, name)
		}
		return nil
	})
}

// listed is a table of a listing.
type listed struct{ namespace, name string }

// list are the tables that a request asks for, in order of their names.
func (d *door) list(ctx context.Context, catalog, namespace, name *string) ([]listed, error) {
	if catalog != nil && *catalog != d.opts.Catalog {
		return nil, nil
	}
	idents, err := d.opts.Views.Tables(ctx)
	if err != nil {
		return nil, err
	}
	var out []listed
	for _, ident := range idents {
		last := len(ident) - 1
		each := listed{strings.Join(ident[:last], "."), ident[last]}
		if matches(namespace, each.namespace) && matches(name, each.name) {
			out = append(out, each)
		}
	}
	slices.SortFunc(out, func(a, b listed) int {
		return strings.Compare(a.namespace+"\x00"+a.name, b.namespace+"\x00"+b.name)
	})
	return out, nil
}

// GetFlightInfoTables promises the tables.
func (d *door) GetFlightInfoTables(_ context.Context, cmd flightsql.GetTables, desc *flight.FlightDescriptor,
) (*flight.FlightInfo, error) {
	return infoOf(desc, desc.Cmd, tablesSchema(cmd)), nil
}

func tablesSchema(cmd flightsql.GetTables) *arrow.Schema {
	if cmd.GetIncludeSchema() {
		return schema_ref.TablesWithIncludedSchema
	}
	return schema_ref.Tables
}

// DoGetTables lists tables, with their columns when they are asked for.
func (d *door) DoGetTables(ctx context.Context, cmd flightsql.GetTables,
) (*arrow.Schema, <-chan flight.StreamChunk, error) {
	var found []listed
	var err error
	if types := cmd.GetTableTypes(); len(types) == 0 || slices.Contains(types, tableType) {
		found, err = d.list(ctx, cmd.GetCatalog(), cmd.GetDBSchemaFilterPattern(), cmd.GetTableNameFilterPattern())
	}
	if err != nil {
		return nil, nil, d.fault(err)
	}
	return atOnce(ctx, tablesSchema(cmd), func(b *array.RecordBuilder) error {
		for _, each := range found {
			if !cmd.GetIncludeSchema() {
				texts(b, d.opts.Catalog, each.namespace, each.name, tableType)
				continue
			}
			schema, err := d.columns(ctx, each)
			if err != nil {
				d.opts.Logger.Warn("columns cannot be listed", "table", each.namespace+"."+each.name, "err", err)
				continue // it was dropped meanwhile, or has columns that SQL does not know
			}
			texts(b, d.opts.Catalog, each.namespace, each.name, tableType)
			b.Field(4).(*array.BinaryBuilder).Append(flight.SerializeSchema(schema, memory.DefaultAllocator))
		}
		return ctx.Err()
	})
}

// columns are those of a table as SELECT * gives them; those that hold no null say so.
func (d *door) columns(ctx context.Context, each listed) (*arrow.Schema, error) {
	view, err := d.opts.Views.Open(ctx, ident(each), query.At{Committed: true})
	if err != nil {
		return nil, err
	}
	defer view.Close()
	found, err := d.opts.Engine.Describe(ctx, "SELECT * FROM "+quote(each.namespace)+"."+quote(each.name))
	if err != nil {
		return nil, err
	}
	fields, source := slices.Clone(found.Columns.Fields()), view.Schema().Fields()
	if len(fields) != len(source) {
		return found.Columns, nil // the table got columns just now
	}
	for i := range fields {
		fields[i].Nullable = !source[i].Required
		fields[i].Metadata = flightsql.NewColumnMetadataBuilder().CatalogName(d.opts.Catalog).
			SchemaName(each.namespace).TableName(each.name).TypeName(source[i].Type.String()).IsReadOnly(true).
			Remarks(source[i].Doc).Metadata()
	}
	return arrow.NewSchema(fields, nil), nil
}

func ident(each listed) table.Ident { return append(strings.Split(each.namespace, "."), each.name) }

func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// GetFlightInfoTableTypes promises the types of tables.
func (d *door) GetFlightInfoTableTypes(_ context.Context, desc *flight.FlightDescriptor) (*flight.FlightInfo, error) {
	return infoOf(desc, desc.Cmd, schema_ref.TableTypes), nil
}

// DoGetTableTypes lists the one type.
func (d *door) DoGetTableTypes(ctx context.Context) (*arrow.Schema, <-chan flight.StreamChunk, error) {
	return atOnce(ctx, schema_ref.TableTypes, func(b *array.RecordBuilder) error {
		texts(b, tableType)
		return nil
	})
}

// GetFlightInfoPrimaryKeys promises the identifier of a table.
func (d *door) GetFlightInfoPrimaryKeys(_ context.Context, _ flightsql.TableRef, desc *flight.FlightDescriptor,
) (*flight.FlightInfo, error) {
	return infoOf(desc, desc.Cmd, schema_ref.PrimaryKeys), nil
}

// DoGetPrimaryKeys lists the identifier columns of a keyed table.
func (d *door) DoGetPrimaryKeys(ctx context.Context, ref flightsql.TableRef,
) (*arrow.Schema, <-chan flight.StreamChunk, error) {
	if ref.DBSchema == nil || ref.Catalog != nil && *ref.Catalog != d.opts.Catalog {
		return atOnce(ctx, schema_ref.PrimaryKeys, nothing)
	}
	each := listed{*ref.DBSchema, ref.Table}
	view, err := d.opts.Views.Open(ctx, ident(each), query.At{Committed: true})
	if err != nil {
		return nil, nil, d.fault(err)
	}
	defer view.Close()
	schema := view.Schema()
	return atOnce(ctx, schema_ref.PrimaryKeys, func(b *array.RecordBuilder) error {
		for i, id := range schema.IdentifierFieldIDs {
			name, ok := schema.FindColumnName(id)
			if !ok {
				return fmt.Errorf("table %s.%s has no identifier column %d", each.namespace, each.name, id)
			}
			texts(b, d.opts.Catalog, each.namespace, each.name, name)
			b.Field(4).(*array.Int32Builder).Append(int32(i + 1))
			b.Field(5).AppendNull()
		}
		return nil
	})
}
