package catalog_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/catalog"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/objstore"
)

// lossyStore makes one Apply, the one with number at, fail in a way that leaves its outcome unknown.
type lossyStore struct {
	catalog.Store
	calls, at int
	applies   bool
}

func (s *lossyStore) Apply(ctx context.Context, ops ...catalog.Op) error {
	s.calls++
	if s.calls-1 != s.at {
		return s.Store.Apply(ctx, ops...)
	}
	if s.applies {
		if err := s.Store.Apply(ctx, ops...); err != nil {
			return err
		}
	}
	return fmt.Errorf("answer lost: %w", table.ErrStateUnknown)
}

const sweepCommits = 5

// workload makes a table and counts up a property, and returns what it was told: how far it surely
// came, and how far it may have come.
func workload(ctx context.Context, c *catalog.Catalog) (sure, maybe int) {
	note := func(n int, err error) bool {
		if err == nil {
			sure, maybe = n, n
			return true
		}
		// A crash hides what kind of failure it was, so only a certain failure is taken for one.
		if !isCertain(err) {
			maybe = n
		}
		return false
	}
	_, err := c.CreateTable(ctx, events, catalog.TableSpec{Schema: schema, Properties: iceberg.Properties{
		"n": "1", "write.metadata.previous-versions-max": "1"}})
	if !note(1, err) {
		return sure, maybe
	}
	for n := 2; n <= sweepCommits; n++ {
		_, err := c.CommitTable(ctx, events, nil, []icetable.Update{
			icetable.NewSetPropertiesUpdate(iceberg.Properties{"n": fmt.Sprint(n)})})
		if !note(n, err) {
			return sure, maybe
		}
	}
	return sure, maybe
}

func isCertain(err error) bool {
	for _, kind := range []error{table.ErrConflict, table.ErrRefused, table.ErrNotFound, table.ErrExists} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}

// checkSwept opens what is left with fresh eyes: the table stands where the workload was told, its
// files can be read, and with no crash no file is left that nobody refers to.
func checkSwept(t *testing.T, f fixture, sure, maybe int, mayLeak bool) {
	t.Helper()
	fresh := catalog.New(f.store, f.objects, options())
	at := 0
	referenced := map[string]bool{}
	head, err := fresh.LoadTable(t.Context(), events)
	if err == nil {
		_, err = fmt.Sscan(head.Metadata().Properties()["n"], &at)
		require.NoError(t, err)
		referenced[head.MetadataLocation()] = true
		for entry := range head.Metadata().PreviousFiles() {
			referenced[entry.MetadataFile] = true
		}
	} else {
		require.ErrorIs(t, err, table.ErrNotFound)
	}
	require.GreaterOrEqual(t, at, sure)
	require.LessOrEqual(t, at, maybe)
	if mayLeak {
		return
	}
	for _, file := range f.files(t, warehouse) {
		require.True(t, referenced[file], "orphan %s", file)
	}
}

// TestCrashSweep reruns a workload once for every operation on the object store and every way in which
// it can go wrong.
func TestCrashSweep(t *testing.T) {
	f := newFixture(t)
	counting := objstore.NewFaulty(f.objects, nil)
	sure, _ := workload(t.Context(), catalog.New(f.store, counting, options()))
	require.Equal(t, sweepCommits, sure)
	require.Positive(t, counting.Ops())
	for _, kind := range []objstore.FaultKind{
		objstore.ErrorBefore, objstore.AnswerLost, objstore.CrashBefore, objstore.CrashAfter,
	} {
		for n := range counting.Ops() {
			f := newFixture(t)
			removes := false
			faulty := objstore.NewFaulty(f.objects, func(op objstore.Op) objstore.Fault {
				if op.N != n {
					return objstore.Fault{}
				}
				removes = op.Kind == objstore.OpRemove
				return objstore.Fault{Kind: kind}
			})
			sure, maybe := workload(t.Context(), catalog.New(f.store, faulty, options()))
			checkSwept(t, f, sure, maybe, removes || faulty.Crashed())
		}
	}
}

// TestLostAnswerSweep loses the answer of each step of the store in turn.
func TestLostAnswerSweep(t *testing.T) {
	for at := range sweepCommits {
		for _, applies := range []bool{false, true} {
			f := newFixture(t)
			lossy := &lossyStore{Store: f.store, at: at, applies: applies}
			sure, maybe := workload(t.Context(), catalog.New(lossy, f.objects, options()))
			require.Equal(t, at, sure)
			require.Equal(t, at+1, maybe)
			checkSwept(t, f, sure, maybe, true)
		}
	}
}

// TestAnswerIsKeptWithItsChange sends one request with one key many times at once: it happens once,
// and everybody learns that it did.
func TestAnswerIsKeptWithItsChange(t *testing.T) {
	s := newServer(t)
	key := "0190a0b0-0000-7000-8000-000000000001"
	codes := make(chan int)
	for range 8 {
		go func() {
			codes <- s.do(t, "POST", "/v1/main/namespaces", `{"namespace":["once"]}`, "Idempotency-Key", key).StatusCode
		}()
	}
	for range 8 {
		select {
		case code := <-codes:
			require.Equal(t, 200, code)
		case <-time.After(time.Minute):
			t.Fatal("no answer")
		}
	}
}
