package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

const (
	scratchPrefix = "firth-run-"
	// scratchAge is the age from which a folder that nobody holds is removed: a younger one may be about to be locked.
	scratchAge = time.Minute
)

// scratch is a folder for rows that do not fit into memory. It is locked while its process lives, so that the next
// one can tell which folders were left behind by processes that were killed.
type scratch struct {
	dir  string
	lock *os.File
}

// newScratch makes a folder in parent and removes those there that no process holds any more.
func newScratch(parent string, now time.Time) (*scratch, error) {
	dir, err := os.MkdirTemp(parent, scratchPrefix)
	if err != nil {
		return nil, fmt.Errorf("make folder for spilled rows: %w", err)
	}
	lock, err := holdFolder(dir)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make folder for spilled rows: %w", err), os.RemoveAll(dir))
	}
	// The pattern is well-formed, and what cannot be removed is another user's.
	left, _ := filepath.Glob(filepath.Join(filepath.Dir(dir), scratchPrefix+"*"))
	for _, other := range left {
		removeUnheld(other, now)
	}
	return &scratch{dir: dir, lock: lock}, nil
}

// holdFolder locks a folder until the file that it returns is closed.
func holdFolder(dir string) (*os.File, error) {
	lock, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := hold(lock); err != nil {
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	return lock, nil
}

// removeUnheld removes a folder that nobody holds.
func removeUnheld(dir string, now time.Time) {
	stat, err := os.Lstat(dir)
	if err != nil || !stat.IsDir() || now.Sub(stat.ModTime()) < scratchAge {
		return
	}
	lock, err := holdFolder(dir)
	if err != nil {
		return
	}
	_ = os.RemoveAll(dir) // the next process tries again
	_ = lock.Close()      // nothing was written to it
}

// close removes the folder.
func (s *scratch) close() error {
	err := os.RemoveAll(s.dir)
	return errors.Join(err, s.lock.Close())
}
