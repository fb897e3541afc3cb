package ingest

import (
	"sync/atomic"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/ingest/upsert"
	"github.com/firthlake/firth/table/keyindex"
)

// seenBuffer are the rows of a buffer as look-ups find them.
type seenBuffer struct {
	shape *shape
	parts []seenPart // only appended to
	rows  int
	// from is where it begins and next where it ends.
	from, next commit.Position
	// afterHidden says that there is a buffer before it that look-ups do not see.
	afterHidden bool
	// landing says that the index takes in its rows. landed is closed when it is seen no more.
	landing bool
	landed  chan struct{}

	// refs are those who may read the parts; fresh is one of them while it holds the buffer.
	refs atomic.Int32

	keys seenKeys
}

// seenPart is what one portion brought.
type seenPart struct {
	topicPartition commit.TopicPartition
	batch          arrow.RecordBatch
	ops            []upsert.Op
	first          int // number of its first row in the buffer
}

// goesOn says whether the buffer begins where a position ends.
func (s *seenBuffer) goesOn(position commit.Position) bool {
	for id, from := range s.from {
		if at, known := position[id]; known && at != from {
			return false
		}
	}
	return true
}

// hold keeps the parts until release, unless they are gone.
func (s *seenBuffer) hold() bool {
	for {
		refs := s.refs.Load()
		if refs <= 0 {
			return false
		}
		if s.refs.CompareAndSwap(refs, refs+1) {
			return true
		}
	}
}

func (s *seenBuffer) release() {
	if s.refs.Add(-1) > 0 {
		return
	}
	for _, part := range s.parts {
		part.batch.Release()
	}
}

// versions are the rows of a key, in the order of their coming.
func (s *seenUntil) versions(key keyindex.Key, seed keyindex.Seed) ([]int32, error) {
	runs, err := s.keys.of(s.shape, s.parts, seed)
	if err != nil {
		return nil, err
	}
	return runs.rows(key, s.rows), nil
}
