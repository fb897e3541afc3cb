package backfill

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"

	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/filter"
)

// Plan says what is to be loaded into a table. It is kept on the branch, and resumed from there.
type Plan struct {
	// Pattern names the files of the source; see List.
	Pattern string `json:"pattern"`
	// Map says which columns of the source make those of the table; see ParseMap.
	Map []string `json:"map,omitempty"`
	// Filter keeps the rows for which it is true, as that of the spec does; empty keeps all.
	Filter string `json:"filter,omitempty"`
	// Checks must hold before promotion; see ParseCheck.
	Checks []string `json:"checks,omitempty"`
	// Branch is the name of the branch; empty is one made of the ID.
	Branch string `json:"branch,omitempty"`
}

// What a table must be to be backfilled.
var (
	// ErrUnfit says that a table takes no rows from files.
	ErrUnfit = errors.New("table takes no backfill")
	// ErrSource says that the source cannot become rows of the table: files, columns or values do not fit.
	ErrSource = errors.New("source does not fit")
)

// idBytes are enough to tell the backfills of a table apart.
const idBytes = 6

// ID is the name of the backfill: the same plan for the same table is the same backfill. Checks are no part of it,
// since they change no row.
func (p Plan) ID(t *table.Table) string {
	p.Checks = nil
	text, err := json.Marshal(p)
	if err != nil {
		panic("BUG: a plan of texts cannot be encoded: " + err.Error())
	}
	sum := sha256.Sum256(append([]byte(t.Metadata().TableUUID().String()), text...))
	return hex.EncodeToString(sum[:idBytes])
}

// BranchName is the branch that the backfill writes to.
func (p Plan) BranchName(t *table.Table) string {
	if p.Branch != "" {
		return p.Branch
	}
	return "backfill-" + p.ID(t)
}

// Validate says what is wrong with the plan for a table.
func (p Plan) Validate(t *table.Table) error {
	schema := t.Metadata().CurrentSchema()
	switch {
	case p.Pattern == "":
		return errors.New("the pattern of source files is empty")
	case p.Branch == "main":
		return errors.New("branch main is where the stream writes: name another one")
	case len(schema.IdentifierFieldIDs) > 0:
		return fmt.Errorf("table %s is keyed, and a backfill appends: an old row would stand beside a newer one: %w",
			t, ErrUnfit)
	case t.Metadata().Properties()["firth.changelog.of"] != "":
		return fmt.Errorf("table %s holds the changes of another table, which alone make its rows: %w", t, ErrUnfit)
	case strings.HasSuffix(t.String(), "__dead_letters"):
		return fmt.Errorf("table %s holds dead letters, which its table counts: %w", t, ErrUnfit)
	}
	if _, err := ParseMap(p.Map); err != nil {
		return err
	}
	for _, text := range p.Checks {
		if _, err := ParseCheck(text, schema); err != nil {
			return err
		}
	}
	if p.Filter == "" {
		return nil
	}
	if _, err := filter.ParseAndBind(p.Filter, schema); err != nil {
		return fmt.Errorf("filter: %w", err)
	}
	return nil
}

// changeID derives the ids of the backfill's commits, so that one that is tried again is the same.
func changeID(id string, sourceID uuid.UUID, what string) uuid.UUID {
	return uuid.NewSHA1(sourceID, []byte(id+" "+what))
}
