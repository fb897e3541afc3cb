package peers

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/apache/iceberg-go"
	"github.com/google/uuid"

	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/tail"
)

// answer is what a process tells of one table, as JSON.
type answer struct {
	// Process is who answers.
	Process string           `json:"process"`
	Rules   string           `json:"rules"`
	Reads   []topicPartition `json:"reads"`
	// Numbers are those of all chunks, Chunks those that are new to who asks.
	Numbers []uint64 `json:"numbers"`
	Chunks  []chunk  `json:"chunks"`
	// Manifest has the files of Chunks, in order.
	Manifest []byte `json:"manifest,omitempty"`
}

type topicPartition struct {
	Cluster   string    `json:"cluster"`
	TopicID   uuid.UUID `json:"topic_id"`
	Topic     string    `json:"topic"`
	Partition int32     `json:"partition"`
}

type chunk struct {
	Number   uint64    `json:"number"`
	Change   uuid.UUID `json:"change"`
	SchemaID int       `json:"schema_id"`
	Rows     int64     `json:"rows"`
	Files    int       `json:"files"`
	Spans    []span    `json:"spans"`
	// Keys are those of a keyed table's versions, eight bytes each, the lowest first.
	Keys []byte `json:"keys,omitempty"`
}

type span struct {
	topicPartition
	From  table.Offset `json:"from"`
	Next  table.Offset `json:"next"`
	First bool         `json:"first,omitempty"`
}

// keyBytes are those of a key.
const keyBytes = 8

// manifestVersion is the format of the manifests on the wire, of which both ends are firth.
const manifestVersion = 2

// encode makes the answer to who knows the chunks up to a number.
func encode(process string, told tail.Told, known func(number uint64) bool) (answer, error) {
	out := answer{Process: process, Rules: told.Rules, Numbers: told.Numbers}
	for _, id := range told.Reads {
		out.Reads = append(out.Reads, topicPartition(id))
	}
	var files []iceberg.DataFile
	for i, c := range told.Chunks {
		if known(told.Numbers[i]) {
			continue
		}
		each := chunk{Number: told.Numbers[i], Change: c.Change, SchemaID: c.SchemaID, Rows: c.Rows,
			Files: len(c.Files)}
		for _, key := range c.Keys {
			each.Keys = binary.LittleEndian.AppendUint64(each.Keys, key)
		}
		for id, s := range c.Spans {
			each.Spans = append(each.Spans, span{topicPartition(id), s.From, s.Next, s.First})
		}
		out.Chunks = append(out.Chunks, each)
		files = append(files, c.Files...)
	}
	var err error
	out.Manifest, err = encodeFiles(files)
	return out, err
}

// encodeFiles makes a manifest. Chunks are of no partition, so that it needs no schema.
func encodeFiles(files []iceberg.DataFile) ([]byte, error) {
	if len(files) == 0 {
		return nil, nil
	}
	var buf bytes.Buffer
	snapshotID := int64(0)
	w, err := iceberg.NewManifestWriter(manifestVersion, &buf, *iceberg.UnpartitionedSpec, iceberg.NewSchema(0),
		snapshotID)
	if err != nil {
		return nil, fmt.Errorf("encode files of chunks: %w", err)
	}
	for _, f := range files {
		if err := w.Add(iceberg.NewManifestEntry(iceberg.EntryStatusADDED, &snapshotID, nil, nil, f)); err != nil {
			return nil, fmt.Errorf("encode %s: %w", f.FilePath(), err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("encode files of chunks: %w", err)
	}
	return buf.Bytes(), nil
}

// decode is what an answer tells. Chunks that are not in it have their number alone.
func (a *answer) decode() (tail.Told, error) {
	out := tail.Told{Rules: a.Rules, Numbers: a.Numbers, Chunks: make([]tail.Chunk, len(a.Numbers))}
	for _, id := range a.Reads {
		out.Reads = append(out.Reads, table.TopicPartition(id))
	}
	files, err := decodeFiles(a.Manifest)
	if err != nil {
		return out, err
	}
	at := map[uint64]int{}
	for i, number := range a.Numbers {
		at[number] = i
	}
	for _, c := range a.Chunks {
		i, some := at[c.Number]
		if !some || c.Files < 0 || c.Files > len(files) {
			return out, fmt.Errorf("chunk %d has %d of %d files, or no place", c.Number, c.Files, len(files))
		}
		made := tail.Chunk{Change: c.Change, SchemaID: c.SchemaID, Rows: c.Rows, Files: files[:c.Files:c.Files],
			Spans: map[table.TopicPartition]tail.Span{}}
		for at := 0; at+keyBytes <= len(c.Keys); at += keyBytes {
			made.Keys = append(made.Keys, binary.LittleEndian.Uint64(c.Keys[at:]))
		}
		for _, s := range c.Spans {
			made.Spans[table.TopicPartition(s.topicPartition)] = tail.Span{From: s.From, Next: s.Next, First: s.First}
		}
		out.Chunks[i], files = made, files[c.Files:]
	}
	return out, nil
}

func decodeFiles(manifest []byte) ([]iceberg.DataFile, error) {
	if len(manifest) == 0 {
		return nil, nil
	}
	about := iceberg.NewManifestFile(manifestVersion, "", int64(len(manifest)), 0, 0).Build()
	entries, err := iceberg.ReadManifest(about, bytes.NewReader(manifest), false)
	if err != nil {
		return nil, fmt.Errorf("decode files of chunks: %w", err)
	}
	var files []iceberg.DataFile
	for _, e := range entries {
		files = append(files, e.DataFile())
	}
	return files, nil
}
