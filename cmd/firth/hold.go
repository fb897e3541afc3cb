package main

import (
	"errors"
	"os"
	"syscall"
)

// hold locks an open file or folder until it is closed or the process ends, however it does. It closes the file when
// that cannot be; the error is syscall.EWOULDBLOCK when another process has the lock.
func hold(f *os.File) error {
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return errors.Join(err, f.Close())
	}
	return nil
}
