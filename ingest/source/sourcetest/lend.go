package sourcetest

import (
	"bytes"
	"slices"

	"github.com/firthlake/firth/ingest/source"
)

// poison is what released bytes are overwritten with: it is no JSON, no Avro that makes sense and no
// text.
const poison = 0xDB

// lend gives the chunk a copy of its records and spoils that when the chunk is released, so that
// whoever reads on reads rubbish.
func lend(chunk *source.Chunk) {
	records := slices.Clone(chunk.Records)
	for i := range records {
		r := &records[i]
		r.Key, r.Value = bytes.Clone(r.Key), bytes.Clone(r.Value)
		r.Headers = slices.Clone(r.Headers)
		for k := range r.Headers {
			r.Headers[k].Value = bytes.Clone(r.Headers[k].Value)
		}
	}
	chunk.Records = records
	chunk.Lend(func() { spoil(records) })
}

func spoil(records []source.Record) {
	for i := range records {
		r := &records[i]
		fill(r.Key)
		fill(r.Value)
		for _, h := range r.Headers {
			fill(h.Value)
		}
		r.Offset, r.Timestamp = -1, -1
		r.Headers = nil
	}
}

func fill(b []byte) {
	for i := range b {
		b[i] = poison
	}
}
