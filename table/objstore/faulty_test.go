package objstore_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/table/objstore"
	"github.com/firthlake/firth/table/objstore/objstoretest"
)

func TestFaultyWithoutFaultsConforms(t *testing.T) {
	objstoretest.Run(t, func(*testing.T) objstoretest.Subject {
		return objstoretest.Subject{
			Store: objstore.NewFaulty(objstore.NewMemory(clock()), nil),
			Root:  "mem://test", LargeBytes: largeBytes,
		}
	})
}

func putString(ctx context.Context, store objstore.Store, location, content string) error {
	_, err := store.Put(ctx, location, strings.NewReader(content), int64(len(content)),
		objstore.PutOptions{})
	return err
}

func TestFaultyFailsThePlannedOperation(t *testing.T) {
	own := errors.New("own")
	for name, tc := range map[string]struct {
		fault objstore.Fault
		want  error
		lands bool
		dead  bool
	}{
		"before": {objstore.Fault{Kind: objstore.ErrorBefore, Err: own}, own, false, false},
		"lost":   {objstore.Fault{Kind: objstore.AnswerLost}, objstore.ErrInjected, true, false},
		"crash before": {
			objstore.Fault{Kind: objstore.CrashBefore}, objstore.ErrCrashed, false, true,
		},
		"crash after": {objstore.Fault{Kind: objstore.CrashAfter}, objstore.ErrCrashed, true, true},
		"delay": {
			objstore.Fault{Delay: func(context.Context) error { return own }}, own, false, false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			inner := objstore.NewMemory(clock())
			store := objstore.NewFaulty(inner, objstore.FailAt(1, tc.fault))
			require.NoError(t, putString(t.Context(), store, "mem://t/0", "x"))
			require.ErrorIs(t, putString(t.Context(), store, "mem://t/1", "x"), tc.want)
			_, err := inner.Stat(t.Context(), "mem://t/1")
			require.Equal(t, tc.lands, err == nil)
			require.Equal(t, tc.dead, store.Crashed())
			err = putString(t.Context(), store, "mem://t/2", "x")
			require.Equal(t, tc.dead, errors.Is(err, objstore.ErrCrashed))
			require.Equal(t, int64(3), store.Ops())
		})
	}
}

func TestFaultyCutsReads(t *testing.T) {
	inner := objstore.NewMemory(clock())
	require.NoError(t, putString(t.Context(), inner, "mem://t/a", "0123456789"))
	read := func(fault objstore.Fault) (string, error) {
		body, err := objstore.NewFaulty(inner, objstore.FailAt(0, fault)).
			Get(t.Context(), "mem://t/a", 0, -1)
		require.NoError(t, err)
		content, err := io.ReadAll(body)
		return string(content), err
	}
	content, err := read(objstore.Fault{Kind: objstore.TornRead, Bytes: 4})
	require.ErrorIs(t, err, objstore.ErrInjected)
	require.Equal(t, "0123", content)
	content, err = read(objstore.Fault{Kind: objstore.ShortRead, Bytes: 4})
	require.NoError(t, err)
	require.Equal(t, "0123", content)
}

func TestFaultyCountsEachRemovedObject(t *testing.T) {
	inner := objstore.NewMemory(clock())
	require.NoError(t, putString(t.Context(), inner, "mem://t/a", "x"))
	require.NoError(t, putString(t.Context(), inner, "mem://t/b", "x"))
	store := objstore.NewFaulty(inner, objstore.FailAt(1, objstore.Fault{Kind: objstore.CrashBefore}))
	err := store.Remove(t.Context(), "mem://t/a", "mem://t/b")
	require.ErrorIs(t, err, objstore.ErrCrashed)
	_, err = inner.Stat(t.Context(), "mem://t/a")
	require.ErrorIs(t, err, objstore.ErrNotFound)
	_, err = inner.Stat(t.Context(), "mem://t/b")
	require.NoError(t, err)
}
