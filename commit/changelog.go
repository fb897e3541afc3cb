package commit

import (
	"github.com/firthlake/firth/table"
)

// The properties by which a table and the table of its changes know each other (docs/format.md).
const (
	// PropertyChangelog is the name of the table that holds the changes of the table that has the property.
	PropertyChangelog = "firth.changelog"
	// PropertyChangelogOf is the name of the table whose changes the table that has the property holds.
	PropertyChangelogOf = "firth.changelog.of"
)

// changelogCluster is the cluster id under which the ledger of a table of changes knows its source, whose
// snapshots are the log that it was made from.
const changelogCluster = "firth"

// ChangesOf is the topic partition whose offsets are the ordinals of changes of a table.
func ChangesOf(source *table.Table) TopicPartition { return logOf(source, 0) }

// SnapshotsOf is the topic partition whose offsets are the sequence numbers of snapshots of a table.
func SnapshotsOf(source *table.Table) TopicPartition { return logOf(source, 1) }

func logOf(source *table.Table, partition int32) TopicPartition {
	return TopicPartition{Cluster: changelogCluster, TopicID: source.Metadata().TableUUID(),
		Topic: source.String(), Partition: partition}
}
