package live

import (
	"context"
	"fmt"

	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/metafile"
)

// LoadTable returns a table as of now, for readers in this process. What it names is kept for Pin.
func (c *Catalog) LoadTable(ctx context.Context, ident table.Ident) (*table.Table, error) {
	loaded, err := c.TableJSON(ctx, ident)
	if err != nil {
		return nil, err
	}
	meta, err := metafile.Parse(loaded.Metadata)
	if err != nil {
		return nil, fmt.Errorf("parse table metadata %s: %w", loaded.MetadataLocation, err)
	}
	return table.New(ident, meta, loaded.MetadataLocation), nil
}
