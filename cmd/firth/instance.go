package main

import (
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"

	"github.com/firthlake/firth/ingest/source"
)

// instance is this process's place in the consumer groups: a process that is started again after a
// crash has the same one and takes its partitions at once, where another has to wait for the end of
// the dead one's session. The place is what the configuration calls it, or a host and a configuration
// file; the lock on that file, which the system gives back however a process ends, makes sure that no
// two live processes of a host have it. One without a place is a member like any other.
type instance struct {
	name string // empty without a place
	lock *os.File
}

// errNoPlace says that a live process on this host has the configuration's place.
var errNoPlace = errors.New("another process runs on this configuration")

// claimInstance takes the place of a configuration file, or the one of this name. The caller closes it.
func claimInstance(file, name string) (*instance, error) {
	if file == "" {
		return &instance{}, nil
	}
	path, err := filepath.Abs(file)
	if err != nil {
		return &instance{}, fmt.Errorf("claim a place in the consumer group: %w", err)
	}
	host, err := os.Hostname()
	if err != nil {
		return &instance{}, fmt.Errorf("claim a place in the consumer group: %w", err)
	}
	lock, err := os.Open(path)
	if err != nil {
		return &instance{}, fmt.Errorf("claim a place in the consumer group: %w", err)
	}
	if err := hold(lock); err != nil {
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = errNoPlace
		}
		return &instance{}, fmt.Errorf("lock %s: %w", path, err)
	}
	if name == "" {
		name = host + "-" + digest(path)
	}
	return &instance{name: word(name), lock: lock}, nil
}

// leave gives the place up: the process goes on as a member like any other.
func (i *instance) leave() { i.name = "" }

// close gives the place to the next process.
func (i *instance) close() {
	if i.lock != nil {
		_ = i.lock.Close() // nothing was written to it
	}
}

// id is the instance id of a member that reads these topics, or empty. A member that reads others is
// another one: the group would give it back what it read before.
func (i *instance) id(o source.KafkaOptions) string {
	if i.name == "" {
		return ""
	}
	return i.name + "-" + digest(slices.Concat(o.Brokers, []string{"topics"}, o.Topics,
		[]string{"patterns"}, o.Patterns)...)
}

// placeCharsMax keeps ids below the 249 characters that Kafka takes.
const placeCharsMax = 200

// word is the name of a place in the characters that Kafka takes. The end tells places of long names
// apart, so the head goes.
func word(name string) string {
	name = regexp.MustCompile(`[^A-Za-z0-9._-]`).ReplaceAllString(name, "_")
	return name[max(0, len(name)-placeCharsMax):]
}

func digest(words ...string) string {
	h := fnv.New64a()
	_, _ = h.Write([]byte(strings.Join(words, "\x00"))) // a hash takes everything
	return fmt.Sprintf("%016x", h.Sum64())
}
