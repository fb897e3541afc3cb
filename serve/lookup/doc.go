// Package lookup answers look-ups by key over HTTP: rows of keyed tables as they are now.
//
//	GET  /v1/tables/{namespace}/{table}/rows/{key}
//	GET  /v1/tables/{namespace}/{table}/rows?key={JSON}
//	POST /v1/tables/{namespace}/{table}/rows          a JSON list of keys
//
// A Handler is the protocol: it makes keys of texts by the table's schema, and JSON of rows. Tables, which finds them,
// is ingest, handed over by cmd: who reads a keyed table's topics has its index.
package lookup
