package main

import (
	"errors"
	"fmt"
	"math/bits"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"
	"unsafe"
)

// coreSet is a set of cores as the kernel takes it, one bit for each.
type coreSet [16]uint64

// first is the set of the n lowest cores of s.
func (s coreSet) first(n int) coreSet {
	var out coreSet
	for i, word := range s {
		for ; word != 0 && n > 0; n-- {
			lowest := word & -word
			out[i] |= lowest
			word &^= lowest
		}
	}
	return out
}

func (s coreSet) count() int {
	n := 0
	for _, word := range s {
		n += bits.OnesCount64(word)
	}
	return n
}

// ownCores are the cores that this process may use.
func ownCores() (coreSet, error) {
	var set coreSet
	err := affinity(syscall.SYS_SCHED_GETAFFINITY, 0, &set)
	return set, err
}

// affinity reads or sets the cores of a thread; 0 is the calling one.
func affinity(call uintptr, thread int, set *coreSet) error {
	_, _, failed := syscall.RawSyscall(call, uintptr(thread), unsafe.Sizeof(*set),
		uintptr(unsafe.Pointer(set)))
	if failed != 0 {
		return os.NewSyscallError("sched_affinity", failed)
	}
	return nil
}

// pin keeps all threads of a process on the cores; what they start stays there too.
func pin(pid int, set coreSet) error {
	seen := map[string]bool{}
	for before := -1; before < len(seen); { // again, for threads that were started meanwhile
		before = len(seen)
		threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
		if err != nil {
			return fmt.Errorf("pin process %d: %w", pid, err)
		}
		for _, thread := range threads {
			id, err := strconv.Atoi(thread.Name())
			if err != nil {
				return fmt.Errorf("pin process %d: %w", pid, err)
			}
			seen[thread.Name()] = true
			err = affinity(syscall.SYS_SCHED_SETAFFINITY, id, &set)
			if err != nil && !errors.Is(err, syscall.ESRCH) { // the thread may have ended
				return fmt.Errorf("pin thread %d of process %d: %w", id, pid, err)
			}
		}
	}
	return nil
}

// startOn starts a command on the cores, with all that it starts itself.
func startOn(cmd *exec.Cmd, set coreSet) error {
	all, err := ownCores()
	if err != nil {
		return err
	}
	runtime.LockOSThread() // a new process has the cores of the thread that starts it
	defer runtime.UnlockOSThread()
	if err := affinity(syscall.SYS_SCHED_SETAFFINITY, 0, &set); err != nil {
		return err
	}
	started := cmd.Start()
	if err := affinity(syscall.SYS_SCHED_SETAFFINITY, 0, &all); err != nil {
		return err
	}
	return started
}
