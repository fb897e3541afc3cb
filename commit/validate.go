package commit

import (
	"maps"
	"slices"

	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"
	"github.com/google/uuid"
)

// Validate says what is wrong with the change for a table of this metadata. It does not look at the
// position; that is the fence's.
func (c Change) Validate(meta icetable.Metadata) error {
	if c.ID == uuid.Nil {
		return invalid("it has no id")
	}
	if rewrite := len(c.Removed)+len(c.Dead) > 0 || c.Expiry != nil; rewrite != (len(c.Ranges) == 0) {
		if rewrite {
			return invalid("it removes data or delete files or rows, and covers offsets")
		}
		return invalid("it covers no offsets")
	}
	var rows, gone, deadLetters int64
	for _, tp := range sortedTopicPartitions(c.Ranges) {
		r := c.Ranges[tp]
		if err := validateTopicPartition(tp); err != nil {
			return err
		}
		if err := r.Validate(); err != nil {
			return invalid("%s: %v", tp, err)
		}
		rows += r.Counts.Inserted + r.Counts.Updated
		gone += r.Counts.Updated + r.Counts.Deleted
		deadLetters += r.Counts.DeadLetters + resolved(tp, r)
		if c := r.Counts; resolved(tp, r) > c.Inserted+c.Filtered+c.Tombstones {
			return invalid("%s: dead letters become rows, filtered or tombstones, not %s", tp, c)
		}
	}
	if got, err := validateFiles(c.Files, meta); err != nil {
		return err
	} else if got != rows+c.Uncounted.Added && len(c.Removed) == 0 {
		return invalid("its files hold %d rows, its ranges count %d, and %d are beyond", got, rows, c.Uncounted.Added)
	}
	if gone > 0 && len(c.Deletes) == 0 {
		return invalid("its ranges count %d rows updated and deleted, and it has no deletes", gone)
	}
	if c.Uncounted.Added < 0 || c.Uncounted.Taken < 0 {
		return invalid("rows beyond its ranges are negative: %+v", c.Uncounted)
	}
	// With policy "skip" and a dead-letter table switched off there are none; otherwise all are there.
	if got := countRows(c.DeadLetters); got != deadLetters {
		return invalid("its dead-letter files hold %d rows, its ranges count %d", got, deadLetters)
	}
	return c.validateDeletes(meta)
}

func validateTopicPartition(tp TopicPartition) error {
	switch {
	case tp.Cluster == "" || tp.Topic == "":
		return invalid("topic partition %q of cluster %q lacks a name", tp.Topic, tp.Cluster)
	case len(tp.Cluster) > stringBytesMax || len(tp.Topic) > stringBytesMax:
		return invalid("topic partition %.60q... has too long a name", tp.Topic)
	case tp.Partition < 0:
		return invalid("topic partition %s is negative", tp)
	}
	return nil
}

// validateFiles checks data files against the table they are for and returns their rows.
func validateFiles(files []iceberg.DataFile, meta icetable.Metadata) (rows int64, err error) {
	seen := make(map[string]struct{}, len(files))
	for _, f := range files {
		path := f.FilePath()
		if _, twice := seen[path]; twice {
			return 0, invalid("file %s is in it twice", path)
		}
		seen[path] = struct{}{}
		switch {
		case !within(path, meta):
			return 0, invalid("file %s is outside the table's location %s", path, meta.Location())
		case f.ContentType() != iceberg.EntryContentData:
			return 0, invalid("file %s is no data file", path)
		case f.FirstRowID() != nil:
			return 0, invalid("file %s has row ids already", path)
		case f.Count() <= 0:
			return 0, invalid("file %s has no rows", path)
		case meta.PartitionSpecByID(int(f.SpecID())) == nil:
			return 0, invalid("file %s is of partition spec %d, which the table does not have", path, f.SpecID())
		}
		rows += f.Count()
	}
	return rows, nil
}

func countRows(files []iceberg.DataFile) (rows int64) {
	for _, f := range files {
		rows += f.Count()
	}
	return rows
}

func sortedTopicPartitions[V any](m map[TopicPartition]V) []TopicPartition {
	return slices.SortedFunc(maps.Keys(m), TopicPartition.Compare)
}
