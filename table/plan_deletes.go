package table

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"

	"github.com/firthlake/firth/table/objstore"
	"github.com/firthlake/firth/table/vector"
)

// deleteIndex finds the deletes that apply to a data file (Iceberg spec, "Scan Planning").
type deleteIndex struct {
	vectors     map[string][]deleteEntry // by data file
	byFile      map[string][]deleteEntry // position deletes of one data file
	byPartition map[string][]deleteEntry // position deletes of any file of a partition
	equality    map[string][]deleteEntry // by partition; "" is all partitions
}

type deleteEntry struct {
	file     iceberg.DataFile
	sequence int64
}

func newDeleteIndex() *deleteIndex {
	return &deleteIndex{
		vectors: map[string][]deleteEntry{}, byFile: map[string][]deleteEntry{},
		byPartition: map[string][]deleteEntry{}, equality: map[string][]deleteEntry{},
	}
}

func (x *deleteIndex) add(file iceberg.DataFile, sequence int64) {
	found := deleteEntry{file: file, sequence: sequence}
	target, into := partitionKey(file), x.byPartition
	path := vector.DataFile(file)
	switch {
	case file.ContentType() == iceberg.EntryContentEqDeletes:
		into = x.equality
		if len(file.Partition()) == 0 {
			target = ""
		}
	case icetable.IsDeletionVector(file):
		target, into = path, x.vectors
	case path != "":
		target, into = path, x.byFile
	}
	into[target] = append(into[target], found)
}

// WithDeletes returns the tasks with other deletes by position: those of entries that apply to each.
func WithDeletes(tasks []Task, entries []Entry) ([]Task, error) {
	deletes := newDeleteIndex()
	for _, e := range entries {
		deletes.add(e.File, e.SequenceNumber)
	}
	out := slices.Clone(tasks)
	for i := range out {
		var err error
		if out[i].Deletes, err = deletes.find(out[i].File, out[i].SequenceNumber); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// findEqual returns the equality deletes of a data file: those of its partition, or of all, that are newer.
func (x *deleteIndex) findEqual(meta icetable.Metadata, file iceberg.DataFile, sequence int64,
) ([]EqualityDelete, error) {
	if len(x.equality) == 0 {
		return nil, nil
	}
	var found []EqualityDelete
	for _, partition := range []string{"", partitionKey(file)} {
		for _, entry := range x.equality[partition] {
			if entry.sequence <= sequence {
				continue
			}
			fields, err := equalityFields(meta, entry.file)
			if err != nil {
				return nil, err
			}
			group := partition
			for _, field := range fields {
				group += fmt.Sprintf("#%d", field.ID)
			}
			found = append(found, EqualityDelete{File: entry.file, SequenceNumber: entry.sequence, fields: fields,
				group: group})
		}
	}
	return found, nil
}

// DeadEqualityDeletes are the equality delete files of the newest snapshot that apply to no data file: all
// of theirs are as new as they are.
func DeadEqualityDeletes(ctx context.Context, t *Table, store objstore.Store) ([]iceberg.DataFile, error) {
	head := t.Metadata().CurrentSnapshot()
	if head == nil || head.Summary == nil {
		return nil, nil
	}
	switch head.Summary.Properties[totalEqualityDeletes] {
	case "", "0":
		return nil, nil // no manifest need be read
	}
	oldest := map[string]int64{} // sequence number of data files by partition; "" is all
	var deletes []Entry
	for e, err := range Entries(ctx, t, store, head.SnapshotID) {
		switch {
		case err != nil:
			return nil, err
		case e.File.ContentType() == iceberg.EntryContentEqDeletes:
			deletes = append(deletes, e)
		case e.File.ContentType() == iceberg.EntryContentData:
			for _, partition := range []string{"", partitionKey(e.File)} {
				if known, ok := oldest[partition]; !ok || e.SequenceNumber < known {
					oldest[partition] = e.SequenceNumber
				}
			}
		}
	}
	var dead []iceberg.DataFile
	for _, e := range deletes {
		partition := ""
		if len(e.File.Partition()) > 0 {
			partition = partitionKey(e.File)
		}
		if sequence, ok := oldest[partition]; !ok || sequence >= e.SequenceNumber {
			dead = append(dead, e.File)
		}
	}
	return dead, nil
}

// totalEqualityDeletes is the property of a snapshot's summary that tells whether there are any.
const totalEqualityDeletes = "total-equality-deletes"

// find returns the position deletes and vectors of a data file with the data sequence number given.
func (x *deleteIndex) find(file iceberg.DataFile, sequence int64) ([]iceberg.DataFile, error) {
	key := partitionKey(file)
	var vectors []iceberg.DataFile
	for _, entry := range x.vectors[file.FilePath()] {
		if entry.sequence >= sequence {
			vectors = append(vectors, entry.file)
		}
	}
	switch len(vectors) {
	case 0:
	case 1:
		return vectors, nil // it holds what position deletes say too
	default:
		return nil, fmt.Errorf("data file %s has %d deletion vectors (%s, %s, …): the table is "+
			"damaged, the spec allows one", file.FilePath(), len(vectors), vectors[0].FilePath(),
			vectors[1].FilePath())
	}
	var deletes []iceberg.DataFile
	for _, entry := range slices.Concat(x.byFile[file.FilePath()], x.byPartition[key]) {
		if entry.sequence >= sequence {
			deletes = append(deletes, entry.file)
		}
	}
	return deletes, nil
}

// partitionKey tells partitions apart, those of different specs too.
func partitionKey(file iceberg.DataFile) string {
	var key strings.Builder
	fmt.Fprintf(&key, "%d", file.SpecID())
	partition := file.Partition()
	ids := make([]int, 0, len(partition))
	for id := range partition {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, id := range ids {
		switch v := partition[id].(type) {
		case nil:
			fmt.Fprintf(&key, "/%d", id)
		case []byte:
			fmt.Fprintf(&key, "/%d=%q", id, v)
		default:
			fmt.Fprintf(&key, "/%d=%q", id, fmt.Sprint(v))
		}
	}
	return key.String()
}
