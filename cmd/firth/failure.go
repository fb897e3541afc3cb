package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
)

// The exit codes of all commands. verify gives them its own meaning of the same kind: proven, falls
// short, could not check.
const (
	exitOK         = 0
	exitFallsShort = 1
	exitCouldNot   = 2
)

// failure is an error with its exit code and what a person can do about it.
type failure struct {
	code   int
	err    error
	remedy string
}

func (f *failure) Error() string { return f.err.Error() }

func (f *failure) Unwrap() error { return f.err }

// couldNot says that a command was not able to do its work.
func couldNot(err error, remedy string) error {
	return &failure{code: exitCouldNot, err: err, remedy: remedy}
}

// fallsShort says that a command did its work and the answer is no.
func fallsShort(err error, remedy string) error {
	return &failure{code: exitFallsShort, err: err, remedy: remedy}
}

// remedyFor is the remedy that the error carries, or that of its kind.
func remedyFor(err error) string {
	var f *failure
	if errors.As(err, &f) && f.remedy != "" {
		return f.remedy
	}
	return remedyOf(err)
}

// withRemedy are the attributes of an error in a log line, with its remedy when there is one.
func withRemedy(err error) []any {
	if remedy := remedyFor(err); remedy != "" {
		return []any{"err", err, "remedy", remedy}
	}
	return []any{"err", err}
}

// report prints an error where people and programs look for it and returns its exit code.
func (p *program) report(err error) int {
	f := &failure{code: exitCouldNot, err: err}
	errors.As(err, &f)
	remedy := remedyFor(err)
	if errors.Is(err, context.Canceled) && remedy == "" {
		remedy = "it was interrupted; start it again"
	}
	if p.json {
		line, jsonErr := json.Marshal(struct {
			Error    string `json:"error"`
			Remedy   string `json:"remedy,omitempty"`
			ExitCode int    `json:"exit_code"`
		}{err.Error(), remedy, f.code})
		if jsonErr == nil {
			fmt.Fprintf(p.stderr, "%s\n", line)
			return f.code
		}
	}
	fmt.Fprintf(p.stderr, "firth: %v\n", err)
	if remedy != "" {
		fmt.Fprintf(p.stderr, "       %s\n", remedy)
	}
	return f.code
}
