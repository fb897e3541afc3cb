package commit

import (
	"context"
	"fmt"
	"strings"

	icetable "github.com/apache/iceberg-go/table"

	"github.com/firthlake/firth/table"
)

// Evolve changes schema, partition spec or sort order. plan looks at the newest metadata and returns
// the updates, or none when the table is as wanted; it is called again when somebody else evolved the
// table meanwhile. No snapshot is made, and changes that wait are committed to the new schema.
func (c *Committer) Evolve(ctx context.Context, plan func(icetable.Metadata) ([]icetable.Update, error),
) (*table.Table, error) {
	return c.change(ctx, &evolveIntent{plan: plan, requirements: evolveRequirements})
}

// SetProperties sets and removes table properties. Those of the ledger are refused.
func (c *Committer) SetProperties(ctx context.Context, set map[string]string, remove []string,
) (*table.Table, error) {
	for key := range set {
		if err := refuseLedger(key); err != nil {
			return nil, err
		}
	}
	for _, key := range remove {
		if err := refuseLedger(key); err != nil {
			return nil, err
		}
	}
	return c.change(ctx, &evolveIntent{
		plan: func(meta icetable.Metadata) ([]icetable.Update, error) {
			return propertyUpdates(meta, set, remove), nil
		},
		requirements: func(meta icetable.Metadata) []icetable.Requirement {
			return []icetable.Requirement{icetable.AssertTableUUID(meta.TableUUID())}
		},
	})
}

func (c *Committer) change(ctx context.Context, in *evolveIntent) (*table.Table, error) {
	err := c.inTurn(ctx, func() error { return c.main.land(ctx, in) })
	if err != nil {
		return nil, err
	}
	return c.Table(), nil
}

func refuseLedger(key string) error {
	switch key {
	case PropertyPosition, PropertyFolded, PropertyForeign, PropertyPending, PropertyApplied:
		return fmt.Errorf("set table property %s: it belongs to the ledger: %w", key, table.ErrRefused)
	}
	return nil
}

func propertyUpdates(meta icetable.Metadata, set map[string]string, remove []string) []icetable.Update {
	held := meta.Properties()
	changed := map[string]string{}
	for key, value := range set {
		if old, ok := held[key]; !ok || old != value {
			changed[key] = value
		}
	}
	var removals []string
	for _, key := range remove {
		if _, ok := held[key]; ok {
			removals = append(removals, key)
		}
	}
	var updates []icetable.Update
	if len(changed) > 0 {
		updates = append(updates, icetable.NewSetPropertiesUpdate(changed))
	}
	if len(removals) > 0 {
		updates = append(updates, icetable.NewRemovePropertiesUpdate(removals))
	}
	return updates
}

// evolveIntent changes metadata without a snapshot.
type evolveIntent struct {
	plan         func(icetable.Metadata) ([]icetable.Update, error)
	requirements func(icetable.Metadata) []icetable.Requirement
}

func (in *evolveIntent) build(_ context.Context, h *head) (*swap, error) {
	updates, err := in.plan(h.meta)
	if err != nil {
		return nil, fmt.Errorf("evolve %s: %w", h.table, err)
	}
	if len(updates) == 0 {
		return nil, nil
	}
	for _, u := range updates {
		if strings.Contains(u.Action(), "snapshot") {
			panic("BUG: evolving a table with " + u.Action())
		}
	}
	return &swap{base: h, updates: updates, requirements: in.requirements(h.meta)}, nil
}

// landed is never certain of its own swap and needs not be: the plan says of the newest metadata what
// is still to do, and the requirements let one of two equal swaps land.
func (in *evolveIntent) landed(*head, *swap) verdict { return notLanded }

// evolveRequirements pin everything that a plan reads.
func evolveRequirements(meta icetable.Metadata) []icetable.Requirement {
	requirements := []icetable.Requirement{
		icetable.AssertTableUUID(meta.TableUUID()),
		icetable.AssertCurrentSchemaID(meta.CurrentSchema().ID),
		icetable.AssertLastAssignedFieldID(meta.LastColumnID()),
		icetable.AssertDefaultSpecID(meta.DefaultPartitionSpec()),
		icetable.AssertDefaultSortOrderID(meta.DefaultSortOrder()),
	}
	if id := meta.LastPartitionSpecID(); id != nil {
		requirements = append(requirements, icetable.AssertLastAssignedPartitionID(*id))
	}
	return requirements
}
