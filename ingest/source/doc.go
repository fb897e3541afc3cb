// Package source is a log of records as ingest sees it: Kafka, and the broker embedded for demos.
//
// The Kafka client is imported here and in no other package of ours.
package source
