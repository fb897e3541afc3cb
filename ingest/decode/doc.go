// Package decode turns records into record batches: JSON, Avro, Protobuf, JSON Schema, CSV, raw bytes.
//
// A Plan is compiled once from the table's schema and the source's format and is immutable; each
// worker makes its own Decoder from it. Decoders write straight into Arrow buffers: no map, no
// reflection and no allocation per record. Bad input is never an error of the call but a Failure of
// its row, so that counts always add up.
package decode
