package commit

import (
	"maps"
	"strings"
)

// replaySuffix ends the name of the log of replays. No topic of Kafka has a "#" in its name.
const replaySuffix = "#resolved"

// ClassResolved is the error class of the row of a dead-letter table that says that the letter with its coordinates
// is resolved.
const ClassResolved = "resolved"

// ReplaysOf names the log of replays of a topic partition: what became of its dead letters, as ordinals from 0
// on in the order in which they were resolved. A range of it is fenced, folded and read back like any other, so
// that a letter is resolved once.
func ReplaysOf(tp TopicPartition) TopicPartition {
	tp.Topic += replaySuffix
	return tp
}

// ReplayedBy is the inverse of ReplaysOf; it returns false for a topic partition that is no log of replays.
func ReplayedBy(tp TopicPartition) (TopicPartition, bool) {
	topic, ok := strings.CutSuffix(tp.Topic, replaySuffix)
	tp.Topic = topic
	return tp, ok
}

// withoutReplays is the position in the topics alone.
func withoutReplays(position Position) Position {
	out := maps.Clone(position)
	maps.DeleteFunc(out, func(tp TopicPartition, _ Offset) bool {
		_, replays := ReplayedBy(tp)
		return replays
	})
	return out
}

// Topics is the position in the topics, without the logs of replays.
func (l Ledger) Topics() Position { return withoutReplays(l.Position) }

// Open is how many dead letters of a topic partition are not resolved.
func (l Ledger) Open(tp TopicPartition) int64 {
	return l.Folded[tp].Counts.DeadLetters - int64(l.Position[ReplaysOf(tp)])
}

// validateReplays holds the ranges of replays against the ledger: no more letters are resolved than there are.
func validateReplays(ledger Ledger, ranges map[TopicPartition]Range) error {
	for _, tp := range sortedTopicPartitions(ranges) {
		of, replays := ReplayedBy(tp)
		if length := int64(ranges[tp].Next - ranges[tp].From); replays && length > ledger.Open(of) {
			return invalid("it resolves %d dead letters of %s, of which %d are open", length, of, ledger.Open(of))
		}
	}
	return nil
}

// resolved is how many dead letters a range resolves.
func resolved(tp TopicPartition, r Range) int64 {
	if _, replays := ReplayedBy(tp); !replays {
		return 0
	}
	return int64(r.Next - r.From)
}
