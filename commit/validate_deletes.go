package commit

import (
	"strings"

	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"

	"github.com/firthlake/firth/table/vector"
)

// validateDeletes checks what the change takes out against itself and against the table that it is for.
// Whether it fits the head is for trunk.plan.
func (c *Change) validateDeletes(meta icetable.Metadata) error {
	if len(c.Deletes)+len(c.Removed)+len(c.Dead) == 0 && c.Expiry == nil {
		return nil
	}
	if c.Base == 0 {
		return invalid("it deletes rows and does not say at which snapshot they were found")
	}
	removed, added := map[string]bool{}, map[string]bool{}
	for _, f := range c.Files {
		added[f.FilePath()] = true
	}
	for _, f := range c.Removed {
		path := f.FilePath()
		switch {
		case removed[path]:
			return invalid("file %s is removed twice", path)
		case added[path]:
			return invalid("file %s is added and removed", path)
		case f.ContentType() != iceberg.EntryContentData:
			return invalid("file %s is no data file: delete files leave with the data file they are about", path)
		}
		removed[path] = true
	}
	for _, f := range c.Dead {
		if f.ContentType() != iceberg.EntryContentEqDeletes {
			return invalid("file %s holds no equality deletes: others leave with their data file", f.FilePath())
		}
	}
	if c.Expiry != nil {
		if err := c.validateExpiry(removed, added); err != nil {
			return err
		}
	}
	seen := map[string]bool{}
	for _, d := range c.Deletes {
		of := vector.DataFile(d)
		switch {
		case seen[of]:
			return invalid("data file %s has two delete files", of)
		case removed[of]:
			return invalid("deletes %s are of a data file that it removes", d.FilePath())
		case (len(removed) > 0 || c.Expiry != nil) && !added[of]:
			return invalid("deletes %s are of a data file that the rewrite does not add", d.FilePath())
		}
		seen[of] = true
		if err := validateDelete(d, meta); err != nil {
			return err
		}
	}
	return nil
}

// validateExpiry checks what is too old, and lets added be the files that lose some of their rows.
func (c *Change) validateExpiry(removed, added map[string]bool) error {
	switch {
	case len(c.Files)+len(c.Dead)+len(c.DeadLetters) > 0 || c.Uncounted != Uncounted{}:
		return invalid("it takes old rows out and does something else")
	case c.Rebase == nil:
		return invalid("it takes old rows out and cannot make deletes")
	case len(c.Removed)+len(c.Expiry.Files) == 0:
		return invalid("it takes no old row out")
	}
	for _, f := range c.Expiry.Files {
		path := f.FilePath()
		switch {
		case removed[path] || added[path]:
			return invalid("file %s loses rows twice", path)
		case f.ContentType() != iceberg.EntryContentData:
			return invalid("file %s is no data file", path)
		}
		added[path] = true
	}
	return nil
}

// validateDelete checks one delete file: its form is that of the table's format version.
func validateDelete(d iceberg.DataFile, meta icetable.Metadata) error {
	path := d.FilePath()
	switch {
	case !within(path, meta):
		return invalid("file %s is outside the table's location %s", path, meta.Location())
	case d.ContentType() != iceberg.EntryContentPosDeletes:
		return invalid("file %s holds no position deletes", path)
	case vector.DataFile(d) == "":
		return invalid("deletes %s are not of one data file", path)
	case meta.Version() >= 3 && !icetable.IsDeletionVector(d):
		return invalid("deletes %s are no vector, as format version %d wants them", path, meta.Version())
	case meta.Version() < 3 && icetable.IsDeletionVector(d):
		return invalid("deletes %s are a vector, which format version %d does not know", path, meta.Version())
	case d.Count() <= 0:
		return invalid("deletes %s hold no position", path)
	case meta.PartitionSpecByID(int(d.SpecID())) == nil:
		return invalid("deletes %s are of partition spec %d, which the table does not have", path, d.SpecID())
	}
	if at, size := d.ContentOffset(), d.ContentSizeInBytes(); meta.Version() >= 3 && (at == nil || size == nil) {
		return invalid("vector %s has no offset or size", path)
	}
	return nil
}

// within says whether a location is inside the table's.
func within(path string, meta icetable.Metadata) bool {
	inside := strings.TrimSuffix(meta.Location(), "/") + "/"
	return strings.HasPrefix(path, inside) && !strings.Contains(path, "/../")
}
