// Package messageschema reads the schemas that writers of records use (Avro, Protobuf, JSON Schema) and
// says which Iceberg columns hold what they describe.
//
// A schema's text with the texts it refers to enters; a tree of types (AvroType, a Protobuf
// descriptor, JSON Schema's columns) leaves. Columns gives the Iceberg form of such a tree. What no
// column can hold is a Refusal with path and reason, and its field is left out: whoever makes a
// table from a schema shows the refusals. The columns' types:
//
//	Avro            Iceberg                     Protobuf                 Iceberg
//	int             int                         int32 sint32 sfixed32    int
//	long            long                        uint32 fixed32           long
//	float, double   float, double               int64 sint64 sfixed64    long
//	boolean         boolean                     uint64 fixed64           decimal(20, 0)
//	string, enum    string                      string, enum             string
//	bytes           binary                      bytes                    binary
//	fixed(n)        fixed(n)                    float, double, bool      float, double, boolean
//	decimal(p, s)   decimal(p, s), p ≤ 38       Timestamp                timestamptz
//	date            date                        wrappers (Int64Value...) optional scalar
//	time-*          time                        message, group           struct
//	timestamp-*     timestamptz                 repeated, map            list, map
//	local-timestamp timestamp                   oneof                    one optional column each
//	uuid            uuid                        recursive, Struct, empty refused
//	array, map      list, map
//	record          struct                      JSON Schema              Iceberg
//	[null, T]       optional T                  integer, number          long, double
//	other unions    struct, a field a branch    string, boolean          string, boolean
//	duration        refused                     date-time, date, time    timestamptz, date, time
//	recursive       refused                     uuid                     uuid
//	                                            object                   struct, or map<string, T> when only
//	                                                                     additionalProperties are given
//	                                            array                    list
//
// Types that Kafka Connect's converters name (ConnectType; connect.name in Avro) are what the name says:
// Debezium's dates, times and timestamps of all units, local or zoned, Connect's decimals, uuid. A decimal
// without scale of its own and geometry are refused. The columns of a topic of change events are those of
// the row in them: At("after").
//
// Nanosecond timestamps become timestamp_ns and timestamptz_ns where Options.Nanoseconds allows it
// (table format v3), else they are cut to microseconds. A branch of a union is named for its type:
// "string", "long", the record's short name. Protobuf fields are optional columns except proto2's
// required ones, since any writer may drop a field. Types of one schema may be shared or recursive;
// expanding them is bounded by columnsMax and depthMax.
//
// Callers: ingest/decode, ingest/evolve, cmd. The package does no I/O, and no text makes it panic.
package messageschema
