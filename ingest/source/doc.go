// Package source is a log of records as ingest sees it: Kafka, and the broker embedded for demos.
//
//	broker ─► fetcher ─► Kafka.Poll ─► Event{Revoked, Lost, Assigned, OutOfRange, Chunks}
//	table's position ─► Kafka.Seek          commit done ─► Kafka.Ack (lag tools only)
//
// The Kafka client keeps the connections, the metadata and the group; its consumer is paused. Lock order:
// Kafka.mu, fetcher.mu.
//
// Callers: ingest polls, cmd opens sources, lists topics through Admin and starts Embedded.
//
// Invariants:
//   - reading begins where Seek said and nowhere else: the consumer group assigns partitions, its
//     offsets are never read, and no offset is ever reset silently;
//   - chunks of one topic partition touch: each From is the Next before it, or what Seek said, so an
//     offset without a record in [From, Next) holds none;
//   - no chunk of a partition arrives before its Seek, nor after its revocation or loss was told;
//   - a chunk's records are borrowed until its Release, then their memory holds later fetches.
//
// The Kafka client is imported here and in ingest/gen, which writes to topics, and nowhere else.
package source
