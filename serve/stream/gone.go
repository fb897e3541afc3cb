package stream

import (
	"context"
	"fmt"

	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/filter"
)

// hasAll makes sure that no row at or behind the cut has left the table because of its age. Rows grow old in the order
// of their offsets, or nearly so; as long as a topic partition has a row from before the cut, none behind it
// has left.
func (s *Subscription) hasAll(ctx context.Context, now *state, columns scan) error {
	missing, most := map[coordinate]table.TopicPartition{}, table.Offset(0)
	for id, next := range now.Position {
		if at := s.cut[id]; at > 0 && at < next {
			missing[nameOf(id)] = id
			most = max(most, at)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	before, err := filter.Parse(fmt.Sprintf("%s < %d", columnOffset, most))
	if err != nil {
		panic("BUG: a comparison of a number does not parse: " + err.Error())
	}
	tasks, err := table.Plan(ctx, now.table, s.streams.opts.Objects, table.Scan{Filter: before,
		Columns: []string{columnTopic, columnPartition, columnOffset}})
	if err != nil {
		return err
	}
	for _, task := range tasks {
		useful := false
		for _, id := range missing {
			useful = useful || mayHold(task, columns.coordinates, id)
		}
		if !useful {
			continue
		}
		if err := s.find(ctx, task, missing); err != nil || len(missing) == 0 {
			return err
		}
	}
	for _, id := range missing {
		return fmt.Errorf("%w: those of %s from offset %d on may be among %d that were too old; begin anew%s",
			ErrGone, id, s.cut[id], now.Expired-s.expired, oldest(now.table.Metadata()))
	}
	return nil
}

// find takes out of missing the topic partitions that have a row before the cut in a file.
func (s *Subscription) find(ctx context.Context, task table.Task,
	missing map[coordinate]table.TopicPartition) error {
	for batch, err := range table.Read(ctx, s.streams.opts.Objects, task) {
		if err != nil {
			return err
		}
		topics, partitions, offsets, err := coordinateColumns(batch)
		if err != nil {
			return err
		}
		for row := range int(batch.NumRows()) {
			at := coordinate{topics.Value(row), partitions.Value(row)}
			if id, some := missing[at]; some && table.Offset(offsets.Value(row)) < s.cut[id] {
				delete(missing, at)
			}
		}
		if len(missing) == 0 {
			return nil
		}
	}
	return nil
}
