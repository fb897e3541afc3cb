package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// OpenSQLite opens the catalog in the file at path and makes it if it is not there. Several processes
// may have it open at once. Every commit reaches the disk before Apply returns (synchronous=FULL).
func OpenSQLite(ctx context.Context, path string) (*SQLStore, error) {
	query := url.Values{"_txlock": {"immediate"}, "_pragma": {
		"busy_timeout(10000)", "journal_mode(WAL)", "synchronous(FULL)",
	}}
	dsn := (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath()}).String()
	db, err := sql.Open("sqlite", dsn+"?"+query.Encode())
	if err != nil {
		return nil, fmt.Errorf("open catalog %s: %w", path, err)
	}
	// SQLite has one writer; more connections would only wait for each other and time out.
	db.SetMaxOpenConns(1)
	store := &SQLStore{db: db, undone: sqliteUndone}
	if err := store.prepare(ctx, "BINARY"); err != nil {
		return nil, errors.Join(fmt.Errorf("open catalog %s: %w", path, sqliteOpening(err)), db.Close())
	}
	return store, nil
}

// sqliteOpening says in the words of the file system why a catalog cannot be opened.
func sqliteOpening(err error) error {
	var failure *sqlite.Error
	if errors.As(err, &failure) && failure.Code()&0xff == sqlite3.SQLITE_READONLY {
		return fmt.Errorf("%w: this user may not write the file or its folder: %w", fs.ErrPermission, err)
	}
	return err
}

// sqliteUndone says that a COMMIT found the database locked: nothing was written.
func sqliteUndone(err error) bool {
	var failure *sqlite.Error
	return errors.As(err, &failure) && failure.Code()&0xff == sqlite3.SQLITE_BUSY
}
