package objstore_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/table/objstore"
	"github.com/firthlake/firth/table/objstore/objstoretest"
)

func newLocal(t *testing.T, root string) *objstore.Local {
	t.Helper()
	store, err := objstore.NewLocal(root)
	require.NoError(t, err)
	return store
}

func TestLocalConforms(t *testing.T) {
	for name, form := range map[string]func(folder string) (root, prefix string){
		"path":          func(folder string) (string, string) { return "", folder },
		"rooted URL":    func(folder string) (string, string) { return folder, "file://" + folder },
		"URL, no slash": func(folder string) (string, string) { return "", "file:" + folder },
	} {
		t.Run(name, func(t *testing.T) {
			objstoretest.Run(t, func(t *testing.T) objstoretest.Subject {
				root, prefix := form(t.TempDir())
				return objstoretest.Subject{
					Store: newLocal(t, root), Root: prefix, LargeBytes: largeBytes,
				}
			})
		})
	}
}

func TestLocalRefusesToLeaveItsRoot(t *testing.T) {
	outside, root := t.TempDir(), t.TempDir()
	require.NoError(t, os.WriteFile(outside+"/secret", []byte("x"), 0o600))
	require.NoError(t, os.Symlink(outside, root+"/link"))
	store := newLocal(t, root)
	for _, location := range []string{
		outside + "/secret", root + "/../" + filepath.Base(outside) + "/secret",
		root + "/./a", root + "//a", root + "/a/", root, "/", root + "x/a",
		"file://" + outside + "/secret",
		root + "/link/secret", root + "/a\x00b",
	} {
		_, err := store.Stat(t.Context(), location)
		require.ErrorIs(t, err, objstore.ErrBadLocation, location)
		err = putString(t.Context(), store, location, "evil")
		require.ErrorIs(t, err, objstore.ErrBadLocation, location)
	}
	for _, err := range store.List(t.Context(), outside) {
		require.ErrorIs(t, err, objstore.ErrBadLocation)
	}
	content, err := os.ReadFile(outside + "/secret")
	require.NoError(t, err)
	require.Equal(t, "x", string(content))
}

func TestLocalNeedsItsRoot(t *testing.T) {
	_, err := objstore.NewLocal(t.TempDir() + "/none")
	require.ErrorIs(t, err, objstore.ErrNoBucket)
	_, err = objstore.NewLocal("relative")
	require.ErrorIs(t, err, objstore.ErrBadLocation)
}

func TestLocalMapsErrorsOfTheSystem(t *testing.T) {
	folder := t.TempDir()
	store := newLocal(t, folder)
	require.NoError(t, putString(t.Context(), store, folder+"/file", "x"))
	err := putString(t.Context(), store, folder+"/file/below", "x")
	require.ErrorIs(t, err, objstore.ErrBadLocation)

	if os.Geteuid() != 0 {
		require.NoError(t, os.Mkdir(folder+"/closed", 0o500))
		err = putString(t.Context(), store, folder+"/closed/a", "x")
		require.ErrorIs(t, err, objstore.ErrPermission)
	}
}

func TestLocalHidesUnfinishedFiles(t *testing.T) {
	folder := t.TempDir()
	store := newLocal(t, folder)
	require.NoError(t, putString(t.Context(), store, folder+"/a", "x"))
	require.NoError(t, os.WriteFile(folder+"/.firth-put-left-by-a-crash", nil, 0o600))
	var names []string
	for object, err := range store.List(t.Context(), folder) {
		require.NoError(t, err)
		names = append(names, strings.TrimPrefix(object.Location, folder))
	}
	require.Equal(t, []string{"/a"}, names)
}
