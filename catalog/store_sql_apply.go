package catalog

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/firthlake/firth/table"
)

// sqlTx is one Apply inside a database transaction.
type sqlTx struct{ tx *sql.Tx }

func (t sqlTx) exec(ctx context.Context, query string, args ...any) error {
	_, err := t.tx.ExecContext(ctx, query, args...)
	return err
}

// execOne reports whether the statement changed a row.
func (t sqlTx) execOne(ctx context.Context, query string, args ...any) (bool, error) {
	result, err := t.tx.ExecContext(ctx, query, args...)
	if err != nil {
		return false, err
	}
	changed, err := result.RowsAffected()
	return changed > 0, err
}

func (t sqlTx) found(ctx context.Context, query string, args ...any) (bool, error) {
	var one int
	err := t.tx.QueryRowContext(ctx, query, args...).Scan(&one)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

func (t sqlTx) apply(ctx context.Context, op Op) error {
	switch op := op.(type) {
	case CreateNamespace:
		return t.createNamespace(ctx, op)
	case SetProperties:
		return t.setProperties(ctx, op)
	case DropNamespace:
		return t.dropNamespace(ctx, op)
	case CreateEntry:
		return t.createEntry(ctx, op.Entry)
	case SwapEntry:
		return t.swapEntry(ctx, op)
	case DropEntry:
		return t.dropEntry(ctx, op)
	case RenameEntry:
		return t.renameEntry(ctx, op)
	case RecordAnswer:
		return t.recordAnswer(ctx, op)
	case Announce:
		return t.announce(ctx, op)
	case Retire:
		return t.exec(ctx, `DELETE FROM firth_processes WHERE name = $1`, op.Name)
	}
	panic(fmt.Sprintf("BUG: unknown op %T", op))
}

func (t sqlTx) namespaceExists(ctx context.Context, name Namespace) error {
	ok, err := t.found(ctx, `SELECT 1 FROM firth_namespaces WHERE name = $1`, name.key())
	if err == nil && !ok {
		return notFound(ObjectNamespace, name)
	}
	return err
}

func (t sqlTx) createNamespace(ctx context.Context, op CreateNamespace) error {
	parent := op.Name.Parent()
	if len(parent) > 0 {
		if err := t.namespaceExists(ctx, parent); err != nil {
			return err
		}
	}
	properties, err := marshalProperties(op.Properties)
	if err != nil {
		return err
	}
	made, err := t.execOne(ctx, `INSERT INTO firth_namespaces (name, parent, properties, revision)
		VALUES ($1, $2, $3, 0) ON CONFLICT DO NOTHING`, op.Name.key(), parent.key(), properties)
	if err == nil && !made && !op.MayExist {
		return exists(ObjectNamespace, ObjectNamespace, op.Name)
	}
	return err
}

func marshalProperties(properties map[string]string) (string, error) {
	if properties == nil {
		properties = map[string]string{}
	}
	text, err := json.Marshal(properties)
	return string(text), err
}

func (t sqlTx) setProperties(ctx context.Context, op SetProperties) error {
	properties, err := marshalProperties(op.Properties)
	if err != nil {
		return err
	}
	set, err := t.execOne(ctx, `UPDATE firth_namespaces SET properties = $1, revision = revision + 1
		WHERE name = $2 AND revision = $3`, properties, op.Name.key(), op.Revision)
	if err != nil || set {
		return err
	}
	if err := t.namespaceExists(ctx, op.Name); err != nil {
		return err
	}
	return swapLost(ObjectNamespace, op.Name)
}

func (t sqlTx) dropNamespace(ctx context.Context, op DropNamespace) error {
	if err := t.namespaceExists(ctx, op.Name); err != nil {
		return err
	}
	inside, err := t.found(ctx, `SELECT 1 FROM firth_namespaces WHERE parent = $1
		UNION ALL SELECT 1 FROM firth_entries WHERE namespace = $1 LIMIT 1`, op.Name.key())
	if err == nil && inside {
		return notEmpty(op.Name)
	}
	if err != nil {
		return err
	}
	return t.exec(ctx, `DELETE FROM firth_namespaces WHERE name = $1`, op.Name.key())
}

func (t sqlTx) createEntry(ctx context.Context, entry Entry) error {
	if err := t.checkFree(ctx, entry.Kind, entry.Ident); err != nil {
		return err
	}
	if err := t.checkLocation(ctx, entry); err != nil {
		return err
	}
	return t.exec(ctx, `INSERT INTO firth_entries (namespace, name, kind, location, metadata_location)
		VALUES ($1, $2, $3, $4, $5)`, namespaceOf(entry.Ident).key(), nameOf(entry.Ident),
		string(entry.Kind), entry.Location, entry.MetadataLocation)
}

func (t sqlTx) checkFree(ctx context.Context, kind Object, ident table.Ident) error {
	if err := t.namespaceExists(ctx, namespaceOf(ident)); err != nil {
		return err
	}
	found, err := readEntry(ctx, t.tx, ident)
	switch {
	case errors.Is(err, table.ErrNotFound):
		return nil
	case err != nil:
		return err
	}
	return exists(kind, found.Kind, ident)
}

// checkLocation refuses an entry whose location lies in that of another, or the other way round. Both
// questions are answered by the index: what lies inside is a range, what lies around is a short list.
func (t sqlTx) checkLocation(ctx context.Context, entry Entry) error {
	end := strings.TrimSuffix(entry.Location, "/") + "0" // "0" comes right after "/"
	if err := t.checkOverlap(ctx, entry, `location >= $3 AND location < $4`, entry.Location, end); err != nil {
		return err
	}
	for _, around := range ancestors(entry.Location) {
		if err := t.checkOverlap(ctx, entry, `location = $3`, around); err != nil {
			return err
		}
	}
	return nil
}

func (t sqlTx) checkOverlap(ctx context.Context, entry Entry, where string, args ...any) error {
	var namespace, name string
	var other Entry
	row := t.tx.QueryRowContext(ctx, `SELECT namespace, name, kind, location FROM firth_entries
		WHERE NOT (namespace = $1 AND name = $2) AND `+where+` LIMIT 1`,
		append([]any{namespaceOf(entry.Ident).key(), nameOf(entry.Ident)}, args...)...)
	err := row.Scan(&namespace, &name, &other.Kind, &other.Location)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	other.Ident = identOf(namespaceOfKey(namespace), name)
	return overlaps(entry.Location, other)
}

func (t sqlTx) swapEntry(ctx context.Context, op SwapEntry) error {
	swapped, err := t.execOne(ctx, `UPDATE firth_entries SET metadata_location = $1
		WHERE namespace = $2 AND name = $3 AND kind = $4 AND metadata_location = $5`,
		op.To, namespaceOf(op.Ident).key(), nameOf(op.Ident), string(op.Kind), op.From)
	if err != nil {
		return err
	}
	if !swapped {
		return t.whyLost(ctx, op.Kind, op.Ident)
	}
	if op.Location == "" {
		return nil
	}
	entry := Entry{Ident: op.Ident, Location: op.Location}
	if err := t.checkLocation(ctx, entry); err != nil {
		return err
	}
	return t.exec(ctx, `UPDATE firth_entries SET location = $1 WHERE namespace = $2 AND name = $3`,
		op.Location, namespaceOf(op.Ident).key(), nameOf(op.Ident))
}

// whyLost tells an entry that is gone from one that has moved on.
func (t sqlTx) whyLost(ctx context.Context, kind Object, ident table.Ident) error {
	entry, err := readEntry(ctx, t.tx, ident)
	switch {
	case errors.Is(err, table.ErrNotFound), err == nil && entry.Kind != kind:
		return notFound(kind, ident)
	case err != nil:
		return err
	}
	return swapLost(kind, ident)
}

func (t sqlTx) dropEntry(ctx context.Context, op DropEntry) error {
	dropped, err := t.execOne(ctx, `DELETE FROM firth_entries
		WHERE namespace = $1 AND name = $2 AND kind = $3 AND ($4 = '' OR metadata_location = $4)`,
		namespaceOf(op.Ident).key(), nameOf(op.Ident), string(op.Kind), op.From)
	if err == nil && !dropped {
		return t.whyLost(ctx, op.Kind, op.Ident)
	}
	return err
}

func (t sqlTx) renameEntry(ctx context.Context, op RenameEntry) error {
	entry, err := readEntry(ctx, t.tx, op.From)
	if errors.Is(err, table.ErrNotFound) || err == nil && entry.Kind != op.Kind {
		return notFound(op.Kind, op.From)
	}
	if err != nil {
		return err
	}
	if err := t.checkFree(ctx, op.Kind, op.To); err != nil {
		return err
	}
	renamed, err := t.execOne(ctx, `UPDATE firth_entries SET namespace = $1, name = $2
		WHERE namespace = $3 AND name = $4 AND kind = $5`, namespaceOf(op.To).key(), nameOf(op.To),
		namespaceOf(op.From).key(), nameOf(op.From), string(op.Kind))
	if err == nil && !renamed {
		return notFound(op.Kind, op.From)
	}
	return err
}

func (t sqlTx) recordAnswer(ctx context.Context, op RecordAnswer) error {
	err := t.exec(ctx, `DELETE FROM firth_answers WHERE expires < $1`, op.Now.UnixMilli())
	if err != nil {
		return err
	}
	a := op.Answer
	kept, err := t.execOne(ctx, `INSERT INTO firth_answers
		(key, request, status, error_type, message, expires) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT DO NOTHING`, a.Key, a.Request, a.Status, a.ErrorType, a.Message, a.Expires.UnixMilli())
	if err == nil && !kept {
		return fmt.Errorf("answer %s: %w", a.Key, ErrAnswered)
	}
	return err
}

func (t sqlTx) announce(ctx context.Context, op Announce) error {
	err := t.exec(ctx, `DELETE FROM firth_processes WHERE seen < $1`, op.Forget.UnixMilli())
	if err != nil {
		return err
	}
	return t.exec(ctx, `INSERT INTO firth_processes (name, address, seen) VALUES ($1, $2, $3)
		ON CONFLICT (name) DO UPDATE SET address = excluded.address, seen = excluded.seen`,
		op.Process.Name, op.Process.Address, op.Process.Seen.UnixMilli())
}
