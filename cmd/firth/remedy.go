package main

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/compaction/orphans"
	"github.com/firthlake/firth/ingest/decode"
	"github.com/firthlake/firth/ingest/registry"
	"github.com/firthlake/firth/ingest/source"
	"github.com/firthlake/firth/serve/flight"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/objstore"
)

// remedyOf says what a person can do about an error, by its kind. docs/operations.md has the same
// table; an error that names its remedy itself has none here.
func remedyOf(err error) string {
	var gone *source.OutOfRangeError
	if errors.As(err, &gone) && gone.Wanted < gone.First {
		return fmt.Sprintf("these rows are gone; 'firth accept-loss TABLE --topic %s --partition %d --to %d' "+
			"records that in the ledger and goes on", gone.TopicPartition.Topic,
			gone.TopicPartition.Partition, gone.First)
	}
	for _, r := range []struct {
		kind   error
		remedy string
	}{
		{commit.ErrTopicRecreated, "if the topic was re-created on purpose, feed a new table from it, " +
			"or point the source back to the old topic"},
		{commit.ErrClusterChanged,
			"check the brokers of the cluster in firth.yaml: another cluster answers there"},
		{commit.ErrFenced, "another process feeds the table: stop one of them, or give both the same group"},
		{commit.ErrDamaged, "'firth verify TABLE' says where; restore an older metadata file"},
		{orphans.ErrIncomplete, "'firth verify TABLE' says which are missing; nothing was removed"},
		{orphans.ErrShared, "move one of them: each needs a location of its own; nothing was removed"},
		{objstore.ErrNoBucket, "create the bucket or folder, or correct warehouse.location"},
		{objstore.ErrPermission, "check warehouse.s3.access_key and secret_key, and what they may do"},
		{objstore.ErrFull, "make room and start again: nothing was lost"},
		{objstore.ErrBadLocation, "correct warehouse.location"},
		{registry.ErrUnknownSubject, "check the subject's name in the spec and registry.urls"},
		{registry.ErrUnavailable, "check registry.urls and that the registry runs"},
		{decode.ErrRegistry, "check registry.urls and that the registry runs"},
		{flight.ErrUnreachable, "check --url, and that the server runs with --flight"},
		{flight.ErrToken, "give --token, or the right one: tokens.read or tokens.write of the server"},
		{table.ErrConflict, "somebody else changed the table meanwhile: run the command again"},
		{table.ErrStateUnknown, "run the command again: what landed is recognised"},
		{table.ErrNotFound, "'firth tables' lists the tables"},
		{source.ErrUnreachable, "check clusters.*.brokers in firth.yaml and that Kafka runs"},
		{source.ErrInstanceTaken, "give every process a host name or an instance of its own"},
		{source.ErrCredentials, "check clusters.*.sasl in firth.yaml"},
		{source.ErrTLS, "check clusters.*.tls and the port in clusters.*.brokers in firth.yaml"},
		{syscall.EADDRINUSE,
			"another process listens there: stop it, or choose another address under listen"},
		{syscall.ECONNREFUSED, "nothing listens there: check the address, and that the server runs"},
		{syscall.ENOSPC, "make room and start again: nothing was lost"},
		{fs.ErrPermission, "check the owner and mode of the file or folder"},
	} {
		if errors.Is(err, r.kind) {
			return r.remedy
		}
	}
	return ""
}
