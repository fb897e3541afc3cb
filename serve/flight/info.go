package flight

import (
	"context"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/flight"
	"github.com/apache/arrow-go/v18/arrow/flight/flightsql"
	"github.com/apache/arrow-go/v18/arrow/flight/flightsql/schema_ref"
)

// Values of the protocol that the library has no names for.
const (
	caseInsensitive = int64(3) // SqlSupportedCaseSensitivity: names are kept as written and compared without case
	nullsLast       = int64(3) // SqlNullOrdering: at the end, ascending or descending
	grammarAll      = int32(1<<0 | 1<<1 | 1<<2)
	outerJoinsAll   = int32(1<<0 | 1<<1 | 1<<2)
	subqueriesAll   = int32(1<<0 | 1<<1 | 1<<2 | 1<<3)
	unionsAll       = int32(1<<0 | 1<<1)
)

// register says what the server can do.
func (d *door) register() error {
	d.infos = map[uint32]bool{}
	for id, value := range map[flightsql.SqlInfo]any{
		flightsql.SqlInfoFlightSqlServerName:                    "firth",
		flightsql.SqlInfoFlightSqlServerVersion:                 d.opts.Version,
		flightsql.SqlInfoFlightSqlServerArrowVersion:            arrow.PkgVersion,
		flightsql.SqlInfoFlightSqlServerReadOnly:                true,
		flightsql.SqlInfoFlightSqlServerSql:                     true,
		flightsql.SqlInfoFlightSqlServerSubstrait:               false,
		flightsql.SqlInfoFlightSqlServerTransaction:             int32(0),
		flightsql.SqlInfoFlightSqlServerCancel:                  true,
		flightsql.SqlInfoFlightSqlServerBulkIngestion:           false,
		flightsql.SqlInfoDDLCatalog:                             false,
		flightsql.SqlInfoDDLSchema:                              false,
		flightsql.SqlInfoDDLTable:                               false,
		flightsql.SqlInfoIdentifierCase:                         caseInsensitive,
		flightsql.SqlInfoIdentifierQuoteChar:                    `"`,
		flightsql.SqlInfoQuotedIdentifierCase:                   caseInsensitive,
		flightsql.SqlInfoAllTablesAreASelectable:                true,
		flightsql.SqlInfoNullOrdering:                           nullsLast,
		flightsql.SqlInfoSearchStringEscape:                     `\`,
		flightsql.SqlInfoExtraNameChars:                         "",
		flightsql.SqlInfoSupportsColumnAliasing:                 true,
		flightsql.SqlInfoNullPlusNullIsNull:                     true,
		flightsql.SqlInfoSupportsTableCorrelationNames:          true,
		flightsql.SqlInfoSupportsDifferentTableCorrelationNames: false,
		flightsql.SqlInfoSupportsExpressionsInOrderBy:           true,
		flightsql.SqlInfoSupportsOrderByUnrelated:               true,
		flightsql.SqlInfoSupportsLikeEscapeClause:               true,
		flightsql.SqlInfoSupportsNonNullableColumns:             true,
		flightsql.SqlInfoSupportedGrammar:                       grammarAll,
		flightsql.SqlInfoOuterJoinsSupportLevel:                 outerJoinsAll,
		flightsql.SqlInfoSchemaTerm:                             "namespace",
		flightsql.SqlInfoCatalogTerm:                            "catalog",
		flightsql.SqlInfoCatalogAtStart:                         true,
		flightsql.SqlInfoSupportedSubqueries:                    subqueriesAll,
		flightsql.SqlInfoCorrelatedSubqueriesSupported:          true,
		flightsql.SqlInfoSupportedUnions:                        unionsAll,
		flightsql.SqlInfoSelectForUpdateSupported:               false,
		flightsql.SqlInfoStoredProceduresSupported:              false,
		flightsql.SqlInfoSupportsIntegrityEnhancementFacility:   false,
	} {
		if err := d.RegisterSqlInfo(id, value); err != nil {
			return err
		}
		d.infos[uint32(id)] = true
	}
	return nil
}

// asked are the infos of a request that are known: clients ask for those of newer servers too.
type asked []uint32

// GetInfo are their numbers.
func (a asked) GetInfo() []uint32 { return a }

// DoGetSqlInfo tells what the server can do, and nothing of what it does not know.
func (d *door) DoGetSqlInfo(ctx context.Context, cmd flightsql.GetSqlInfo,
) (*arrow.Schema, <-chan flight.StreamChunk, error) {
	var known asked
	for _, id := range cmd.GetInfo() {
		if d.infos[id] {
			known = append(known, id)
		}
	}
	if len(cmd.GetInfo()) > 0 && len(known) == 0 {
		return atOnce(ctx, schema_ref.SqlInfo, nothing)
	}
	return d.BaseServer.DoGetSqlInfo(ctx, known)
}

// GetFlightInfoXdbcTypeInfo promises the types.
func (d *door) GetFlightInfoXdbcTypeInfo(_ context.Context, _ flightsql.GetXdbcTypeInfo, desc *flight.FlightDescriptor,
) (*flight.FlightInfo, error) {
	return infoOf(desc, desc.Cmd, schema_ref.XdbcTypeInfo), nil
}

// kind is a type of SQL with its numbers in ODBC and JDBC.
type kind struct {
	name     string
	number   int32
	size     int32 // most digits or characters; 0 is no bound
	verbose  int32 // the number of the family
	isQuoted bool
}

func kinds() []kind {
	return []kind{
		{"BOOLEAN", -7, 1, -7, false}, {"INTEGER", 4, 10, 4, false}, {"BIGINT", -5, 19, -5, false},
		{"FLOAT", 7, 7, 7, false}, {"DOUBLE", 8, 15, 8, false}, {"DECIMAL", 3, 38, 3, false},
		{"VARCHAR", 12, 0, 12, true}, {"BLOB", -3, 0, -3, false}, {"DATE", 91, 10, 9, true}, {"TIME", 92, 15, 9, true},
		{"TIMESTAMP", 93, 26, 9, true},
	}
}

// What holds for every type: it may be null, and every condition may ask for it.
const (
	typeNullable   = int32(1)
	typeSearchable = int32(3)
)

// DoGetXdbcTypeInfo lists the types, or the one that is asked for.
func (d *door) DoGetXdbcTypeInfo(ctx context.Context, cmd flightsql.GetXdbcTypeInfo,
) (*arrow.Schema, <-chan flight.StreamChunk, error) {
	return atOnce(ctx, schema_ref.XdbcTypeInfo, func(b *array.RecordBuilder) error {
		for _, each := range kinds() {
			if one := cmd.GetDataType(); one == nil || *one == each.number {
				each.append(b)
			}
		}
		return nil
	})
}

// append adds a row. Fields that say nothing of the type stay null, or false.
func (k kind) append(b *array.RecordBuilder) {
	for i, field := range b.Schema().Fields() {
		switch field.Name {
		case "type_name", "local_type_name":
			b.Field(i).(*array.StringBuilder).Append(k.name)
		case "data_type":
			b.Field(i).(*array.Int32Builder).Append(k.number)
		case "sql_data_type":
			b.Field(i).(*array.Int32Builder).Append(k.verbose)
		case "nullable":
			b.Field(i).(*array.Int32Builder).Append(typeNullable)
		case "searchable":
			b.Field(i).(*array.Int32Builder).Append(typeSearchable)
		case "case_sensitive":
			b.Field(i).(*array.BooleanBuilder).Append(k.name == "VARCHAR")
		case "fixed_prec_scale":
			b.Field(i).(*array.BooleanBuilder).Append(false)
		case "column_size":
			appendUnless(b.Field(i), k.size == 0, func() { b.Field(i).(*array.Int32Builder).Append(k.size) })
		case "literal_prefix", "literal_suffix":
			appendUnless(b.Field(i), !k.isQuoted, func() { b.Field(i).(*array.StringBuilder).Append("'") })
		default:
			b.Field(i).AppendNull()
		}
	}
}

func appendUnless(b array.Builder, isNull bool, add func()) {
	if isNull {
		b.AppendNull()
		return
	}
	add()
}
