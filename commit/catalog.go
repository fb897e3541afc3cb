package commit

import (
	"context"

	icetable "github.com/apache/iceberg-go/table"

	"github.com/firthlake/firth/table"
)

// Catalog is what commit needs of a catalog. Errors wrap the sentinels of package table; one that
// wraps none of them is taken as an unknown outcome.
type Catalog interface {
	// LoadTable returns the table at its newest version, or table.ErrNotFound.
	LoadTable(ctx context.Context, ident table.Ident) (*table.Table, error)
	// CommitTable applies updates if every requirement holds and returns the new version;
	// table.ErrConflict says that nothing was changed.
	CommitTable(ctx context.Context, ident table.Ident, requirements []icetable.Requirement,
		updates []icetable.Update) (*table.Table, error)
}
