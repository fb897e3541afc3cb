package catalog

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/firthlake/firth/table"
)

// SQLStore is a Store in a SQL database: see OpenSQLite and OpenPostgres. One SQL text serves both.
//
// Swaps of metadata locations are conditional updates of single rows. All other changes (names,
// locations, namespaces) read before they write, so each first takes the one row of firth_structure:
// they happen one after another, and swaps go on beside them.
type SQLStore struct {
	db *sql.DB
	// undone says whether a failed COMMIT is known to have changed nothing.
	undone func(error) bool
}

// applyTimeout bounds one Apply. It runs to its end even if the caller leaves, because a COMMIT that
// is cut off leaves the outcome unknown.
const applyTimeout = 30 * time.Second

// schemaSQL makes the tables. %[1]s is the collation that compares bytes.
const schemaSQL = `
CREATE TABLE IF NOT EXISTS firth_structure (
	id INTEGER PRIMARY KEY, format INTEGER NOT NULL, changes BIGINT NOT NULL);
CREATE TABLE IF NOT EXISTS firth_namespaces (
	name TEXT COLLATE %[1]s PRIMARY KEY, parent TEXT COLLATE %[1]s NOT NULL,
	properties TEXT NOT NULL, revision BIGINT NOT NULL);
CREATE INDEX IF NOT EXISTS firth_namespaces_parent ON firth_namespaces (parent, name);
CREATE TABLE IF NOT EXISTS firth_entries (
	namespace TEXT COLLATE %[1]s NOT NULL, name TEXT COLLATE %[1]s NOT NULL, kind TEXT NOT NULL,
	location TEXT COLLATE %[1]s NOT NULL, metadata_location TEXT NOT NULL,
	PRIMARY KEY (namespace, name));
CREATE INDEX IF NOT EXISTS firth_entries_location ON firth_entries (location);
CREATE TABLE IF NOT EXISTS firth_answers (
	key TEXT PRIMARY KEY, request TEXT NOT NULL, status INTEGER NOT NULL,
	error_type TEXT NOT NULL, message TEXT NOT NULL, expires BIGINT NOT NULL);
CREATE INDEX IF NOT EXISTS firth_answers_expires ON firth_answers (expires);
CREATE TABLE IF NOT EXISTS firth_processes (
	name TEXT COLLATE %[1]s PRIMARY KEY, address TEXT NOT NULL, seen BIGINT NOT NULL);
INSERT INTO firth_structure (id, format, changes) VALUES (1, 1, 0) ON CONFLICT DO NOTHING;
`

// storeFormat is the version of schemaSQL; a store of a later one is refused.
const storeFormat = 1

func (s *SQLStore) prepare(ctx context.Context, collation string) error {
	if _, err := s.db.ExecContext(ctx, fmt.Sprintf(schemaSQL, collation)); err != nil {
		return fmt.Errorf("make the tables of the catalog: %w", err)
	}
	var format int
	row := s.db.QueryRowContext(ctx, `SELECT format FROM firth_structure WHERE id = 1`)
	if err := row.Scan(&format); err != nil {
		return fmt.Errorf("read the format of the catalog: %w", err)
	}
	if format != storeFormat {
		return fmt.Errorf("catalog has format %d, this firth knows %d: use a newer firth", format, storeFormat)
	}
	return nil
}

// Close closes the database.
func (s *SQLStore) Close() error { return s.db.Close() }

// Namespace returns a namespace.
func (s *SQLStore) Namespace(ctx context.Context, name Namespace) (NamespaceEntry, error) {
	row := s.db.QueryRowContext(ctx,
		`SELECT properties, revision FROM firth_namespaces WHERE name = $1`, name.key())
	entry := NamespaceEntry{Name: name}
	var properties string
	err := row.Scan(&properties, &entry.Revision)
	if errors.Is(err, sql.ErrNoRows) {
		return NamespaceEntry{}, notFound(ObjectNamespace, name)
	}
	if err == nil {
		err = json.Unmarshal([]byte(properties), &entry.Properties)
	}
	if err != nil {
		return NamespaceEntry{}, fmt.Errorf("read namespace %s: %w", name, err)
	}
	return entry, nil
}

// Namespaces lists the children of parent.
func (s *SQLStore) Namespaces(ctx context.Context, parent Namespace, page Page) ([]Namespace, error) {
	after := ""
	if page.After != "" {
		after = Namespace(identOf(parent, page.After)).key()
	}
	keys, err := s.strings(ctx, `SELECT name FROM firth_namespaces
		WHERE parent = $1 AND name > $2 ORDER BY name LIMIT $3`, parent.key(), after, sqlLimit(page))
	if err != nil {
		return nil, fmt.Errorf("list namespaces: %w", err)
	}
	var found []Namespace
	for _, key := range keys {
		found = append(found, namespaceOfKey(key))
	}
	return found, nil
}

// Entry returns the table or view of a name.
func (s *SQLStore) Entry(ctx context.Context, ident table.Ident) (Entry, error) {
	return readEntry(ctx, s.db, ident)
}

// queryer is what *sql.DB and *sql.Tx have in common for reading.
type queryer interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func readEntry(ctx context.Context, q queryer, ident table.Ident) (Entry, error) {
	entry := Entry{Ident: ident}
	row := q.QueryRowContext(ctx, `SELECT kind, location, metadata_location FROM firth_entries
		WHERE namespace = $1 AND name = $2`, namespaceOf(ident).key(), nameOf(ident))
	err := row.Scan(&entry.Kind, &entry.Location, &entry.MetadataLocation)
	if errors.Is(err, sql.ErrNoRows) {
		return Entry{}, notFound(ObjectTable, ident)
	}
	if err != nil {
		return Entry{}, fmt.Errorf("read entry %s: %w", table.FormatIdent(ident), err)
	}
	return entry, nil
}

// Entries lists the names of one kind in a namespace.
func (s *SQLStore) Entries(
	ctx context.Context, namespace Namespace, kind Object, page Page,
) ([]table.Ident, error) {
	names, err := s.strings(ctx, `SELECT name FROM firth_entries
		WHERE namespace = $1 AND kind = $2 AND name > $3 ORDER BY name LIMIT $4`,
		namespace.key(), string(kind), page.After, sqlLimit(page))
	if err != nil {
		return nil, fmt.Errorf("list %ss of %s: %w", kind, namespace, err)
	}
	var found []table.Ident
	for _, name := range names {
		found = append(found, identOf(namespace, name))
	}
	return found, nil
}

// Answer returns what was answered under an idempotency key.
func (s *SQLStore) Answer(ctx context.Context, key string) (Answer, error) {
	answer := Answer{Key: key}
	var expires int64
	row := s.db.QueryRowContext(ctx,
		`SELECT request, status, error_type, message, expires FROM firth_answers WHERE key = $1`, key)
	err := row.Scan(&answer.Request, &answer.Status, &answer.ErrorType, &answer.Message, &expires)
	if errors.Is(err, sql.ErrNoRows) {
		return Answer{}, fmt.Errorf("answer %s: %w", key, table.ErrNotFound)
	}
	if err != nil {
		return Answer{}, fmt.Errorf("read answer %s: %w", key, err)
	}
	answer.Expires = time.UnixMilli(expires)
	return answer, nil
}

// Processes lists who was announced.
func (s *SQLStore) Processes(ctx context.Context) ([]Process, error) {
	rows, err := s.db.QueryContext(ctx, `SELECT name, address, seen FROM firth_processes ORDER BY name`)
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	defer rows.Close()
	var found []Process
	for rows.Next() {
		var p Process
		var seen int64
		if err := rows.Scan(&p.Name, &p.Address, &seen); err != nil {
			return nil, fmt.Errorf("list processes: %w", err)
		}
		p.Seen = time.UnixMilli(seen)
		found = append(found, p)
	}
	return found, rows.Err()
}

func sqlLimit(page Page) int64 {
	if page.Limit > 0 {
		return int64(page.Limit)
	}
	return 1 << 40
}

func (s *SQLStore) strings(ctx context.Context, query string, args ...any) ([]string, error) {
	rows, err := s.db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var found []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		found = append(found, name)
	}
	return found, rows.Err()
}

// Apply does all of ops or nothing.
func (s *SQLStore) Apply(ctx context.Context, ops ...Op) error {
	if err := ctx.Err(); err != nil {
		return unchanged("change the catalog", err)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), applyTimeout)
	defer cancel()
	begun, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return unchanged("begin a change of the catalog", err)
	}
	// After a COMMIT the rollback finds nothing to do; before it, the database drops the change
	// anyway when the connection ends.
	defer func() { _ = begun.Rollback() }()
	tx := sqlTx{tx: begun}
	if slices.ContainsFunc(ops, structural) {
		if err := tx.exec(ctx, `UPDATE firth_structure SET changes = changes + 1 WHERE id = 1`); err != nil {
			return unchanged("lock the catalog's structure", err)
		}
	}
	for _, op := range inLockOrder(ops) {
		if err := tx.apply(ctx, op); err != nil {
			if errors.Is(err, ErrAnswered) {
				return err
			}
			return unchanged("change the catalog", err)
		}
	}
	if err := begun.Commit(); err != nil {
		if s.undone(err) {
			return unchanged("commit a change of the catalog", err)
		}
		return fmt.Errorf("commit a change of the catalog: %w: %w", table.ErrStateUnknown, err)
	}
	return nil
}

// structural says whether op reads before it writes.
func structural(op Op) bool {
	switch op := op.(type) {
	case SwapEntry:
		return op.Location != ""
	case DropEntry, RecordAnswer, SetProperties, Announce, Retire:
		return false
	}
	return true
}

// inLockOrder puts swaps in order of name, so that two transactions never wait for each other.
func inLockOrder(ops []Op) []Op {
	swapKey := func(op Op) string {
		if swap, ok := op.(SwapEntry); ok {
			return identKey(swap.Ident)
		}
		return ""
	}
	ordered := slices.Clone(ops)
	slices.SortStableFunc(ordered, func(a, b Op) int { return strings.Compare(swapKey(a), swapKey(b)) })
	return ordered
}
