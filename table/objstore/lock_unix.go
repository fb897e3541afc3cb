//go:build unix

package objstore

import (
	"os"
	"syscall"
)

// lockFile takes the exclusive lock of an open file, which closing it gives back. It excludes
// other processes and other goroutines alike.
func lockFile(file *os.File) error {
	return syscall.Flock(int(file.Fd()), syscall.LOCK_EX)
}
