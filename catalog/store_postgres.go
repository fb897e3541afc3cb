package catalog

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
)

// postgresConnsMax bounds the connections of one process: commits are short, and Postgres allows 100
// connections by default.
const postgresConnsMax = 8

// OpenPostgres opens the catalog in the database at dsn ("postgres://user:password@host/database") and
// makes its tables if they are not there. Several processes may have it open at once.
func OpenPostgres(ctx context.Context, dsn string) (*SQLStore, error) {
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		// The error of the parser may quote the password.
		return nil, errors.New("open catalog: the Postgres DSN is malformed: " +
			"write it as postgres://user:password@host:port/database")
	}
	db := stdlib.OpenDB(*config)
	db.SetMaxOpenConns(postgresConnsMax)
	db.SetMaxIdleConns(postgresConnsMax)
	store := &SQLStore{db: db, undone: postgresUndone}
	if err := store.prepareAlone(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open catalog in Postgres: %w", err), db.Close())
	}
	return store, nil
}

// structureLock is the advisory lock under which tables are made: CREATE TABLE IF NOT EXISTS of two
// processes at the same moment fails otherwise.
const structureLock = 0x66697274680001

func (s *SQLStore) prepareAlone(ctx context.Context) error {
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return err
	}
	if _, err := conn.ExecContext(ctx, `SELECT pg_advisory_lock($1)`, int64(structureLock)); err != nil {
		return errors.Join(err, conn.Close())
	}
	err = s.prepare(ctx, `"C"`)
	_, unlockErr := conn.ExecContext(context.WithoutCancel(ctx),
		`SELECT pg_advisory_unlock($1)`, int64(structureLock))
	return errors.Join(err, unlockErr, conn.Close())
}

// postgresUndone says that the server answered a COMMIT with a rollback (class 40).
func postgresUndone(err error) bool {
	var failure *pgconn.PgError
	return errors.As(err, &failure) && strings.HasPrefix(failure.Code, "40") && failure.Code != "40003"
}
