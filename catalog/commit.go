package catalog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"

	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/metafile"
)

// TableChange is what a commit asks of one table: the updates happen if every requirement holds. A
// change that requires assert-create makes the table.
type TableChange struct {
	Ident        table.Ident
	Requirements []icetable.Requirement
	Updates      []icetable.Update
}

// CommitTable applies updates to a table if every requirement holds, and returns the new version.
func (c *Catalog) CommitTable(
	ctx context.Context, ident table.Ident, requirements []icetable.Requirement, updates []icetable.Update,
) (*table.Table, error) {
	change := TableChange{Ident: ident, Requirements: requirements, Updates: updates}
	versions, err := c.commit(ctx, []TableChange{change})
	if err != nil {
		return nil, fmt.Errorf("commit %s: %w", table.FormatIdent(ident), err)
	}
	return table.New(ident, versions[0].metadata, versions[0].location), nil
}

// CommitTransaction applies changes to several tables: all of them, or none.
func (c *Catalog) CommitTransaction(ctx context.Context, changes []TableChange) error {
	if len(changes) == 0 {
		return refused("commit transaction: it holds no table changes")
	}
	for i, change := range changes {
		same := func(other TableChange) bool { return slices.Equal(other.Ident, change.Ident) }
		if slices.ContainsFunc(changes[:i], same) {
			return refused("commit transaction: table %s occurs twice", table.FormatIdent(change.Ident))
		}
	}
	if _, err := c.commit(ctx, changes); err != nil {
		return fmt.Errorf("commit transaction: %w", err)
	}
	return nil
}

// staged is a change that is ready to be swapped in: its metadata file is written.
type staged struct {
	base    *version // nil for a table that is to be made
	version *version
	ops     []Op // none when nothing changes
}

// commit stages every change and swaps all of them in at once.
func (c *Catalog) commit(ctx context.Context, changes []TableChange) (_ []*version, err error) {
	var all []staged
	defer func() {
		if err != nil && !errors.Is(err, table.ErrStateUnknown) {
			c.discard(ctx, all)
		}
	}()
	var ops []Op
	for _, change := range changes {
		s, err := c.stage(ctx, change)
		if err != nil {
			return nil, unchanged("prepare the change", err)
		}
		all = append(all, s)
		ops = append(ops, s.ops...)
	}
	if len(ops) > 0 {
		if err := c.store.Apply(ctx, ops...); err != nil {
			return nil, err
		}
	}
	versions := make([]*version, len(all))
	for i, s := range all {
		versions[i] = s.version
		c.settle(ctx, s)
	}
	return versions, nil
}

// discard removes the metadata files of a commit that is known to have failed.
func (c *Catalog) discard(ctx context.Context, all []staged) {
	var locations []string
	for _, s := range all {
		if len(s.ops) > 0 {
			locations = append(locations, s.version.location)
		}
	}
	c.removeFiles(ctx, locations...)
}

// settle keeps a committed version in memory and removes the metadata files that fell out of its log.
func (c *Catalog) settle(ctx context.Context, s staged) {
	if len(s.ops) == 0 {
		return
	}
	if s.base == nil {
		c.cache.put(s.version, "")
		return
	}
	c.cache.put(s.version, s.base.location)
	c.removeFiles(ctx, expiredFiles(s.base, s.version)...)
}

// stage checks the requirements of a change, applies its updates and writes the new metadata file.
func (c *Catalog) stage(ctx context.Context, change TableChange) (staged, error) {
	entry, err := c.entry(ctx, ObjectTable, change.Ident)
	if isNotFound(err) && requiresCreate(change.Requirements) {
		return c.stageCreate(ctx, change)
	}
	if err != nil {
		return staged{}, err
	}
	base, err := c.readVersion(ctx, entry.MetadataLocation)
	if err != nil {
		return staged{}, err
	}
	if err := checkRequirements(change, base.metadata); err != nil {
		return staged{}, err
	}
	if len(change.Updates) == 0 {
		return staged{base: base, version: base}, nil
	}
	updates, err := ownUpdates(change.Updates, base.metadata)
	if err != nil {
		return staged{}, err
	}
	metadata, err := icetable.UpdateTableMetadata(metafile.Whole(base.metadata), updates, base.location)
	if err != nil {
		return staged{}, invalid(ObjectTable, "apply the updates", err)
	}
	if err := checkRefs(updates, base.metadata, metadata); err != nil {
		return staged{}, err
	}
	next, err := c.writeVersion(ctx, metadata, base)
	if err != nil {
		return staged{}, err
	}
	op := SwapEntry{Ident: change.Ident, Kind: ObjectTable, From: base.location, To: next.location}
	if location := canonicalLocation(metadata.Location()); location != entry.Location {
		op.Location = location
	}
	return staged{base: base, version: next, ops: []Op{op}}, nil
}

// stageCreate builds a table from nothing but updates: the end of a staged creation.
func (c *Catalog) stageCreate(ctx context.Context, change TableChange) (staged, error) {
	if err := checkRequirements(change, nil); err != nil {
		return staged{}, err
	}
	metadata, err := buildMetadata(change.Updates)
	if err != nil {
		return staged{}, invalid(ObjectTable, "apply the updates", err)
	}
	next, err := c.writeVersion(ctx, metadata, nil)
	if err != nil {
		return staged{}, err
	}
	return staged{version: next, ops: c.createOps(change.Ident, next)}, nil
}

// createOps make a table, and the namespaces around it if the catalog is to.
func (c *Catalog) createOps(ident table.Ident, v *version) []Op {
	var ops []Op
	if c.opts.MakeNamespaces {
		for depth := 1; depth < len(ident); depth++ {
			ops = append(ops, CreateNamespace{Name: Namespace(ident[:depth]), MayExist: true})
		}
	}
	return append(ops, CreateEntry{Entry: Entry{
		Ident: ident, Kind: ObjectTable,
		Location: canonicalLocation(v.metadata.Location()), MetadataLocation: v.location,
	}})
}

// buildMetadata applies updates to metadata that holds nothing yet.
func buildMetadata(updates []icetable.Update) (icetable.Metadata, error) {
	builder, err := icetable.NewMetadataBuilder(formatVersionOf(updates))
	if err != nil {
		return nil, err
	}
	for _, update := range updates {
		if err := update.Apply(builder); err != nil {
			return nil, err
		}
	}
	return builder.Build()
}

// formatVersionOf is the format version that updates upgrade to, else the default of the spec.
func formatVersionOf(updates []icetable.Update) int {
	for _, update := range updates {
		if update.Action() != icetable.UpdateUpgradeFormatVersion {
			continue
		}
		var upgrade struct {
			FormatVersion int `json:"format-version"`
		}
		raw, err := json.Marshal(update)
		if err == nil && json.Unmarshal(raw, &upgrade) == nil {
			return upgrade.FormatVersion
		}
	}
	return icetable.DefaultFormatVersion
}

// requiresCreate says whether the table must not exist.
func requiresCreate(requirements []icetable.Requirement) bool {
	return slices.ContainsFunc(requirements, func(r icetable.Requirement) bool {
		return r.GetType() == "assert-create"
	})
}

// checkRequirements validates the requirements of a change; current is nil when there is no table.
func checkRequirements(change TableChange, current icetable.Metadata) error {
	for _, requirement := range change.Requirements {
		if err := requirement.Validate(current); err != nil {
			return &Error{Kind: table.ErrConflict, Object: ObjectTable, Text: requirementText(requirement, err)}
		}
	}
	return nil
}

// requirementText says which requirement failed in the words that the protocol's clients know, with the
// library's detail behind.
func requirementText(requirement icetable.Requirement, cause error) string {
	what, ok := map[string]string{
		"assert-table-uuid":                 "UUID does not match",
		"assert-current-schema-id":          "current schema changed",
		"assert-last-assigned-field-id":     "last assigned field id changed",
		"assert-last-assigned-partition-id": "last assigned partition id changed",
		"assert-default-spec-id":            "default partition spec changed",
		"assert-default-sort-order-id":      "default sort order changed",
	}[requirement.GetType()]
	detail := cause.Error()
	if i := strings.Index(strings.ToLower(detail), "requirement failed: "); i == 0 {
		detail = detail[len("requirement failed: "):]
	}
	if !ok {
		return "requirement failed: " + detail
	}
	return "requirement failed: " + what + " (" + detail + ")"
}

// ownUpdates copies updates through JSON. The library's snapshots point into the builder they were
// made with; metadata that keeps them would keep every older metadata alive too.
func ownUpdates(updates []icetable.Update, base icetable.Metadata) (icetable.Updates, error) {
	raw, err := json.Marshal(updates)
	if err != nil {
		return nil, refused("encode the updates: %v", err)
	}
	var own icetable.Updates
	if err := json.Unmarshal(raw, &own); err != nil {
		return nil, refused("decode the updates: %v", err)
	}
	return own, checkFreshness(raw, base)
}

// checkFreshness finds snapshots that were built on an older version of the table: their sequence
// number or first row id is taken. That is a conflict, not a bad request, since a rebuilt one fits.
func checkFreshness(updates []byte, base icetable.Metadata) error {
	if !strings.Contains(string(updates), `"`+icetable.UpdateAddSnapshot+`"`) {
		return nil
	}
	var added []struct {
		Action   string `json:"action"`
		Snapshot struct {
			SequenceNumber *int64 `json:"sequence-number"`
			Parent         *int64 `json:"parent-snapshot-id"`
			FirstRowID     *int64 `json:"first-row-id"`
		} `json:"snapshot"`
	}
	if err := json.Unmarshal(updates, &added); err != nil {
		return refused("decode the updates: %v", err)
	}
	for _, update := range added {
		s := update.Snapshot
		if update.Action != icetable.UpdateAddSnapshot {
			continue
		}
		if base.Version() > 1 && s.Parent != nil && s.SequenceNumber != nil &&
			*s.SequenceNumber <= base.LastSequenceNumber() {
			return &Error{Kind: table.ErrConflict, Object: ObjectTable, Text: fmt.Sprintf(
				"sequence number %d is taken, the table stands at %d", *s.SequenceNumber, base.LastSequenceNumber())}
		}
		if base.Version() > 2 && s.FirstRowID != nil && *s.FirstRowID < base.NextRowID() {
			return &Error{Kind: table.ErrConflict, Object: ObjectTable, Text: fmt.Sprintf(
				"first row id %d is taken, the table's next is %d", *s.FirstRowID, base.NextRowID())}
		}
	}
	return nil
}

// checkRefs finds a branch or tag that would go only because its snapshot does: the library removes
// it silently. Who asks to expire a snapshot did not know of it, so that is a conflict.
func checkRefs(updates icetable.Updates, base, next icetable.Metadata) error {
	kept := map[string]bool{}
	for name := range next.Refs() {
		kept[name] = true
	}
	for name, ref := range base.Refs() {
		if kept[name] || removesRef(updates, name) {
			continue
		}
		return &Error{Kind: table.ErrConflict, Object: ObjectTable, Text: fmt.Sprintf(
			"snapshot %d cannot be removed: %s %s points to it", ref.SnapshotID, ref.SnapshotRefType, name)}
	}
	return nil
}

// removesRef says whether one of the updates names the branch or tag for removal.
func removesRef(updates icetable.Updates, name string) bool {
	return slices.ContainsFunc(updates, func(update icetable.Update) bool {
		if update.Action() != icetable.UpdateRemoveSnapshotRef {
			return false
		}
		var removal struct {
			RefName string `json:"ref-name"`
		}
		raw, err := json.Marshal(update)
		return err == nil && json.Unmarshal(raw, &removal) == nil && removal.RefName == name
	})
}

// writeVersion checks new metadata and writes it to a file that no swap names yet.
func (c *Catalog) writeVersion(
	ctx context.Context, metadata icetable.Metadata, base *version,
) (*version, error) {
	current := ""
	if base != nil {
		current = base.location
	}
	if base == nil || metadata.Location() != base.metadata.Location() {
		if err := c.checkLocation(metadata.Location()); err != nil {
			return nil, err
		}
	}
	folder, err := c.metadataFolder(metadata.Location(), metadata.Properties())
	if err != nil {
		return nil, err
	}
	raw, err := json.Marshal(metadata)
	if err != nil {
		return nil, refused("encode the new metadata: %v", err)
	}
	next := &version{location: c.nextFile(folder, current), raw: raw, metadata: metadata}
	return next, c.writeFile(ctx, next.location, raw)
}

// expiredFiles are the metadata files that base knew and next no longer does, if the table asks for
// their removal. Only files under the table's location are its own.
func expiredFiles(base, next *version) []string {
	properties := next.metadata.Properties()
	if !properties.GetBool(icetable.MetadataDeleteAfterCommitEnabledKey, false) {
		return nil
	}
	kept := map[string]bool{next.location: true}
	for entry := range next.metadata.PreviousFiles() {
		kept[entry.MetadataFile] = true
	}
	var expired []string
	for entry := range base.metadata.PreviousFiles() {
		file := entry.MetadataFile
		own := checkInside(file, next.metadata.Location()) == nil && locationFault(file) == "" &&
			strings.HasSuffix(file, ".metadata.json")
		if own && !kept[file] {
			expired = append(expired, file)
		}
	}
	return expired
}

// LoadTable returns a table at its newest version.
func (c *Catalog) LoadTable(ctx context.Context, ident table.Ident) (*table.Table, error) {
	v, err := c.loadVersion(ctx, ident)
	if err != nil {
		return nil, fmt.Errorf("load %s: %w", table.FormatIdent(ident), err)
	}
	return table.New(ident, v.metadata, v.location), nil
}

func (c *Catalog) loadVersion(ctx context.Context, ident table.Ident) (*version, error) {
	entry, err := c.entry(ctx, ObjectTable, ident)
	if err != nil {
		return nil, err
	}
	return c.readVersion(ctx, entry.MetadataLocation)
}

// withDefaults adds what properties do not set.
func withDefaults(properties, defaults iceberg.Properties) iceberg.Properties {
	all := iceberg.Properties{}
	for key, value := range defaults {
		all[key] = value
	}
	for key, value := range properties {
		all[key] = value
	}
	return all
}
