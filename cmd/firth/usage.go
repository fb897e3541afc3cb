package main

import (
	"path/filepath"
	"runtime/debug"

	"github.com/firthlake/firth/ingest/spec"
)

// What a memory limit is shared out as, so that the process's resident memory stays near it. All was
// measured with events10, wide50, nested and logs at limits from 128 MiB to 1 GiB.
const (
	// programBytes are this program's own pages, which the system counts and Go's limit does not: 60
	// MiB when all of them were used once, of which a third are seldom used again.
	programBytes = 40 << 20
	// fixedBytes is what is there whatever the load: the program, connections, compressors.
	fixedBytes = 64 << 20
	// bufferShare is the part of the rest that buffered rows may take. What is left of it is for
	// fetches, decoding, files that are open and the collector's slack.
	bufferShare = 0.48
	// indexShare of the limit is for the indexes of keyed tables together, indexBytesMin for each of them.
	indexShare    = 8
	indexBytesMin = 8 << 20
	// copiesShare of the free disk is for the copies of data files that look-ups read, copiesBytesMax at most: the rows
	// of some 50 million.
	copiesShare    = 4
	copiesBytesMax = 16 << 30
	// garbagePercent lets the heap grow to five times what is alive before it is collected, within
	// the memory limit: 4 % more rows per CPU-second than Go's 100, in the same memory.
	garbagePercent = 400
	// A broker's answer, compressed, is a part of the limit between these bounds. The least is what
	// brokers send at once without a disk seek too many, the most what two cores take in in 10 ms.
	fetchPart     = 384
	fetchBytesMin = 256 << 10
	fetchBytesMax = 1 << 20
)

// boundMemory tells the runtime what the process may take.
func boundMemory(limit spec.Size) {
	debug.SetMemoryLimit(int64(limit) - programBytes)
	debug.SetGCPercent(garbagePercent)
}

// bufferBytes is what buffered rows may take of a memory limit.
func bufferBytes(limit spec.Size) int64 {
	return int64(float64(limit-fixedBytes) * bufferShare)
}

// indexBytes is what the index of one of so many keyed tables may take.
func indexBytes(limit spec.Size, tables int) int64 {
	return max(int64(limit)/indexShare/int64(max(tables, 1)), indexBytesMin)
}

// copiesBytes is what copies of data files may take of the disk of a folder, which need not be there yet. Where it
// cannot be told, there are none.
func copiesBytes(folder string) int64 {
	found, err := diskOf(folder)
	for above := filepath.Dir(folder); err != nil && above != folder; above = filepath.Dir(folder) {
		folder = above
		found, err = diskOf(folder)
	}
	return min(found.free/copiesShare, copiesBytesMax)
}

// fetchBytes bounds one answer of a broker.
func fetchBytes(limit spec.Size) int32 {
	return int32(min(max(limit/fetchPart, fetchBytesMin), fetchBytesMax))
}
