package table

import (
	"errors"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"
)

// The outcomes of a catalog operation that a caller must tell apart. A catalog wraps one of them
// with the act and its object; an error that wraps none of them leaves the outcome unknown.
var (
	// ErrNotFound says that the table, view or namespace does not exist. Nothing was changed.
	ErrNotFound = errors.New("not found")
	// ErrExists says that the name is taken. Nothing was changed.
	ErrExists = errors.New("already exists")
	// ErrConflict says that a requirement did not hold or the swap of the metadata location was
	// lost. Nothing was changed: reload, check and build the change again.
	ErrConflict = errors.New("conflict")
	// ErrRefused says that the catalog understood the request and will never accept it as it is
	// (bad request, no permission). Nothing was changed, and a retry is pointless.
	ErrRefused = errors.New("refused")
	// ErrStateUnknown says that the change may or may not have landed (time-out, broken
	// connection, 5xx). Read back before anything else and remove nothing.
	ErrStateUnknown = errors.New("outcome unknown")
)

// Ident names a table: its namespace levels and, last, its own name.
type Ident = icetable.Identifier

// ParseIdent splits a dotted name ("db.events", "a.b.events") into an Ident. It returns an error
// that names the fault when a level is empty or there is no namespace.
func ParseIdent(name string) (Ident, error) {
	levels := strings.Split(name, ".")
	if len(levels) < 2 {
		return nil, errors.New("table name " + name + " has no namespace: write it as namespace.table")
	}
	for _, level := range levels {
		if level == "" {
			return nil, errors.New("table name " + name + " has an empty level")
		}
	}
	return levels, nil
}

// FormatIdent is the inverse of ParseIdent.
func FormatIdent(ident Ident) string { return strings.Join(ident, ".") }

// Table is one table at one metadata version, an immutable value.
type Table struct {
	ident            Ident
	metadata         icetable.Metadata
	metadataLocation string
	schema           atomic.Pointer[iceberg.Schema] // nil before somebody asks
}

// HasSchema says whether one of the table's schemas, of now or before, has an id.
func (t *Table) HasSchema(id int) bool {
	return slices.ContainsFunc(t.metadata.Schemas(), func(s *iceberg.Schema) bool { return s.ID == id })
}

// New returns the table ident as metadata describes it; metadataLocation is where the catalog says
// that metadata lies.
func New(ident Ident, metadata icetable.Metadata, metadataLocation string) *Table {
	return &Table{ident: ident, metadata: metadata, metadataLocation: metadataLocation}
}

// Ident is the table's name.
func (t *Table) Ident() Ident { return t.ident }

// Metadata is the Iceberg table metadata of this version (Iceberg spec, "Table Metadata").
func (t *Table) Metadata() icetable.Metadata { return t.metadata }

// Schema is the current one. All callers get the same and leave it as it is; that of Metadata is a copy each time.
func (t *Table) Schema() *iceberg.Schema {
	if known := t.schema.Load(); known != nil {
		return known
	}
	t.schema.CompareAndSwap(nil, t.metadata.CurrentSchema())
	return t.schema.Load()
}

// SnapshotID is the id of the current snapshot, 0 when there is none.
func (t *Table) SnapshotID() int64 {
	if s := t.metadata.CurrentSnapshot(); s != nil {
		return s.SnapshotID
	}
	return 0
}

// MetadataLocation is the location of the metadata file of this version.
func (t *Table) MetadataLocation() string { return t.metadataLocation }

// String is the dotted name.
func (t *Table) String() string { return FormatIdent(t.ident) }
