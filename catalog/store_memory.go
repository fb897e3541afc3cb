package catalog

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/firthlake/firth/table"
)

// MemoryStore is a Store that forgets all when the process ends: for tests and the simulator.
type MemoryStore struct {
	mu         sync.Mutex
	namespaces map[string]NamespaceEntry
	entries    map[string]Entry // by the levels of the name, joined by levelSeparator
	answers    map[string]Answer
	processes  map[string]Process
}

// NewMemoryStore returns an empty store.
func NewMemoryStore() *MemoryStore {
	return &MemoryStore{
		namespaces: map[string]NamespaceEntry{},
		entries:    map[string]Entry{},
		answers:    map[string]Answer{},
		processes:  map[string]Process{},
	}
}

func identKey(ident table.Ident) string { return strings.Join(ident, levelSeparator) }

// Namespace returns a namespace.
func (s *MemoryStore) Namespace(_ context.Context, name Namespace) (NamespaceEntry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	entry, ok := s.namespaces[name.key()]
	if !ok {
		return NamespaceEntry{}, notFound(ObjectNamespace, name)
	}
	entry.Properties = maps.Clone(entry.Properties)
	return entry, nil
}

// Namespaces lists the children of parent.
func (s *MemoryStore) Namespaces(_ context.Context, parent Namespace, page Page) ([]Namespace, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	for _, entry := range s.namespaces {
		if slices.Equal(entry.Name.Parent(), parent) {
			names = append(names, entry.Name[len(entry.Name)-1])
		}
	}
	var found []Namespace
	for _, name := range cutPage(names, page) {
		found = append(found, Namespace(identOf(parent, name)))
	}
	return found, nil
}

// Entry returns the table or view of a name.
func (s *MemoryStore) Entry(_ context.Context, ident table.Ident) (Entry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	entry, ok := s.entries[identKey(ident)]
	if !ok {
		return Entry{}, notFound(ObjectTable, ident)
	}
	return entry, nil
}

// Entries lists the names of one kind in a namespace.
func (s *MemoryStore) Entries(
	_ context.Context, namespace Namespace, kind Object, page Page,
) ([]table.Ident, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	for _, entry := range s.entries {
		if entry.Kind == kind && slices.Equal(namespaceOf(entry.Ident), namespace) {
			names = append(names, nameOf(entry.Ident))
		}
	}
	var found []table.Ident
	for _, name := range cutPage(names, page) {
		found = append(found, identOf(namespace, name))
	}
	return found, nil
}

// cutPage sorts names and returns those of the page.
func cutPage(names []string, page Page) []string {
	slices.Sort(names)
	from, found := slices.BinarySearch(names, page.After)
	if found {
		from++
	}
	if page.After == "" {
		from = 0
	}
	names = names[from:]
	if page.Limit > 0 && len(names) > page.Limit {
		names = names[:page.Limit]
	}
	return names
}

// Answer returns what was answered under an idempotency key.
func (s *MemoryStore) Answer(_ context.Context, key string) (Answer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	answer, ok := s.answers[key]
	if !ok {
		return Answer{}, fmt.Errorf("answer %s: %w", key, table.ErrNotFound)
	}
	return answer, nil
}

// Apply does all of ops or nothing.
func (s *MemoryStore) Apply(_ context.Context, ops ...Op) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	tx := memoryTx{store: s}
	for _, op := range ops {
		if err := tx.apply(op); err != nil {
			tx.rollback()
			return err
		}
	}
	return nil
}

// memoryTx is one Apply under the store's lock; undo holds how to take back each step done.
type memoryTx struct {
	store *MemoryStore
	undo  []func()
}

func (tx *memoryTx) rollback() {
	for _, undo := range slices.Backward(tx.undo) {
		undo()
	}
}

func put[V any](tx *memoryTx, m map[string]V, key string, value V) {
	old, had := m[key]
	m[key] = value
	tx.undo = append(tx.undo, func() {
		if had {
			m[key] = old
		} else {
			delete(m, key)
		}
	})
}

func remove[V any](tx *memoryTx, m map[string]V, key string) {
	old := m[key]
	delete(m, key)
	tx.undo = append(tx.undo, func() { m[key] = old })
}

func (tx *memoryTx) apply(op Op) error {
	switch op := op.(type) {
	case CreateNamespace:
		return tx.createNamespace(op)
	case SetProperties:
		return tx.setProperties(op)
	case DropNamespace:
		return tx.dropNamespace(op)
	case CreateEntry:
		return tx.createEntry(op.Entry)
	case SwapEntry:
		return tx.swapEntry(op)
	case DropEntry:
		entry, err := tx.entryAt(op.Ident, op.Kind, op.From)
		if err == nil {
			remove(tx, tx.store.entries, identKey(entry.Ident))
		}
		return err
	case RenameEntry:
		return tx.renameEntry(op)
	case RecordAnswer:
		return tx.recordAnswer(op)
	case Announce:
		tx.announce(op)
		return nil
	case Retire:
		if _, some := tx.store.processes[op.Name]; some {
			remove(tx, tx.store.processes, op.Name)
		}
		return nil
	}
	panic(fmt.Sprintf("BUG: unknown op %T", op))
}

func (tx *memoryTx) createNamespace(op CreateNamespace) error {
	if _, ok := tx.store.namespaces[op.Name.key()]; ok {
		if op.MayExist {
			return nil
		}
		return exists(ObjectNamespace, ObjectNamespace, op.Name)
	}
	parent := op.Name.Parent()
	if _, ok := tx.store.namespaces[parent.key()]; !ok && len(parent) > 0 {
		return notFound(ObjectNamespace, parent)
	}
	entry := NamespaceEntry{Name: op.Name, Properties: maps.Clone(op.Properties)}
	put(tx, tx.store.namespaces, op.Name.key(), entry)
	return nil
}

func (tx *memoryTx) setProperties(op SetProperties) error {
	entry, ok := tx.store.namespaces[op.Name.key()]
	switch {
	case !ok:
		return notFound(ObjectNamespace, op.Name)
	case entry.Revision != op.Revision:
		return swapLost(ObjectNamespace, op.Name)
	}
	entry.Revision++
	entry.Properties = maps.Clone(op.Properties)
	put(tx, tx.store.namespaces, op.Name.key(), entry)
	return nil
}

func (tx *memoryTx) dropNamespace(op DropNamespace) error {
	if _, ok := tx.store.namespaces[op.Name.key()]; !ok {
		return notFound(ObjectNamespace, op.Name)
	}
	inside := op.Name.key() + levelSeparator
	for key := range tx.store.namespaces {
		if strings.HasPrefix(key, inside) {
			return notEmpty(op.Name)
		}
	}
	for key := range tx.store.entries {
		if strings.HasPrefix(key, inside) {
			return notEmpty(op.Name)
		}
	}
	remove(tx, tx.store.namespaces, op.Name.key())
	return nil
}

func (tx *memoryTx) createEntry(entry Entry) error {
	if err := tx.checkFree(entry.Kind, entry.Ident); err != nil {
		return err
	}
	if err := tx.checkLocation(entry); err != nil {
		return err
	}
	put(tx, tx.store.entries, identKey(entry.Ident), entry)
	return nil
}

func (tx *memoryTx) checkFree(kind Object, ident table.Ident) error {
	namespace := namespaceOf(ident)
	if _, ok := tx.store.namespaces[namespace.key()]; !ok {
		return notFound(ObjectNamespace, namespace)
	}
	if found, ok := tx.store.entries[identKey(ident)]; ok {
		return exists(kind, found.Kind, ident)
	}
	return nil
}

func (tx *memoryTx) checkLocation(entry Entry) error {
	for _, other := range tx.store.entries {
		overlap := strings.HasPrefix(other.Location, entry.Location) ||
			strings.HasPrefix(entry.Location, other.Location)
		if overlap && !slices.Equal(other.Ident, entry.Ident) {
			return overlaps(entry.Location, other)
		}
	}
	return nil
}

// entryAt returns an entry whose kind and metadata location are as expected.
func (tx *memoryTx) entryAt(ident table.Ident, kind Object, from string) (Entry, error) {
	entry, ok := tx.store.entries[identKey(ident)]
	switch {
	case !ok || entry.Kind != kind:
		return Entry{}, notFound(kind, ident)
	case from != "" && entry.MetadataLocation != from:
		return Entry{}, swapLost(kind, ident)
	}
	return entry, nil
}

func (tx *memoryTx) swapEntry(op SwapEntry) error {
	entry, err := tx.entryAt(op.Ident, op.Kind, op.From)
	if err != nil {
		return err
	}
	entry.MetadataLocation = op.To
	if op.Location != "" {
		entry.Location = op.Location
		if err := tx.checkLocation(entry); err != nil {
			return err
		}
	}
	put(tx, tx.store.entries, identKey(op.Ident), entry)
	return nil
}

func (tx *memoryTx) renameEntry(op RenameEntry) error {
	entry, ok := tx.store.entries[identKey(op.From)]
	if !ok || entry.Kind != op.Kind {
		return notFound(op.Kind, op.From)
	}
	if err := tx.checkFree(op.Kind, op.To); err != nil {
		return err
	}
	remove(tx, tx.store.entries, identKey(op.From))
	entry.Ident = op.To
	put(tx, tx.store.entries, identKey(op.To), entry)
	return nil
}

func (tx *memoryTx) recordAnswer(op RecordAnswer) error {
	for key, answer := range tx.store.answers {
		if answer.Expires.Before(op.Now) {
			remove(tx, tx.store.answers, key)
		}
	}
	if _, ok := tx.store.answers[op.Answer.Key]; ok {
		return fmt.Errorf("answer %s: %w", op.Answer.Key, ErrAnswered)
	}
	put(tx, tx.store.answers, op.Answer.Key, op.Answer)
	return nil
}

func (tx *memoryTx) announce(op Announce) {
	for name, p := range tx.store.processes {
		if p.Seen.Before(op.Forget) {
			remove(tx, tx.store.processes, name)
		}
	}
	put(tx, tx.store.processes, op.Process.Name, op.Process)
}

// Processes lists who was announced.
func (s *MemoryStore) Processes(context.Context) ([]Process, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.SortedFunc(maps.Values(s.processes), func(a, b Process) int {
		return strings.Compare(a.Name, b.Name)
	}), nil
}
