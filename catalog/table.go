package catalog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"

	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/objstore"
)

// TableSpec is what a new table shall be. Only the schema is needed. The format version is the
// property "format-version", by default 2.
type TableSpec struct {
	Schema        *iceberg.Schema
	PartitionSpec *iceberg.PartitionSpec
	SortOrder     *icetable.SortOrder
	Location      string
	Properties    iceberg.Properties
}

// CreateTable makes a table.
func (c *Catalog) CreateTable(ctx context.Context, ident table.Ident, spec TableSpec) (*table.Table, error) {
	v, err := c.createVersion(ctx, ident, spec)
	if err != nil {
		return nil, fmt.Errorf("create %s: %w", table.FormatIdent(ident), err)
	}
	return table.New(ident, v.metadata, v.location), nil
}

func (c *Catalog) createVersion(ctx context.Context, ident table.Ident, spec TableSpec) (*version, error) {
	metadata, err := c.newMetadata(ctx, ident, spec)
	if err != nil {
		return nil, err
	}
	v, err := c.writeVersion(ctx, metadata, nil)
	if err != nil {
		return nil, err
	}
	if err := c.store.Apply(ctx, c.createOps(ident, v)...); err != nil {
		if !errors.Is(err, table.ErrStateUnknown) {
			c.removeFiles(ctx, v.location)
		}
		return nil, err
	}
	c.cache.put(v, "")
	return v, nil
}

// StageTable returns the table that CreateTable would make, without a metadata location: nothing is
// kept. The creation ends with CommitTable and the requirement assert-create.
func (c *Catalog) StageTable(ctx context.Context, ident table.Ident, spec TableSpec) (*table.Table, error) {
	metadata, err := c.newMetadata(ctx, ident, spec)
	if err != nil {
		return nil, fmt.Errorf("stage %s: %w", table.FormatIdent(ident), err)
	}
	return table.New(ident, metadata, ""), nil
}

func (c *Catalog) newMetadata(ctx context.Context, ident table.Ident, spec TableSpec) (icetable.Metadata, error) {
	if err := c.checkFree(ctx, ObjectTable, ident); err != nil {
		return nil, err
	}
	if spec.Schema == nil {
		return nil, refused("table %s has no schema", table.FormatIdent(ident))
	}
	location, err := c.chooseLocation(ctx, ident, spec.Location)
	if err != nil {
		return nil, err
	}
	sortOrder := icetable.UnsortedSortOrder
	if spec.SortOrder != nil {
		sortOrder = *spec.SortOrder
	}
	properties := withDefaults(spec.Properties, c.opts.TableProperties)
	metadata, err := icetable.NewMetadataWithUUID(
		spec.Schema, spec.PartitionSpec, sortOrder, location, properties, c.opts.NewID())
	if err != nil {
		return nil, invalid(ObjectTable, "build the table's metadata", err)
	}
	return metadata, nil
}

// checkFree refuses a name that cannot be given to a new entry. The store checks again when it
// counts; here it comes before files are written.
func (c *Catalog) checkFree(ctx context.Context, kind Object, ident table.Ident) error {
	if err := validateIdent(ident); err != nil {
		return err
	}
	makes := kind == ObjectTable && c.opts.MakeNamespaces
	if _, err := c.store.Namespace(ctx, namespaceOf(ident)); err != nil && !(isNotFound(err) && makes) {
		return err
	}
	found, err := c.store.Entry(ctx, ident)
	if isNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	return exists(kind, found.Kind, ident)
}

func (c *Catalog) chooseLocation(ctx context.Context, ident table.Ident, asked string) (string, error) {
	if asked == "" {
		return c.defaultLocation(ctx, ident)
	}
	return trimSlash(asked), c.checkLocation(asked)
}

// DropTable removes a table from the catalog and keeps its files.
func (c *Catalog) DropTable(ctx context.Context, ident table.Ident) error {
	return c.drop(ctx, ObjectTable, ident)
}

func (c *Catalog) drop(ctx context.Context, kind Object, ident table.Ident) error {
	err := validateIdent(ident)
	if err == nil {
		err = c.store.Apply(ctx, DropEntry{Ident: ident, Kind: kind})
	}
	if err != nil {
		return fmt.Errorf("drop %s: %w", table.FormatIdent(ident), err)
	}
	return nil
}

// RenameTable gives a table another name, which may be in another namespace. Its files stay.
func (c *Catalog) RenameTable(ctx context.Context, from, to table.Ident) error {
	return c.rename(ctx, ObjectTable, from, to)
}

func (c *Catalog) rename(ctx context.Context, kind Object, from, to table.Ident) error {
	err := validateIdent(from)
	if err == nil {
		err = validateIdent(to)
	}
	if err == nil {
		err = c.store.Apply(ctx, RenameEntry{Kind: kind, From: from, To: to})
	}
	var taken *Error
	if errors.As(err, &taken) && errors.Is(err, table.ErrExists) {
		return &Error{Kind: table.ErrExists, Object: taken.Object, Text: fmt.Sprintf(
			"cannot rename %s to %s. %s already exists: %[2]s", table.FormatIdent(from),
			table.FormatIdent(to), titled(string(taken.Object)))}
	}
	if err != nil {
		return fmt.Errorf("rename %s to %s: %w", table.FormatIdent(from), table.FormatIdent(to), err)
	}
	return nil
}

// ListTables lists the tables of a namespace in order of name.
func (c *Catalog) ListTables(ctx context.Context, namespace Namespace, page Page) ([]table.Ident, error) {
	return c.list(ctx, ObjectTable, namespace, page)
}

func (c *Catalog) list(
	ctx context.Context, kind Object, namespace Namespace, page Page,
) ([]table.Ident, error) {
	if err := validateNamespace(namespace); err != nil {
		return nil, err
	}
	if _, err := c.store.Namespace(ctx, namespace); err != nil {
		return nil, err
	}
	return c.store.Entries(ctx, namespace, kind, page)
}

// RegisterTable gives a name to a table whose metadata file exists already.
func (c *Catalog) RegisterTable(
	ctx context.Context, ident table.Ident, metadataLocation string,
) (*table.Table, error) {
	v, err := c.registered(ctx, ident, metadataLocation)
	if err == nil {
		err = c.store.Apply(ctx, c.createOps(ident, v)...)
	}
	if err != nil {
		return nil, fmt.Errorf("register %s: %w", table.FormatIdent(ident), err)
	}
	return table.New(ident, v.metadata, v.location), nil
}

// ReplaceTable is RegisterTable for a name that may be taken by a table already: that table then has
// the metadata given from here on.
func (c *Catalog) ReplaceTable(
	ctx context.Context, ident table.Ident, metadataLocation string,
) (*table.Table, error) {
	entry, err := c.entry(ctx, ObjectTable, ident)
	if isNotFound(err) {
		return c.RegisterTable(ctx, ident, metadataLocation)
	}
	var v *version
	if err == nil {
		v, err = c.readForeign(ctx, metadataLocation)
	}
	if err == nil {
		err = c.store.Apply(ctx, SwapEntry{
			Ident: ident, Kind: ObjectTable, From: entry.MetadataLocation, To: v.location,
			Location: canonicalLocation(v.metadata.Location()),
		})
	}
	if err != nil {
		return nil, fmt.Errorf("register %s: %w", table.FormatIdent(ident), err)
	}
	return table.New(ident, v.metadata, v.location), nil
}

func (c *Catalog) registered(ctx context.Context, ident table.Ident, location string) (*version, error) {
	if err := c.checkFree(ctx, ObjectTable, ident); err != nil {
		return nil, err
	}
	return c.readForeign(ctx, location)
}

// readForeign reads a metadata file that a client named.
func (c *Catalog) readForeign(ctx context.Context, location string) (*version, error) {
	if err := c.checkLocation(location); err != nil {
		return nil, err
	}
	v, err := c.readVersion(ctx, location)
	if err != nil {
		return nil, invalid(ObjectTable, "read the metadata to register", err)
	}
	return v, c.checkLocation(v.metadata.Location())
}

// Loaded is a table or view as readers get it: where its metadata lies, and the metadata as JSON.
type Loaded struct {
	MetadataLocation string
	Metadata         json.RawMessage
}

// HasTable is nil for a table that is there and whose metadata can be read.
func (c *Catalog) HasTable(ctx context.Context, ident table.Ident) error {
	_, err := c.TableJSON(ctx, ident)
	return err
}

// TableJSON returns a table at its newest version as JSON.
func (c *Catalog) TableJSON(ctx context.Context, ident table.Ident) (Loaded, error) {
	v, err := c.loadVersion(ctx, ident)
	if err != nil {
		return Loaded{}, err
	}
	// The metadata may come from memory; engines go on to read the file, so it must be there.
	_, err = c.objects.Stat(ctx, objectLocation(v.location))
	if errors.Is(err, objstore.ErrNotFound) {
		return Loaded{}, missingFile(v.location, err)
	}
	if err != nil {
		return Loaded{}, fmt.Errorf("look at metadata: %w", err)
	}
	return Loaded{MetadataLocation: v.location, Metadata: v.raw}, nil
}
