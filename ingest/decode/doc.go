// Package decode turns records into record batches: JSON, Avro, Protobuf, JSON Schema, CSV, raw bytes.
//
// A Plan is compiled once from the table's schema and the source's format and is immutable; each
// worker makes its own Decoder from it. Decoders write straight into Arrow buffers: no map, no
// reflection and no allocation per record. Bad input is never an error of the call but a Failure of
// its row, so that counts always add up.
//
//	chunk ─► chunkDecoder ─► valueDecoder (one a format) ─► rows of Columns ─► batch, failures
//	              └─ metadata columns (_kafka_*) come from the chunk itself
//
// Invariants:
//   - a batch has one row per record. A column that could not be decoded is null in its row and has one
//     Failure with the id of the top-level column; the other columns keep their values, so that a table
//     without the bad column is not touched. A record that is no document of its format, too deep or
//     too large is null in all columns but the metadata and has one Failure with field id 0.
//   - a required column that failed is null in the batch too: who takes the batch leaves out the rows
//     with failures before writing it.
//   - a record without a value (a tombstone) is a row of nulls without a Failure: what it means is the
//     caller's to say.
//
// What JSON becomes. A document is accepted exactly if encoding/json accepts it, within the limit of
// depth. Numbers are exact: integers may be written 1.0 or 1e3, decimals go from their digits to the
// unscaled value, and what a type cannot hold is ClassRange, never rounded, but for floating-point
// columns, which take the nearest value. Numbers and booleans may be written as strings unless
// Options.StrictNumbers. Binary and fixed are base64, uuid is hexadecimal with or without dashes.
// Dates and times are ISO 8601, or numbers as ColumnOptions.Time says; dates count in days. Text
// without zone is UTC, fractions finer than the column are cut off towards the past. Strings that are
// not UTF-8, or hold half of a surrogate pair, are ClassUTF8. Keys are told apart by case.
//
// Avro, Protobuf and JSON Schema are read with the schema each value was written with (NewWriterPlan),
// whose id stands before it. A writer's fields go to columns by name, or by path option, former name
// or the writer's alias; Avro's promotions hold, and a number that the column cannot hold exactly is
// ClassRange. A Protobuf field that is not there is its zero value, or null where it has presence;
// an enum is the name of its value. Of a field that no column takes only the end is looked for. What a
// byte of a record can be made to stand for is bounded per chunk (cells). ingest/messageschema tells
// which column each type makes.
//
// Plain values, and Protobuf messages in the order of their numbers, are read straight into the columns;
// at anything else the reading begins again in the way that knows all cases, so what is faster is never
// different. The references in the tests read each format slowly and decide what is right.
//
// CSV is one line of RFC 4180 a record, with the same conversions.
//
// A plan with an Envelope reads change events. A record then gives as many rows as it changes, each with
// an operation (Changes): an insert, update or snapshot is the row as it is after, whole; a delete is a
// row of the key's columns, of the columns that lie outside the row (Envelope.Columns), and nulls. An
// update that changes the key gives both, the delete behind the upserts of its record. The caller puts
// them in the order of the table's sequence. Each record counts as one operation, whatever its rows; a
// record that fails as a whole has none, and Failure.Row is always the record. What changes no row (a
// heartbeat, a transaction's begin and end, DDL, truncate) is ClassOperation. A value that the source
// left out as unchanged is null with a Failure of ClassUnavailable, for the caller to fill from the old
// row or to refuse: the placeholder never becomes data. Debezium itself makes a delete and an insert of a
// changed key, and the insert may lack values that stand in the row under the old key.
package decode
