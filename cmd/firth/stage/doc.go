// Package stage measures the stages of ingest on their own, for 'firth bench'.
//
// A Feed says which rows in which format; a Result leaves, with rows per CPU-second first. Fetch reads a
// topic and gives its records back; Decode makes record batches, and Encode data files that nobody keeps,
// each on one goroutine and in memory; Upload puts data files into a store; Commit publishes files that are
// only described. Upsert takes records into a keyed table, from decoding to commits. All of them call the
// packages that the service calls.
//
//	topic ─► Fetch    records ─► Decode    batches ─► Encode    files ─► Upload    changes ─► Commit
//
// Invariants:
//   - what is made ready beforehand (records for Decode, batches for Encode, a file for Upload) is in neither
//     the seconds nor the CPU time. It is bounded, and taken again and again until all rows were measured;
//   - seconds, CPU time and the profile are of the whole process, the collector included.
package stage
