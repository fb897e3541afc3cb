// Package ingest turns the records of a log into committed rows.
//
//	source ─► decode ─► filter ─► buffer ─► cut ─► table.Writer ─► commit
//
// One fetch and one decode serve all tables that read a topic. Reading resumes from the position that
// the table stores, never from the consumer group's offsets, which only show lag.
package ingest
