package spec

import (
	"fmt"
	"maps"
	"strings"

	"github.com/apache/iceberg-go"
	"go.yaml.in/yaml/v3"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/ingest/spec/document"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/changes"
)

// Changelog is the table that takes the changes of a keyed table: "" is none, changelogNamed the one that has
// the table's name and changelogSuffix, everything else a dotted name.
type Changelog string

const (
	changelogNamed  = "true"
	changelogSuffix = "_changes"
)

// UnmarshalYAML reads true, false or the name of a table.
func (l *Changelog) UnmarshalYAML(n *yaml.Node) error {
	switch {
	case n.Kind != yaml.ScalarNode || n.Value == "" || n.Tag != "!!bool" && n.Tag != "!!str":
		return document.Unreadable(n, "write true, or the name of the table for changes as namespace.table")
	case n.Value == "false":
		*l = ""
	default:
		*l = Changelog(n.Value)
	}
	return nil
}

// MarshalYAML writes what UnmarshalYAML reads.
func (l Changelog) MarshalYAML() (any, error) {
	if l == changelogNamed {
		return true, nil
	}
	return string(l), nil
}

// ChangelogName is the dotted name of the table that takes the changes of the table, "" when there is none.
func (s *Spec) ChangelogName() string {
	if s.Changelog == changelogNamed {
		return s.Name + changelogSuffix
	}
	return string(s.Changelog)
}

// TableProperties are the properties of a new table.
func (s *Spec) TableProperties() iceberg.Properties {
	out := iceberg.Properties{}
	maps.Copy(out, s.Properties)
	maps.Copy(out, s.zorderProperties(nil))
	if name := s.ChangelogName(); name != "" {
		out[commit.PropertyChangelog] = name
	}
	if s.Keyed() {
		out[PropertyMerge] = string(s.MergeEngine())
	}
	return out
}

// changelog checks where changes go.
func (c *check) changelog() {
	s := c.spec
	name := s.ChangelogName()
	if name == "" {
		return
	}
	if !s.Keyed() {
		c.fault("changelog", "write identifier: [column, ...], or remove it", "is for tables with identifier columns")
	}
	ident, err := table.ParseIdent(name)
	if err != nil {
		c.fault("changelog", "write true, or namespace.table", "%v", err)
		return
	}
	c.levels("changelog", ident)
	if name == s.Name || strings.HasSuffix(name, deadLetterSuffix) {
		c.fault("changelog", "write true, or another name", "table %s is not for changes", name)
	}
	for i, column := range s.Schema.Columns {
		for _, own := range changes.Columns() {
			if column.Name == own.Name {
				c.fault(fmt.Sprintf("schema.columns[%d].name", i), "choose another name, or remove changelog",
					"column %s belongs to the changelog", own.Name)
			}
		}
	}
}

// changelog compares where changes go.
func (d *differ) changelog() {
	have, want := d.table.Metadata().Properties()[commit.PropertyChangelog], d.spec.ChangelogName()
	switch {
	case have == want:
	case want == "":
		d.plan.removed = []string{commit.PropertyChangelog}
		d.plan.add(StepEvolve, "changelog", "ends: "+have+" stays as it is", "")
	default:
		if d.plan.properties == nil {
			d.plan.properties = iceberg.Properties{}
		}
		d.plan.properties[commit.PropertyChangelog] = want
		d.plan.add(StepEvolve, "changelog", "becomes "+want+", which begins with the rows that are there", "")
	}
}
