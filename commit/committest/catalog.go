package committest

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"

	icetable "github.com/apache/iceberg-go/table"

	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/metafile"
)

// Catalog is a commit.Catalog in memory. Metadata, requirements and updates go through JSON, as they
// would on the wire, so nothing that a caller changes later changes a table.
type Catalog struct {
	mu     sync.Mutex
	tables map[string]version
}

type version struct {
	number   int
	metadata []byte
}

// NewCatalog returns an empty catalog.
func NewCatalog() *Catalog { return &Catalog{tables: map[string]version{}} }

// Create makes a table, or replaces it.
func (c *Catalog) Create(ident table.Ident, metadata icetable.Metadata) error {
	data, err := json.Marshal(metadata)
	if err != nil {
		return fmt.Errorf("create table %s: %w", table.FormatIdent(ident), err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tables[table.FormatIdent(ident)] = version{metadata: data}
	return nil
}

// Drop removes a table.
func (c *Catalog) Drop(ident table.Ident) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.tables, table.FormatIdent(ident))
}

// LoadTable implements commit.Catalog.
func (c *Catalog) LoadTable(ctx context.Context, ident table.Ident) (*table.Table, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	c.mu.Lock()
	v, ok := c.tables[table.FormatIdent(ident)]
	c.mu.Unlock()
	if !ok {
		return nil, fmt.Errorf("load table %s: %w", table.FormatIdent(ident), table.ErrNotFound)
	}
	return v.table(ident)
}

func (v version) table(ident table.Ident) (*table.Table, error) {
	metadata, err := metafile.Parse(v.metadata)
	if err != nil {
		return nil, fmt.Errorf("parse metadata of %s: %w", table.FormatIdent(ident), err)
	}
	return table.New(ident, metadata, fmt.Sprintf("%s/metadata/v%d.json", metadata.Location(), v.number)), nil
}

// CommitTable implements commit.Catalog.
func (c *Catalog) CommitTable(ctx context.Context, ident table.Ident, requirements []icetable.Requirement,
	updates []icetable.Update) (*table.Table, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("%w: %w", table.ErrStateUnknown, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	name := table.FormatIdent(ident)
	v, ok := c.tables[name]
	if !ok {
		return nil, fmt.Errorf("commit %s: %w", name, table.ErrNotFound)
	}
	current, err := v.table(ident)
	if err != nil {
		return nil, err
	}
	next, err := apply(current, requirements, updates)
	if err != nil {
		return nil, fmt.Errorf("commit %s: %w", name, err)
	}
	data, err := json.Marshal(next)
	if err != nil {
		return nil, fmt.Errorf("commit %s: %w: %w", name, table.ErrRefused, err)
	}
	after := version{number: v.number + 1, metadata: data}
	out, err := after.table(ident)
	if err != nil {
		return nil, fmt.Errorf("commit %s: %w: %w", name, table.ErrRefused, err)
	}
	c.tables[name] = after
	return out, nil
}

func apply(current *table.Table, requirements []icetable.Requirement, updates []icetable.Update,
) (icetable.Metadata, error) {
	var overWire struct {
		Requirements icetable.Requirements `json:"requirements"`
		Updates      icetable.Updates      `json:"updates"`
	}
	wire, err := json.Marshal(map[string]any{"requirements": requirements, "updates": updates})
	if err == nil {
		err = json.Unmarshal(wire, &overWire)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", table.ErrRefused, err)
	}
	for _, r := range overWire.Requirements {
		if err := r.Validate(current.Metadata()); err != nil {
			return nil, fmt.Errorf("%w: %w", table.ErrConflict, err)
		}
	}
	next, err := icetable.UpdateTableMetadata(metafile.Whole(current.Metadata()), overWire.Updates,
		current.MetadataLocation())
	if err != nil {
		return nil, fmt.Errorf("%w: %w", table.ErrRefused, err)
	}
	return next, nil
}
