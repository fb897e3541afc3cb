// Package registry is a client of a Confluent-compatible schema registry, and the frame that its
// serializers put around a record's value.
//
//	value = 0x00, schema id (4 bytes, big endian), [Protobuf: path of message indexes], payload
//
// A schema id enters, the schema's text with the texts of all it refers to leaves. Schemas by id
// never change, so Client keeps them, up to a bound; an id that the registry does not know is
// remembered for a short time only, since a producer may be about to register it. Many goroutines
// that ask for one id make one request.
//
// The two ways to fail must be told apart: ErrUnknownID is the registry's own answer and a fault of
// the record; ErrUnavailable says nothing about the record, and the caller tries again later.
// Nothing is retried here, but every address is asked in turn.
//
// Callers: ingest/decode (by id), cmd (by subject, register).
package registry
