package objstore

import (
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFileErrorsBecomeSentinels(t *testing.T) {
	for number, want := range map[syscall.Errno]error{
		syscall.ENOENT: ErrNotFound,
		syscall.EACCES: ErrPermission,
		syscall.EPERM:  ErrPermission,
		syscall.EROFS:  ErrPermission,
		syscall.ENOSPC: ErrFull,
		syscall.EDQUOT: ErrFull,
		syscall.EEXIST: ErrPrecondition,
	} {
		err := mapFileError(&os.PathError{Op: "open", Path: "/x", Err: number})
		require.ErrorIs(t, err, want)
		require.ErrorIs(t, err, number)
	}
	require.NoError(t, mapFileError(nil))
}
