// Package components starts and stops the real servers of the end-to-end tests: Kafka, MinIO,
// Postgres, Kafka Connect with Debezium, a schema registry, toxiproxy, Trino.
//
// A Lab is one test run: a folder for data and logs, and the processes started in it. Ports are
// free ones, chosen at start. Stop ends everything, also after a failed start.
package components
