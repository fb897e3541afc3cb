package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// disk is the file system of a folder.
type disk struct {
	mount      string // where it is mounted
	free, size int64  // bytes; free for this user
}

// diskOf looks at the file system of a folder.
func diskOf(folder string) (disk, error) {
	folder, err := filepath.Abs(folder)
	if err != nil {
		return disk{}, fmt.Errorf("look at the disk of %s: %w", folder, err)
	}
	var found syscall.Statfs_t
	if err := syscall.Statfs(folder, &found); err != nil {
		return disk{}, fmt.Errorf("look at the disk of %s: %w", folder, err)
	}
	block := int64(found.Bsize) //nolint:unconvert // another type on other systems
	return disk{mount: mountOf(folder), free: int64(found.Bavail) * block,
		size: int64(found.Blocks) * block}, nil
}

// mountOf is the highest folder above that lies on the same device.
func mountOf(folder string) string {
	device := func(path string) (uint64, bool) {
		found, err := os.Stat(path)
		if err != nil {
			return 0, false
		}
		stat, ok := found.Sys().(*syscall.Stat_t)
		if !ok {
			return 0, false
		}
		return uint64(stat.Dev), true //nolint:unconvert // another type on other systems
	}
	own, ok := device(folder)
	for ok {
		above := filepath.Dir(folder)
		if other, found := device(above); above == folder || !found || other != own {
			break
		}
		folder = above
	}
	return folder
}

// fullError says that a folder's disk is full.
type fullError struct {
	folder string
	disk   disk
}

func (e *fullError) Error() string {
	return fmt.Sprintf("no space left: the disk at %s, where folder %s lies, has %s of %s free", e.disk.mount,
		e.folder, size(e.disk.free), size(e.disk.size))
}

func (e *fullError) Unwrap() error { return syscall.ENOSPC }

// A disk counts as full below diskFreeMin, which is more than one batch of the broker and one small
// file take, when something cannot be written.
const (
	diskFreeMin   = 2 << 20
	diskLookEvery = 500 * time.Millisecond
)

// full returns a *fullError when the folder's disk has no room.
func (f *demoFolder) full() error {
	found, err := f.disk(f.path)
	if err != nil || found.free >= diskFreeMin {
		return nil //nolint:nilerr // what cannot be looked at is not known to be full
	}
	return &fullError{folder: f.path, disk: found}
}

// watchDisk ends with a *fullError when a table cannot go on for a full disk; the embedded broker says
// nothing else than that it failed.
func (d *demo) watchDisk(ctx context.Context) error {
	for sleep(ctx, diskLookEvery) == nil {
		for _, t := range d.service.tables() {
			if t.Trouble == "" {
				continue
			}
			if err := d.folder.full(); err != nil {
				return err
			}
		}
	}
	return nil
}

// cause is what is behind an error of the demo: a full disk makes every part fail in a way of its own.
func (d *demo) cause(err error) error {
	if err == nil {
		return nil
	}
	if full := d.folder.full(); full != nil {
		return fallsShort(full, "make room and start it again: it goes on where it stopped")
	}
	return err
}
