package catalog

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/apache/iceberg-go"
	"github.com/google/uuid"

	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/objstore"
)

// Options configure a Catalog.
type Options struct {
	// Warehouse is the root location; tables without a location of their own lie under it.
	Warehouse string
	// AllowedLocations are further prefixes under which clients may put tables and views.
	AllowedLocations []string
	// TableProperties are given to new tables that do not set them.
	TableProperties iceberg.Properties
	// MakeNamespaces says that a table in a namespace that does not exist makes the namespace, as
	// most catalogs do that firth may stand in for. Without it, that is an error.
	MakeNamespaces bool
	// Now tells the time.
	Now func() time.Time
	// NewID makes UUIDs for tables, views and metadata files.
	NewID func() uuid.UUID
	// CacheBytesMax bounds the metadata kept in memory, in bytes of JSON; zero is cacheBytesDefault.
	CacheBytesMax int64
}

// cacheBytesDefault holds the current metadata of about 300 tables of 100 snapshots each; parsed, it
// takes about four times as much memory.
const cacheBytesDefault = 32 << 20

// DefaultTableProperties keep the number of metadata files of a table constant.
func DefaultTableProperties() iceberg.Properties {
	return iceberg.Properties{
		"write.metadata.delete-after-commit.enabled": "true",
		"write.metadata.previous-versions-max":       "10",
	}
}

// Validate says what is wrong with o.
func (o Options) Validate() error {
	for _, location := range append([]string{o.Warehouse}, o.AllowedLocations...) {
		if fault := locationFault(location); fault != "" {
			return fmt.Errorf("catalog location %q %s: write it as s3://bucket/folder or /folder", location, fault)
		}
	}
	if o.Now == nil || o.NewID == nil {
		return fmt.Errorf("catalog options lack Now or NewID")
	}
	return nil
}

// Catalog is the embedded catalog of one warehouse. All methods may be called from many goroutines,
// and several processes may each have a Catalog over the same Store.
type Catalog struct {
	store    Store
	objects  objstore.Store
	opts     Options
	prefixes []string // canonical: the warehouse and the allowed locations
	cache    *versionCache
}

// New returns the catalog that store and objects hold. It panics if opts are not valid: callers check
// with Options.Validate.
func New(store Store, objects objstore.Store, opts Options) *Catalog {
	if err := opts.Validate(); err != nil {
		panic("BUG: " + err.Error())
	}
	if opts.CacheBytesMax == 0 {
		opts.CacheBytesMax = cacheBytesDefault
	}
	opts.TableProperties = maps.Clone(opts.TableProperties)
	c := &Catalog{store: store, objects: objects, opts: opts, cache: newVersionCache(opts.CacheBytesMax)}
	for _, location := range append([]string{opts.Warehouse}, opts.AllowedLocations...) {
		c.prefixes = append(c.prefixes, canonicalLocation(location))
	}
	return c
}

// withStore is the same catalog over another store: one that adds an answer to what it applies.
func (c *Catalog) withStore(store Store) *Catalog {
	copied := *c
	copied.store = store
	return &copied
}

// entry returns the entry of a name if it is of the kind.
func (c *Catalog) entry(ctx context.Context, kind Object, ident table.Ident) (Entry, error) {
	if err := validateIdent(ident); err != nil {
		return Entry{}, err
	}
	entry, err := c.store.Entry(ctx, ident)
	if err == nil && entry.Kind == kind {
		return entry, nil
	}
	if err != nil && !isNotFound(err) {
		return Entry{}, err
	}
	return Entry{}, notFound(kind, ident)
}

// defaultLocation is where a table or view lies that names no location: under the namespace's
// "location" property, else under the warehouse by its name. Names become plain folder names, and a
// place that is or was used by another table gets a suffix, so that no table ever meets foreign files.
func (c *Catalog) defaultLocation(ctx context.Context, ident table.Ident) (string, error) {
	namespace, err := c.store.Namespace(ctx, namespaceOf(ident))
	if err != nil && !(isNotFound(err) && c.opts.MakeNamespaces) {
		return "", err
	}
	root := trimSlash(namespace.Properties["location"])
	if root == "" {
		root = trimSlash(c.opts.Warehouse)
		for _, level := range namespaceOf(ident) {
			root += "/" + folderName(level, c.nameID(level))
		}
	}
	location := root + "/" + folderName(nameOf(ident), c.opts.NewID)
	free, err := c.isFree(ctx, location)
	if err != nil {
		return "", unchanged("look for files at "+location, err)
	}
	if !free {
		location += "-" + idHead(c.opts.NewID())
	}
	return location, nil
}

// nameID is an id that depends on the name alone, so that the tables of a namespace share a folder.
func (c *Catalog) nameID(name string) func() uuid.UUID {
	return func() uuid.UUID { return uuid.NewSHA1(uuid.NameSpaceOID, []byte(name)) }
}

// isFree says whether no object lies under location and no entry has it.
func (c *Catalog) isFree(ctx context.Context, location string) (bool, error) {
	for _, err := range c.objects.List(ctx, objectLocation(location)+"/") {
		return false, err
	}
	return true, nil
}
