package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/firthlake/firth/ingest"
)

// healthy says why the process should be replaced.
func (s *service) healthy() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fault
}

// ready says why the process does not do all its work.
func (s *service) ready() error {
	if err := s.healthy(); err != nil {
		return err
	}
	var found []error
	for _, t := range s.tables() {
		trouble := strings.TrimPrefix(t.Trouble, "table "+t.Table+": ")
		switch {
		case t.State == ingest.StateStopped:
			found = append(found, fmt.Errorf("table %s is stopped: %s", t.Table, trouble))
		case t.State == ingest.StateActive && trouble != "":
			found = append(found, fmt.Errorf("table %s: %s", t.Table, trouble))
		}
	}
	for _, trouble := range s.troubles() {
		found = append(found, errors.New(trouble))
	}
	return errors.Join(found...)
}

// troubles are what the sources of the running generation go on retrying.
func (s *service) troubles() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.feed == nil {
		return nil
	}
	var out []string
	for _, g := range s.feed.ingesters {
		out = append(out, g.Progress().Troubles...)
	}
	return out
}
