// Package objstoretest is the conformance suite of objstore.Store: every implementation runs it,
// the ones on disk and in memory in their unit tests, S3 in an end-to-end test against a real
// server.
package objstoretest
