package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"

	"github.com/apache/iceberg-go"

	"github.com/firthlake/firth/ingest"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/keyed"
)

// keysOf is the key index of a table, one in this process, which generations of ingesters hand on.
func (f *feeder) keysOf(t *table.Table, keyedTables int) *ingest.Keys {
	id := t.Metadata().TableUUID()
	if keys := f.keys[id]; keys != nil {
		return keys
	}
	var keys *ingest.Keys
	keys = ingest.NewKeys(func(ctx context.Context, t *table.Table) (ingest.KeyIndex, error) {
		folder, err := f.indexFolder(id.String())
		if err != nil {
			return nil, err
		}
		return keyed.Open(ctx, f.lake.objects, t, keyed.Options{Dir: folder, Salt: rand.Uint64, Log: f.log,
			MemoryBytes: indexBytes(f.lake.config.Limits.Memory, keyedTables), Parallel: f.workers(),
			Arriving: func(ctx context.Context, t *table.Table, files []iceberg.DataFile) {
				keys.Prepare(ctx, t, files)
			}})
	})
	f.keys[id] = keys
	return keys
}

// indexFolder makes the folder of a table's index. It is in the state folder for the process that has the
// configuration's place, so that no two processes of a host share it; others keep their index as long as
// they live.
func (f *feeder) indexFolder(table string) (string, error) {
	state := f.spillDir
	if f.place.lock != nil && f.lake.config.State != "" {
		state = f.lake.config.State
	}
	folder := filepath.Join(state, "index", table)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return "", couldNot(fmt.Errorf("make folder of the key index: %w", err),
			"set state in the configuration to a local folder that can be written to")
	}
	return folder, nil
}

// closeKeys closes the indexes. Nobody uses them any more.
func (f *feeder) closeKeys() {
	for _, keys := range f.keys {
		if err := keys.Close(); err != nil {
			f.log.Warn("close key index", "err", err) // it is made anew when it is not whole
		}
	}
}
