package commit

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"
	"github.com/cockroachdb/datadriven"
	"github.com/google/uuid"

	"github.com/firthlake/firth/table"
)

// TestApply runs testdata/apply: changes, heads and what becomes of them. Input lines are fields
// "key=value".
func TestApply(t *testing.T) {
	datadriven.Walk(t, "testdata/apply", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "fence":
				return runFence(t, d)
			case "merge":
				return runMerge(t, d)
			case "expire":
				return runExpire(t, d)
			case "describe":
				return runDescribe(t, d)
			}
			t.Fatalf("unknown command %s", d.Cmd)
			return ""
		})
	})
}

// scan reads "at cluster/topic/id/partition numbers..." lines.
func scan(t *testing.T, line string, into ...*int64) (word string, tp TopicPartition) {
	var id byte
	var name string
	fields := strings.Fields(line)
	word, name = fields[0], fields[1]
	parts := strings.Split(name, "/")
	if _, err := fmt.Sscan(parts[2]+" "+parts[3], &id, &tp.Partition); err != nil {
		t.Fatal(err)
	}
	tp.Cluster, tp.Topic, tp.TopicID = parts[0], parts[1], uuid.UUID{15: id}
	for i, v := range into {
		if 2+i < len(fields) {
			if _, err := fmt.Sscan(fields[2+i], v); err != nil {
				t.Fatal(err)
			}
		}
	}
	return word, tp
}

func runFence(t *testing.T, d *datadriven.TestData) string {
	position, ranges := Position{}, map[TopicPartition]Range{}
	for _, line := range strings.Split(d.Input, "\n") {
		var from, next int64
		word, tp := scan(t, line, &from, &next)
		if word == "at" {
			position[tp] = Offset(from)
		} else {
			ranges[tp] = Range{From: Offset(from), Next: Offset(next)}
		}
	}
	if err := fence(position, ranges, d.HasArg("declared")); err != nil {
		return err.Error() + "\n"
	}
	return "passes\n"
}

func runMerge(t *testing.T, d *datadriven.TestData) string {
	var manifests []iceberg.ManifestFile
	for i, word := range strings.Fields(d.Input) {
		var live, spec int
		content := iceberg.ManifestContentData
		if strings.HasPrefix(word, "d") {
			content, word = iceberg.ManifestContentDeletes, word[1:]
		}
		if _, err := fmt.Sscanf(word, "%d/%d", &live, &spec); err != nil {
			live, spec = 0, 0
			if _, err := fmt.Sscan(word, &live); err != nil {
				t.Fatal(err)
			}
		}
		manifests = append(manifests, iceberg.NewManifestFile(2, fmt.Sprintf("m%d", i), 1, int32(spec), 1).
			Content(content).ExistingFiles(int32(live)).Build())
	}
	kept, groups := planMerges(manifests)
	names := func(list []iceberg.ManifestFile) string {
		var out []string
		for _, m := range list {
			out = append(out, fmt.Sprintf("%s:%d", m.FilePath(), liveEntries(m)))
		}
		return strings.Join(out, " ")
	}
	out := "kept " + names(kept) + "\n"
	for _, g := range groups {
		out += "merged " + names(g) + "\n"
	}
	return out
}

// chain is a table with n snapshots on main, a second apart, ids and sequence numbers from 1.
func chain(t *testing.T, version, n int) icetable.Metadata {
	schema := iceberg.NewSchema(0, iceberg.NestedField{ID: 1, Name: "id", Type: iceberg.PrimitiveTypes.Int64})
	meta, err := icetable.NewMetadataWithUUID(schema, iceberg.UnpartitionedSpec,
		icetable.UnsortedSortOrder, "s3://lake/t",
		iceberg.Properties{"format-version": fmt.Sprint(version)}, uuid.UUID{1})
	if err != nil {
		t.Fatal(err)
	}
	// The library dates new tables by the clock.
	data, err := json.Marshal(meta)
	if err != nil {
		t.Fatal(err)
	}
	dated := strings.Replace(string(data), fmt.Sprint(meta.LastUpdatedMillis()), "1000", 1)
	if meta, err = icetable.ParseMetadataString(dated); err != nil {
		t.Fatal(err)
	}
	if n == 0 {
		return meta
	}
	var updates []icetable.Update
	var parent *int64
	for i := range n {
		id := int64(i + 1)
		s := &icetable.Snapshot{SnapshotID: id, ParentSnapshotID: parent, SequenceNumber: id,
			TimestampMs: id * 1000, ManifestList: fmt.Sprintf("list%d", id),
			Summary: &icetable.Summary{Operation: icetable.OpAppend}}
		if version == 3 {
			zero := int64(0)
			s.FirstRowID, s.AddedRows = &zero, &zero
		}
		updates = append(updates, icetable.NewAddSnapshotUpdate(s),
			icetable.NewSetSnapshotRefUpdate(icetable.MainBranch, id, icetable.BranchRef, 0, 0, 0))
		parent = &id
	}
	if meta, err = icetable.UpdateTableMetadata(meta, updates, ""); err != nil {
		t.Fatal(err)
	}
	return meta
}

func runExpire(t *testing.T, d *datadriven.TestData) string {
	var snapshots, keep, ageMin, now int
	d.ScanArgs(t, "snapshots", &snapshots)
	d.ScanArgs(t, "keep", &keep)
	d.ScanArgs(t, "age", &ageMin)
	d.ScanArgs(t, "now", &now)
	meta := chain(t, 2, snapshots)
	for _, tagged := range strings.Fields(d.Input) {
		var id int64
		if _, err := fmt.Sscan(tagged, &id); err != nil {
			t.Fatal(err)
		}
		var err error
		meta, err = icetable.UpdateTableMetadata(meta, []icetable.Update{
			icetable.NewSetSnapshotRefUpdate("tag"+tagged, id, icetable.TagRef, 0, 0, 0)}, "")
		if err != nil {
			t.Fatal(err)
		}
	}
	var leave []int64
	for _, s := range planExpiry(meta, retention{keep: keep, ageMin: time.Duration(ageMin) * time.Second,
		now: time.Unix(int64(now), 0)}) {
		leave = append(leave, s.SnapshotID)
	}
	return fmt.Sprintf("leave %v\n", leave)
}

func runDescribe(t *testing.T, d *datadriven.TestData) string {
	var version, snapshots int
	d.ScanArgs(t, "version", &version)
	d.ScanArgs(t, "snapshots", &snapshots)
	meta := chain(t, version, snapshots)
	h := &head{meta: meta, table: table.New(table.Ident{"db", "t"}, meta, ""), snapshot: meta.CurrentSnapshot()}
	f := facts{now: time.Unix(100, 0), writer: "w", parent: h.snapshotID(),
		sequence: meta.LastSequenceNumber() + 1, list: "new-list"}
	f.id, f.snapshotID, f.ranges = uuid.UUID{15: 9}, 42, map[TopicPartition]Range{}
	for _, line := range strings.Split(d.Input, "\n") {
		var a, b int64
		switch word, rest, _ := strings.Cut(line, " "); word {
		case "range":
			_, tp := scan(t, line, &a, &b)
			f.ranges[tp] = Range{From: Offset(a), Next: Offset(b), Counts: Counts{Filtered: b - a}}
		case "added":
			if _, err := fmt.Sscan(rest, &a, &b); err != nil {
				t.Fatal(err)
			}
			f.tally.files, f.tally.records, f.tally.bytes, f.nextRowID = a, b, 10*b, b
			f.manifests = []iceberg.ManifestFile{iceberg.NewManifestFile(version, "m", 1, 0, 42).
				AddedFiles(int32(a)).AddedRows(b).Build()}
		case "expire":
			f.expired = []expired{{Snapshot: slices.Collect(Ancestry(meta))[snapshots-1]}}
		}
	}
	f.coded = encodeRanges(kindRanges, f.ranges)
	f.ledger = Ledger{Position: Position{}, Folded: map[TopicPartition]Range{}}.advance(f.ranges)
	s := f.describe(h)
	out := ""
	for _, r := range s.requirements {
		out += line(t, "require", r)
	}
	for _, u := range s.updates {
		out += line(t, "update", u)
	}
	if _, err := icetable.UpdateTableMetadata(meta, s.updates, ""); err != nil {
		out += "refused by the library: " + err.Error() + "\n"
	}
	return out
}

func line(t *testing.T, word string, v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return word + " " + string(data) + "\n"
}
