package spec

import (
	"fmt"
	"strings"

	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"

	"github.com/firthlake/firth/ingest/decode"
	"github.com/firthlake/firth/ingest/evolve"
)

// Policy is what a running table may follow of its writers' schemas. Renames come from aliases that a
// writer declares and change no value, so they go with additions.
func (e Evolution) Policy() evolve.Policy {
	return evolve.Policy{AddColumn: e.Add == Apply, Widen: e.Widen == Apply,
		MakeOptional: e.Relax == Apply, Rename: e.Add == Apply}
}

// everything is the policy of a spec that a person applies: what is written there is meant.
func everything() evolve.Policy {
	return evolve.Policy{AddColumn: true, Widen: true, MakeOptional: true, Rename: true, Metadata: true}
}

// columns compares the spec's schema with the table's. Columns that only the table has are left
// alone when they are optional: they came by evolution, or from others.
func (d *differ) columns(want *iceberg.Schema) error {
	meta := d.table.Metadata()
	difference := evolve.Diff(meta.CurrentSchema(), want, d.renames(meta.CurrentSchema()))
	result, err := evolve.Plan(evolve.StateOf(meta), difference.Proposals, everything())
	if err != nil {
		return fmt.Errorf("compare columns of %s: %w", d.spec.Name, err)
	}
	for _, p := range result.Applied {
		d.plan.add(StepEvolve, "column "+strings.Join(p.Path, "."), describeProposal(p), "")
	}
	for _, r := range result.Refused {
		d.plan.add(StepRefuse, "column "+strings.Join(r.Proposal.Path, "."), describeProposal(r.Proposal),
			r.Reason)
	}
	for _, c := range difference.Blocking {
		d.plan.add(StepRefuse, "column "+c.Column, "contradicts the table", c.Reason)
	}
	d.plan.columns = result
	return nil
}

// renames gives the present names of columns that the spec calls otherwise now.
func (d *differ) renames(schema *iceberg.Schema) map[string]string {
	out := map[string]string{}
	for _, c := range d.spec.Schema.Columns {
		if now := d.currentName(schema, c.Name); now != c.Name {
			out[now] = c.Name
		}
	}
	return out
}

func describeProposal(p decode.Proposal) string {
	switch p.Kind {
	case decode.AddColumn:
		return "add: " + FormatType(p.Type)
	case decode.Widen:
		return "widen to " + FormatType(p.Type)
	case decode.MakeOptional:
		return "make optional"
	case decode.Rename:
		return "rename to " + p.To
	}
	return fmt.Sprintf("change of kind %d", p.Kind)
}

// Updates are what a catalog is asked to do for the evolve steps of a plan made against meta. They
// need the table's current schema, last field id and sort order to be those of meta.
func (p Plan) Updates(s *Spec, meta icetable.Metadata) ([]icetable.Update, error) {
	var updates []icetable.Update
	if p.version > meta.Version() {
		updates = append(updates, icetable.NewUpgradeFormatVersionUpdate(p.version))
	}
	updates = append(updates, p.columns.Updates...)
	if p.reorder {
		schema := meta.CurrentSchema()
		if p.columns.Changed {
			schema = p.columns.Schema
		}
		order, err := s.SortOrder(schema)
		if err != nil {
			return nil, err
		}
		// -1 stands for the sort order that the same request adds.
		updates = append(updates, icetable.NewAddSortOrderUpdate(&order),
			icetable.NewSetDefaultSortOrderUpdate(-1))
	}
	if len(p.properties) > 0 {
		updates = append(updates, icetable.NewSetPropertiesUpdate(p.properties))
	}
	if len(p.removed) > 0 {
		updates = append(updates, icetable.NewRemovePropertiesUpdate(p.removed))
	}
	return updates, nil
}
