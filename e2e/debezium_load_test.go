//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
)

const (
	keysMax     = 3000 // ids that rows may have
	loaders     = 2    // connections that write at the same time
	rowsAtFirst = 2000 // before the connector takes its snapshot
	// keyStep spreads ids over nearly all of bigint: most have no exact float.
	keyStep = 6_000_000_000_000_007
)

const insertItem = `insert into items (id, name, amount, ts, seen, flag, day)
	values ($1, $2, $3, $4, $5, $6, $7)`

// load changes rows of a Postgres table at random.
type load struct {
	dsn string
	// rate is how many transactions a second each connection begins.
	rate int
	// noted says that the table has the column that is added on the way.
	noted atomic.Bool

	// Rows that each kind of statement changed, and transactions that were taken back.
	upserts, updates, deletes, moves, again, aborts atomic.Int64
}

// create makes the table with its first rows.
func (d *load) create(t *testing.T, random *rand.Rand) {
	t.Helper()
	conn := d.connect(t)
	_, err := conn.Exec(t.Context(), `create table items (id bigint primary key, name text,
		amount numeric(12, 3) not null, ts timestamp not null, seen timestamptz, flag boolean, day date);
		create table marks (id int primary key, at timestamptz)`)
	require.NoError(t, err)
	batch := &pgx.Batch{}
	for i := range rowsAtFirst {
		batch.Queue(insertItem, append([]any{keyOf(i)}, values(random)...)...)
	}
	require.NoError(t, conn.SendBatch(t.Context(), batch).Close())
}

func (d *load) connect(t *testing.T) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), d.dsn)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, conn.Close(context.WithoutCancel(t.Context()))) })
	return conn
}

// keyOf is the n-th id of keysMax.
func keyOf(n int) int64 { return int64(n-keysMax/2) * keyStep }

// someKey prefers some ids to others, so that many rows change often and some hardly ever.
func someKey(random *rand.Rand) int64 {
	return keyOf(int(random.ExpFloat64()*keysMax/6) % keysMax)
}

// values are those of a row without its id and the note.
func values(random *rand.Rand) []any {
	when := time.UnixMicro(random.Int64N(4e15) - 1e15).UTC()
	amount := fmt.Sprintf("%d.%03d", random.Int64N(2e8)-1e8, random.IntN(1000))
	row := []any{text(random), amount, when, when.Add(time.Hour), random.IntN(2) == 0, when}
	for _, i := range []int{0, 3, 4, 5} { // the columns that may be null
		if random.IntN(8) == 0 {
			row[i] = nil
		}
	}
	return row
}

// text is what JSON has to escape, and what it has not.
func text(random *rand.Rand) string {
	words := []string{"plain", `"quoted"`, `back\slash`, "new\nline", "grün", "雪", "🐟", "null", "",
		"\u2028", "\x01"}
	var out strings.Builder
	for range random.IntN(6) {
		out.WriteString(words[random.IntN(len(words))])
		out.WriteByte(' ')
	}
	return out.String()
}

// run changes rows until ctx ends; every transaction that began is over when it returns.
func (d *load) run(ctx context.Context, seed uint64) error {
	var group errgroup.Group
	for i := range loaders {
		group.Go(func() error {
			whole := context.WithoutCancel(ctx)
			conn, err := pgx.Connect(whole, d.dsn)
			if err != nil {
				return err
			}
			defer func() { _ = conn.Close(whole) }() // nothing is open
			random := rand.New(rand.NewPCG(seed, uint64(i)))
			for pause(ctx, time.Second/time.Duration(d.rate)) == nil {
				if err := d.transact(whole, conn, random); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return group.Wait()
}

// transact does a few statements. When two connections want the same rows, one's are taken back.
func (d *load) transact(ctx context.Context, conn *pgx.Conn, random *rand.Rand) error {
	err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		for range 1 + random.IntN(4) {
			if err := d.change(ctx, tx, random); err != nil {
				return err
			}
		}
		if random.IntN(20) == 0 {
			return errTakenBack
		}
		return nil
	})
	var refused *pgconn.PgError
	collided := errors.As(err, &refused) && (refused.Code == uniqueViolation || refused.Code == deadlock)
	if collided || errors.Is(err, errTakenBack) {
		d.aborts.Add(1)
		return nil
	}
	return err
}

var errTakenBack = errors.New("taken back")

// Codes of Postgres' errors.
const (
	uniqueViolation = "23505"
	deadlock        = "40P01"
)

func (d *load) change(ctx context.Context, tx pgx.Tx, random *rand.Rand) error {
	id := someKey(random)
	switch random.IntN(10) {
	case 0, 1, 2, 3:
		return d.count(&d.upserts)(d.upsert(ctx, tx, id, random))
	case 4, 5:
		return d.count(&d.updates)(tx.Exec(ctx,
			"update items set amount = amount + 0.125, flag = not flag where id = $1", id))
	case 6, 7:
		return d.count(&d.deletes)(tx.Exec(ctx, "delete from items where id = $1", id))
	case 8:
		return d.count(&d.moves)(tx.Exec(ctx,
			"update items set id = $2, name = 'moved' where id = $1", id, someKey(random)))
	default: // a row that goes and comes back, or comes and goes, in one transaction
		if _, err := tx.Exec(ctx, "delete from items where id = $1", id); err != nil {
			return err
		}
		if err := d.count(&d.again)(d.upsert(ctx, tx, id, random)); err != nil || random.IntN(2) == 0 {
			return err
		}
		_, err := tx.Exec(ctx, "delete from items where id = $1", id)
		return err
	}
}

func (d *load) upsert(ctx context.Context, tx pgx.Tx, id int64, random *rand.Rand) (pgconn.CommandTag,
	error) {
	row := append([]any{id}, values(random)...)
	if !d.noted.Load() {
		return tx.Exec(ctx, insertItem+` on conflict (id) do update set
			(name, amount, ts, seen, flag, day) = (excluded.name, excluded.amount, excluded.ts,
			excluded.seen, excluded.flag, excluded.day)`, row...)
	}
	return tx.Exec(ctx, `insert into items (id, name, amount, ts, seen, flag, day, note)
		values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict (id) do update set
		(name, amount, ts, note) = (excluded.name, excluded.amount, excluded.ts, excluded.note)`,
		append(row, text(random))...)
}

// total is what was done, by its name.
func (d *load) total() map[string]int64 {
	return map[string]int64{"upserted": d.upserts.Load(), "updated": d.updates.Load(),
		"deleted": d.deletes.Load(), "moved to another key": d.moves.Load(),
		"deleted and inserted": d.again.Load(), "taken back": d.aborts.Load()}
}

// count adds the rows that a statement changed.
func (d *load) count(n *atomic.Int64) func(pgconn.CommandTag, error) error {
	return func(tag pgconn.CommandTag, err error) error {
		n.Add(tag.RowsAffected())
		return err
	}
}

// addColumn changes the table while it is written to.
func (d *load) addColumn(t *testing.T) {
	t.Helper()
	_, err := d.connect(t).Exec(t.Context(), "alter table items add column note text")
	require.NoError(t, err)
	d.noted.Store(true)
}
