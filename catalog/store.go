package catalog

import (
	"context"
	"time"

	"github.com/firthlake/firth/table"
)

// Store keeps what the catalog knows: namespaces, the metadata locations of tables and views, and
// answers to requests with idempotency keys. All methods may be called from many goroutines and
// several processes. Errors wrap the sentinels of package table; what a reading method returns
// otherwise is a failure of the store.
type Store interface {
	// Namespace returns a namespace, or table.ErrNotFound.
	Namespace(ctx context.Context, name Namespace) (NamespaceEntry, error)
	// Namespaces lists the children of parent in order of name.
	Namespaces(ctx context.Context, parent Namespace, page Page) ([]Namespace, error)
	// Entry returns the table or view of a name, or table.ErrNotFound.
	Entry(ctx context.Context, ident table.Ident) (Entry, error)
	// Entries lists the names of one kind in a namespace, in order.
	Entries(ctx context.Context, namespace Namespace, kind Object, page Page) ([]table.Ident, error)
	// Answer returns what was answered to the request with this idempotency key, or
	// table.ErrNotFound.
	Answer(ctx context.Context, key string) (Answer, error)
	// Processes lists who was announced, in order of name.
	Processes(ctx context.Context) ([]Process, error)
	// Apply does all of ops or nothing, and is durable when it returns. table.ErrStateUnknown says
	// that all of them may have happened, every other error that nothing did.
	Apply(ctx context.Context, ops ...Op) error
}

// Page bounds a listing. The zero value asks for everything.
type Page struct {
	// After is the name after which the listing goes on.
	After string
	// Limit is the largest number of names to return; zero is no limit.
	Limit int
}

// NamespaceEntry is a namespace as the store keeps it. Revision grows with every change of the
// properties.
type NamespaceEntry struct {
	Name       Namespace
	Properties map[string]string
	Revision   int64
}

// Entry is a table or view as the store keeps it. Location is canonical (canonicalLocation).
type Entry struct {
	Ident            table.Ident
	Kind             Object
	Location         string
	MetadataLocation string
}

// Answer is what a request with an idempotency key was answered. Request is a digest of the request,
// so that a key used for two different requests is noticed. A failure keeps its type and message; a
// success is rendered again from the state.
type Answer struct {
	Key       string
	Request   string
	Status    int
	ErrorType string
	Message   string
	Expires   time.Time
}

// Process is one that works on the tables of the catalog, for others that do. Its name is of one start, and never
// another's. It has said at Seen, by its own clock, that it answers at Address.
type Process struct {
	Name    string
	Address string
	Seen    time.Time
}

// Op is one step of Store.Apply: one of the types below.
type Op interface{ op() }

type (
	// CreateNamespace makes a namespace whose parent must exist. If it may exist already and does,
	// nothing happens.
	CreateNamespace struct {
		Name       Namespace
		Properties map[string]string
		MayExist   bool
	}
	// SetProperties replaces the properties of a namespace if its revision is the one given, else
	// table.ErrConflict.
	SetProperties struct {
		Name       Namespace
		Revision   int64
		Properties map[string]string
	}
	// DropNamespace removes an empty namespace, else ErrNotEmpty.
	DropNamespace struct{ Name Namespace }
	// CreateEntry makes a table or view. Its namespace must exist, its name must be free and its
	// location must not overlap that of another entry.
	CreateEntry struct{ Entry Entry }
	// SwapEntry moves a table's or view's metadata location from one to another, else
	// table.ErrConflict. A Location that is not empty is the new location.
	SwapEntry struct {
		Ident    table.Ident
		Kind     Object
		From, To string
		Location string
	}
	// DropEntry removes a table or view if its metadata location is still From, else
	// table.ErrConflict. An empty From removes whatever it is.
	DropEntry struct {
		Ident table.Ident
		Kind  Object
		From  string
	}
	// RenameEntry gives a table or view another name.
	RenameEntry struct {
		Kind     Object
		From, To table.Ident
	}
	// RecordAnswer keeps an answer, or fails with ErrAnswered when its key has one that has not
	// expired. It also forgets what expired before Now.
	RecordAnswer struct {
		Answer Answer
		Now    time.Time
	}
	// Announce enters a process, or that it was seen again. It also forgets those that were seen last before Forget.
	Announce struct {
		Process Process
		Forget  time.Time
	}
	// Retire forgets a process, if it is there.
	Retire struct{ Name string }
)

func (CreateNamespace) op() {}
func (SetProperties) op()   {}
func (DropNamespace) op()   {}
func (CreateEntry) op()     {}
func (SwapEntry) op()       {}
func (DropEntry) op()       {}
func (RenameEntry) op()     {}
func (RecordAnswer) op()    {}
func (Announce) op()        {}
func (Retire) op()          {}
