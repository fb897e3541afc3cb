package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/ingest/source"
	"github.com/firthlake/firth/ingest/spec"
	"github.com/firthlake/firth/table"
)

// tableReport is what 'firth describe --json' prints.
type tableReport struct {
	tableSummary
	UUID      string           `json:"uuid"`
	Columns   []columnReport   `json:"columns"`
	Partition []string         `json:"partition"`
	Sort      string           `json:"sort"`
	Offsets   []positionReport `json:"offsets"`
	// Doors are what readers are shown now, as the process says that ingests the table.
	Doors   []doorReport     `json:"doors,omitempty"`
	History []snapshotReport `json:"history"`
	Pending int              `json:"dead_letters_pending"`
	Foreign commit.Foreign   `json:"foreign"`
	// Merge is the merge engine of a keyed table, as far as it is known.
	Merge string `json:"merge,omitempty"`
	// Changelog is the table of this one's changes, ChangesOf the table whose changes this one holds.
	Changelog string            `json:"changelog,omitempty"`
	ChangesOf string            `json:"changes_of,omitempty"`
	Settings  map[string]string `json:"properties"`
}

type columnReport struct {
	ID       int    `json:"id"`
	Name     string `json:"name"`
	Type     string `json:"type"`
	Required bool   `json:"required"`
	Doc      string `json:"doc,omitempty"`
}

// positionReport is where the table stands in one topic partition.
type positionReport struct {
	Cluster   string        `json:"cluster"`
	Topic     string        `json:"topic"`
	TopicID   string        `json:"topic_id"`
	Partition int32         `json:"partition"`
	Next      commit.Offset `json:"next"`
	// End and Lag are set when the cluster was asked.
	End *commit.Offset `json:"end,omitempty"`
	Lag *int64         `json:"lag,omitempty"`
}

type snapshotReport struct {
	ID        int64  `json:"id"`
	Committed string `json:"committed"`
	Operation string `json:"operation"`
	Rows      int64  `json:"added_rows"`
	Files     int64  `json:"added_files"`
	Writer    string `json:"writer,omitempty"` // empty for a foreign commit
	// RolledBack says that a later rollback took it back; RolledBackTo is of a rollback.
	RolledBack   bool   `json:"rolled_back,omitempty"`
	RolledBackTo string `json:"rolled_back_to,omitempty"`
}

// describeOptions are the flags of describe.
type describeOptions struct {
	tableFlags
	lag bool
}

func (p *program) describeCommand() *cobra.Command {
	var o describeOptions
	cmd := &cobra.Command{
		Use:   "describe TABLE",
		Short: "Show a table: schema, partitions, snapshots, position, lag",
		Long: "Shows schema, partition spec, sort order, the newest snapshots, and for each topic partition the\n" +
			"offset that the table has reached; with --lag also where the topic ends. When a process runs on the\n" +
			"configuration, also what readers are shown now: how old it is, and where it ends." +
			exitCodes("shown", "the ledger is damaged", "no such table, or could not read"),
		Example: example("firth describe db.events", "firth describe db.events --lag",
			"firth describe db.events --dir firth-demo --json | jq .offsets"),
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return p.withTable(cmd.Context(), o.tableFlags, func(l *lake, t *table.Table) error {
			return p.describe(cmd.Context(), l, t, o)
		})
	}
	o.add(cmd)
	cmd.Flags().BoolVar(&o.lag, "lag", false, "ask the clusters how far the topics are ahead")
	return cmd
}

func (p *program) describe(ctx context.Context, l *lake, t *table.Table, o describeOptions) error {
	report := describeTable(t)
	if o.lag {
		if err := addLag(ctx, l.config, report.Offsets); err != nil {
			return err
		}
	}
	if o.dir == "" {
		report.Doors = askDoors(ctx, l.config, report)
	}
	if err := p.print(report, report.write); err != nil {
		return err
	}
	if report.Fault != "" {
		return fallsShort(fmt.Errorf("the ledger of %s is damaged: %s", o.table, report.Fault),
			remedyOf(commit.ErrDamaged))
	}
	return nil
}

func describeTable(t *table.Table) tableReport {
	meta := t.Metadata()
	schema := meta.CurrentSchema()
	out := tableReport{tableSummary: summarize(t), UUID: meta.TableUUID().String(),
		Settings: map[string]string{}, Partition: []string{}, Offsets: []positionReport{},
		History: []snapshotReport{}}
	for _, f := range schema.Fields() {
		out.Columns = append(out.Columns, columnReport{f.ID, f.Name, spec.FormatType(f.Type), f.Required,
			f.Doc})
	}
	out.Partition = append(out.Partition, spec.PartitionTerms(meta.PartitionSpec(), schema)...)
	out.Sort = strings.Join(spec.SortTerms(meta.SortOrder(), schema), ", ")
	out.Merge = meta.Properties()[spec.PropertyMerge]
	out.Changelog = meta.Properties()[commit.PropertyChangelog]
	out.ChangesOf = meta.Properties()[commit.PropertyChangelogOf]
	for name, value := range meta.Properties() {
		if !strings.HasPrefix(name, "firth.") {
			out.Settings[name] = value
		}
	}
	standing := map[int64]bool{}
	for s := range commit.Standing(meta) {
		standing[s.SnapshotID] = true
	}
	for s := range commit.Ancestry(meta) {
		entry := snapshotReport{ID: s.SnapshotID, Committed: stamp(s.TimestampMs), RolledBack: !standing[s.SnapshotID]}
		if s.Summary != nil {
			entry.Operation = string(s.Summary.Operation)
			entry.Rows = number(s.Summary.Properties["added-records"])
			entry.Files = number(s.Summary.Properties["added-data-files"])
			entry.Writer = s.Summary.Properties[commit.SummaryWriter]
			entry.RolledBackTo = s.Summary.Properties[commit.SummaryRolledBackTo]
		}
		out.History = append(out.History, entry)
	}
	ledger, err := commit.ReadLedger(meta)
	if err != nil {
		return out // summarize has put it into Fault
	}
	out.Pending, out.Foreign = len(ledger.Pending), ledger.Foreign
	for tp, next := range ledger.Topics() {
		out.Offsets = append(out.Offsets, positionReport{Cluster: tp.Cluster, Topic: tp.Topic,
			TopicID: tp.TopicID.String(), Partition: tp.Partition, Next: next})
	}
	slices.SortFunc(out.Offsets, func(a, b positionReport) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.TopicID, b.TopicID),
			cmp.Compare(a.Partition, b.Partition))
	})
	return out
}

// addLag asks every configured cluster for the ends of the topics that it holds.
func addLag(ctx context.Context, c config, offsets []positionReport) error {
	for _, name := range slices.Sorted(maps.Keys(c.Clusters)) {
		connection, err := c.connection(name)
		if err != nil {
			return err
		}
		if err := clusterLag(ctx, connection, offsets); err != nil {
			return fmt.Errorf("cluster %s: %w", name, err)
		}
	}
	return nil
}

func clusterLag(ctx context.Context, connection source.Connection, offsets []positionReport) error {
	admin, err := source.OpenAdmin(ctx, connection)
	if err != nil {
		return err
	}
	defer admin.Close()
	id, err := admin.Cluster(ctx)
	if err != nil {
		return err
	}
	topics, err := admin.Topics(ctx)
	if err != nil {
		return err
	}
	ends := map[string]commit.Offset{}
	for _, topic := range topics {
		for _, partition := range topic.Partitions {
			ends[fmt.Sprintf("%s/%d", topic.ID, partition.Partition)] = partition.End
		}
	}
	for i := range offsets {
		o := &offsets[i]
		if end, ok := ends[fmt.Sprintf("%s/%d", o.TopicID, o.Partition)]; ok && o.Cluster == id {
			lag := int64(end - o.Next)
			o.End, o.Lag = &end, &lag
		}
	}
	return nil
}

// write prints the report for people.
func (r tableReport) write(w io.Writer) error {
	const historyMax = 10
	fmt.Fprintf(w, "%s  format v%d  %s rows  %s files  %s  %s\n", r.Table, r.FormatVersion, count(r.Rows),
		count(r.DataFiles), size(r.Bytes), r.Location)
	if r.Fault != "" {
		fmt.Fprintf(w, "DAMAGED: %s\n", r.Fault)
	}
	fmt.Fprintf(w, "partition: %s\nsort: %s\n", orNone(strings.Join(r.Partition, ", ")), orNone(r.Sort))
	if r.Merge != "" {
		fmt.Fprintf(w, "merge: %s\n", r.Merge)
	}
	if r.Changelog != "" {
		fmt.Fprintf(w, "changelog: %s\n", r.Changelog)
	}
	if r.ChangesOf != "" {
		fmt.Fprintf(w, "changes of: %s\n", r.ChangesOf)
	}
	fmt.Fprintln(w)
	var rows [][]string
	for _, c := range r.Columns {
		required := ""
		if c.Required {
			required = "required"
		}
		rows = append(rows, []string{strconv.Itoa(c.ID), c.Name, c.Type, required, c.Doc})
	}
	if err := grid(w, []string{"ID", "COLUMN", "TYPE", "", ""}, rows); err != nil {
		return err
	}
	rows = nil
	for _, o := range r.Offsets {
		lag := "-"
		if o.Lag != nil {
			lag = count(*o.Lag)
		}
		rows = append(rows, []string{o.Topic, strconv.Itoa(int(o.Partition)), count(int64(o.Next)), lag,
			o.Cluster})
	}
	fmt.Fprintln(w)
	if err := grid(w, []string{"TOPIC", "PARTITION", "NEXT OFFSET", "LAG", "CLUSTER"}, rows); err != nil {
		return err
	}
	if err := writeDoors(w, r.Doors); err != nil {
		return err
	}
	rows = nil
	for _, s := range r.History[:min(len(r.History), historyMax)] {
		rows = append(rows, []string{strconv.FormatInt(s.ID, 10), s.Committed, s.whatItDid(), count(s.Rows),
			count(s.Files), orOther(s.Writer)})
	}
	fmt.Fprintln(w)
	if err := grid(w, []string{"SNAPSHOT", "COMMITTED", "OPERATION", "ADDED ROWS", "ADDED FILES", "WRITER"},
		rows); err != nil {
		return err
	}
	if more := len(r.History) - historyMax; more > 0 {
		fmt.Fprintf(w, "and %d older ones\n", more)
	}
	return nil
}

// whatItDid is the operation, and what rollbacks have to do with the snapshot.
func (s snapshotReport) whatItDid() string {
	switch {
	case s.RolledBackTo != "":
		return "rollback to " + s.RolledBackTo
	case s.RolledBack:
		return s.Operation + ", rolled back"
	}
	return s.Operation
}

func orNone(text string) string {
	if text == "" {
		return "none"
	}
	return text
}

func orOther(writer string) string {
	if writer == "" {
		return "(not firth)"
	}
	return writer
}
