package table

import (
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/iceberg-go"
	"github.com/stretchr/testify/require"
)

func TestArrowSchemaOfEveryType(t *testing.T) {
	schema, err := ArrowSchema(everyType())
	require.NoError(t, err)
	utc := func(unit arrow.TimeUnit) arrow.DataType {
		return &arrow.TimestampType{Unit: unit, TimeZone: "UTC"}
	}
	want := map[string]arrow.DataType{
		"id": arrow.PrimitiveTypes.Int64, "flag": arrow.FixedWidthTypes.Boolean,
		"small": arrow.PrimitiveTypes.Int32, "single": arrow.PrimitiveTypes.Float32,
		"double": arrow.PrimitiveTypes.Float64, "day": arrow.FixedWidthTypes.Date32,
		"time":    arrow.FixedWidthTypes.Time64us,
		"local":   &arrow.TimestampType{Unit: arrow.Microsecond},
		"instant": utc(arrow.Microsecond), "instant_ns": utc(arrow.Nanosecond),
		"local_ns": &arrow.TimestampType{Unit: arrow.Nanosecond},
		"text":     arrow.BinaryTypes.String, "bytes": arrow.BinaryTypes.Binary,
		"uuid":  &arrow.FixedSizeBinaryType{ByteWidth: 16},
		"fixed": &arrow.FixedSizeBinaryType{ByteWidth: 5},
		"dec9":  &arrow.Decimal128Type{Precision: 9, Scale: 2},
		"dec18": &arrow.Decimal128Type{Precision: 18, Scale: 4},
		"dec38": &arrow.Decimal128Type{Precision: 38, Scale: 10},
	}
	for i, field := range everyType().Fields() {
		got := schema.Field(i)
		require.Equal(t, field.Name, got.Name)
		require.Equal(t, field.ID, fieldID(got))
		require.Equal(t, field.Required, !got.Nullable)
		if typ, ok := want[field.Name]; ok {
			require.True(t, arrow.TypeEqual(typ, got.Type), "%s is %s", field.Name, got.Type)
		}
	}
	place := schema.Field(18).Type.(*arrow.StructType)
	require.Equal(t, 20, fieldID(place.Field(0)))
	require.False(t, place.Field(0).Nullable)
	inner := place.Field(2).Type.(*arrow.StructType)
	require.Equal(t, &arrow.FixedSizeBinaryType{ByteWidth: 16}, inner.Field(1).Type)
	require.Equal(t, 26, fieldID(schema.Field(19).Type.(*arrow.ListType).ElemField()))
	lines := schema.Field(20).Type.(*arrow.ListType)
	require.False(t, lines.ElemField().Nullable)
	require.Equal(t, 30, fieldID(lines.Elem().(*arrow.StructType).Field(1)))
	attributes := schema.Field(21).Type.(*arrow.MapType)
	require.Equal(t, 32, fieldID(attributes.KeyField()))
	require.Equal(t, 33, fieldID(attributes.ItemField()))
}

func TestArrowSchemaLeavesDocsOut(t *testing.T) {
	field := optional(1, "a", iceberg.PrimitiveTypes.Int64)
	field.Doc = "what it is"
	schema, err := ArrowSchema(iceberg.NewSchema(0, field))
	require.NoError(t, err)
	require.Equal(t, 1, schema.Field(0).Metadata.Len())
}

func TestArrowSchemaRefusesWhatCannotBeWritten(t *testing.T) {
	_, err := ArrowSchema(iceberg.NewSchema(0, optional(1, "l", &iceberg.ListType{
		ElementID: 2, Element: iceberg.VariantType{}})))
	require.ErrorContains(t, err, "column l.element: type variant cannot be written")
	_, err = ArrowSchema(nil)
	require.ErrorContains(t, err, "no schema")
}
