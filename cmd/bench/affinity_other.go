//go:build !linux

package main

import (
	"errors"
	"os/exec"
)

// coreSet is a set of cores; only Linux lets a program choose them.
type coreSet struct{}

func (s coreSet) first(int) coreSet { return s }
func (coreSet) count() int          { return 0 }

func ownCores() (coreSet, error)       { return coreSet{}, nil }
func pin(int, coreSet) error           { return errors.ErrUnsupported }
func startOn(*exec.Cmd, coreSet) error { return errors.ErrUnsupported }
