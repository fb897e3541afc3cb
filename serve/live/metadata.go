package live

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"
	"github.com/google/uuid"

	"github.com/firthlake/firth/table"
)

// What the summary of a version's snapshot says of it (docs/format.md).
const (
	SummaryAsOf     = "live.as-of-ms"
	SummaryBehind   = "live.base-snapshot-id"
	SummaryOffsets  = "live.offsets"
	SummaryRows     = "live.rows"
	SummaryDegraded = "live.degraded"
	// SummaryElsewhere lists the topic partitions that other processes read which do not tell of them.
	SummaryElsewhere = "live.elsewhere"
)

// offsetsBytesMax bounds the cut in a summary: about 100 topic partitions fit. It is for people and tests.
const offsetsBytesMax = 2048

// overlaid is the metadata of a version.
type overlaid struct {
	*draft
	id     uuid.UUID // of the committed table
	pinned []json.RawMessage
}

// TableUUID is the UUID that a table has in the live catalog.
func TableUUID(committed uuid.UUID) uuid.UUID { return uuid.NewSHA1(committed, []byte("live")) }

func (m *overlaid) snapshot() icetable.Snapshot {
	v := m.version
	summary := iceberg.Properties{
		SummaryAsOf:    strconv.FormatInt(v.asked.UnixMilli(), 10),
		SummaryRows:    strconv.FormatInt(v.view.Rows-v.tailHidden, 10),
		SummaryOffsets: offsetsText(v.view.Cut), SummaryBehind: "",
	}
	schemaID := m.meta.CurrentSchema().ID
	s := icetable.Snapshot{
		SnapshotID: m.snapshotID, SequenceNumber: m.sequence, TimestampMs: m.stamp, ManifestList: m.list,
		SchemaID: &schemaID,
	}
	if m.head != nil {
		s.ParentSnapshotID = &m.head.SnapshotID
		summary[SummaryBehind] = strconv.FormatInt(m.head.SnapshotID, 10)
		if m.head.Summary != nil {
			for name, value := range m.head.Summary.Properties {
				if strings.HasPrefix(name, "total-") {
					summary[name] = value
				}
			}
		}
	}
	count(summary, "total-records", m.tail.rows)
	count(summary, "total-data-files", m.tail.files)
	count(summary, "added-records", m.tail.rows)
	count(summary, "added-data-files", m.tail.files)
	operation := icetable.OpAppend
	if m.deletes.files > 0 {
		operation = icetable.OpOverwrite
		count(summary, "total-delete-files", m.deletes.files-m.replaced.files)
		count(summary, "total-position-deletes", m.deletes.rows-m.replaced.rows)
		count(summary, "added-delete-files", m.deletes.files)
		count(summary, "added-position-deletes", m.deletes.rows)
	}
	if v.degraded != "" {
		summary[SummaryDegraded] = v.degraded
	}
	if len(v.elsewhere) > 0 {
		summary[SummaryElsewhere] = partitionsText(v.elsewhere)
	}
	s.Summary = &icetable.Summary{Operation: operation, Properties: summary}
	if m.meta.Version() >= 3 {
		first := m.meta.NextRowID()
		rows := m.nextRowID - first
		s.FirstRowID, s.AddedRows = &first, &rows
	}
	return s
}

// offsetsText is the cut as JSON: topic, partition, next offset.
func offsetsText(cut table.Position) string {
	topics := map[string]map[string]table.Offset{}
	for id, next := range cut {
		if topics[id.Topic] == nil {
			topics[id.Topic] = map[string]table.Offset{}
		}
		topics[id.Topic][strconv.Itoa(int(id.Partition))] = next
	}
	return boundedText(topics, len(cut))
}

// partitionsText is topic partitions as JSON: topic, partitions.
func partitionsText(ids []table.TopicPartition) string {
	topics := map[string][]int32{}
	for _, id := range ids {
		topics[id.Topic] = append(topics[id.Topic], id.Partition)
	}
	return boundedText(topics, len(ids))
}

// boundedText is what is said of so many topic partitions as JSON, or how many they are.
func boundedText(topics any, partitions int) string {
	text, err := json.Marshal(topics)
	if err != nil {
		panic("BUG: encode topic partitions: " + err.Error())
	}
	if len(text) > offsetsBytesMax {
		return fmt.Sprintf("%d topic partitions", partitions)
	}
	return string(text)
}

// json is the base's metadata with the version in place of its snapshots. Fields that are not known here
// stay as they are.
func (m *overlaid) json(base, snapshot json.RawMessage) (json.RawMessage, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(base, &fields); err != nil {
		return nil, fmt.Errorf("parse table metadata: %w", err)
	}
	snapshots, err := m.snapshots(fields["snapshots"], snapshot)
	if err != nil {
		return nil, err
	}
	properties := maps.Clone(m.meta.Properties())
	maps.DeleteFunc(properties, func(name, _ string) bool { return strings.HasPrefix(name, "firth.") })
	changed := map[string]any{
		"table-uuid": TableUUID(m.id), "last-updated-ms": m.stamp, "last-sequence-number": m.sequence,
		"current-snapshot-id": m.snapshotID, "snapshots": snapshots, "properties": properties,
		"snapshot-log": []any{map[string]int64{"snapshot-id": m.snapshotID, "timestamp-ms": m.stamp}},
		"refs":         map[string]any{"main": map[string]any{"snapshot-id": m.snapshotID, "type": "branch"}},
	}
	if specID, found := tailSpecID(m.meta); !found {
		var specs []json.RawMessage
		if err := json.Unmarshal(fields["partition-specs"], &specs); err != nil {
			return nil, fmt.Errorf("parse partition specs: %w", err)
		}
		changed["partition-specs"] = append(specs, json.RawMessage(fmt.Sprintf(`{"spec-id":%d,"fields":[]}`, specID)))
	}
	if m.meta.Version() >= 3 {
		changed["next-row-id"] = m.nextRowID
	}
	for _, name := range []string{"metadata-log", "statistics", "partition-statistics"} {
		delete(fields, name)
	}
	for name, value := range changed {
		encoded, err := json.Marshal(value)
		if err != nil {
			return nil, fmt.Errorf("encode %s: %w", name, err)
		}
		fields[name] = encoded
	}
	return json.Marshal(fields)
}

// snapshots are the base's head, those that readers may still hold, and the version's own.
func (m *overlaid) snapshots(all, own json.RawMessage) ([]json.RawMessage, error) {
	var out []json.RawMessage
	if m.head != nil {
		var list []json.RawMessage
		if err := json.Unmarshal(all, &list); err != nil {
			return nil, fmt.Errorf("parse snapshots: %w", err)
		}
		at := slices.IndexFunc(list, func(raw json.RawMessage) bool {
			var s struct {
				ID int64 `json:"snapshot-id"`
			}
			return json.Unmarshal(raw, &s) == nil && s.ID == m.head.SnapshotID
		})
		if at < 0 {
			return nil, fmt.Errorf("snapshot %d is not in the metadata", m.head.SnapshotID)
		}
		out = append(out, list[at])
	}
	return append(append(out, m.pinned...), own), nil
}
