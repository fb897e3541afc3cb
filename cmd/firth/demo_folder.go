package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/firthlake/firth/ingest/gen"
)

// What a demo makes.
const (
	demoTable      = "db.events"
	demoTopic      = "events"
	demoPartitions = 8
)

// demoSpec is the table spec that a new folder gets.
const demoSpec = `# The table of the demo. Edit it, then run:  firth apply -c firth.yaml  (in this folder)
name: db.events
schema:
  columns:
    - {name: event_id, type: string}
    - {name: user_id, type: long}
    - {name: event_type, type: string}
    - {name: ts, type: timestamptz, format: ms}
    - {name: url, type: string}
    - {name: amount, type: double}
    - {name: quantity, type: int}
    - {name: country, type: string}
    - {name: is_mobile, type: boolean}
    - {name: session, type: string}
sources:
  - topics: [events]
    format: json
freshness: {interval: 2s}
`

// demoConfig is the configuration of the folder; the broker listens elsewhere after each start.
const demoConfig = `# Written by 'firth demo' at each start, for the other commands:  firth tables -c %s
clusters:
  default: {brokers: [%s]}
catalog: {store: catalog.db}
` + demoWarehouse + `tables: tables
`

// demoWarehouse is the warehouse in the folder.
const demoWarehouse = "warehouse: {location: warehouse}\n"

// demoFolder is the folder that a demo keeps everything in. One process has it at a time.
type demoFolder struct {
	path string
	lock *os.File
	disk func(folder string) (disk, error) // looks at the disk
}

// openDemoFolder makes the folder and takes its lock.
func openDemoFolder(path string) (*demoFolder, error) {
	if err := os.MkdirAll(filepath.Join(path, "tables"), 0o755); err != nil {
		return nil, couldNot(fmt.Errorf("make folder: %w", err), "choose another with --dir")
	}
	lock, err := os.OpenFile(filepath.Join(path, "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, couldNot(fmt.Errorf("lock folder: %w", err), "choose another with --dir")
	}
	if err := hold(lock); err != nil {
		return nil, couldNot(fmt.Errorf("folder %s is in use by another demo", path),
			"stop it, or choose another folder with --dir")
	}
	f := &demoFolder{path: path, lock: lock, disk: diskOf}
	spec := filepath.Join(path, "tables", "events.yaml")
	if _, err := os.Stat(spec); errors.Is(err, os.ErrNotExist) {
		if err := writeWhole(spec, []byte(demoSpec)); err != nil {
			return nil, errors.Join(fmt.Errorf("write spec: %w", err), f.lock.Close())
		}
	}
	return f, nil
}

// close gives the folder to the next process.
func (f *demoFolder) close() { _ = f.lock.Close() } // nothing was written to it

func (f *demoFolder) broker() string { return filepath.Join(f.path, "broker") }

// writeConfig writes firth.yaml for the other commands and returns the same configuration.
func (f *demoFolder) writeConfig(brokers []string) (config, error) {
	path := filepath.Join(f.path, "firth.yaml")
	text := fmt.Sprintf(demoConfig, path, strings.Join(brokers, ", "))
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		return config{}, fmt.Errorf("write configuration: %w", err)
	}
	c := folderConfig(f.path)
	c.file = path
	c.Clusters = map[string]clusterConfig{"default": {Brokers: brokers}}
	c.Group = "firth-demo"
	return c, nil
}

// generated is the state of the generator in the folder. Rows below Next may have been produced, those
// from Next on have not, so a killed run skips rows and never repeats one.
type generated struct {
	Next int64 `json:"next_row"`
}

// reservation is how many rows a generator without an end takes at once.
const reservation = 1 << 20

func (f *demoFolder) statePath() string { return filepath.Join(f.path, "generator.json") }

func (f *demoFolder) readState() (generated, error) {
	var s generated
	text, err := os.ReadFile(f.statePath())
	if errors.Is(err, os.ErrNotExist) {
		return s, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &s)
	}
	if err != nil {
		return s, fmt.Errorf("read generator's state: %w", err)
	}
	return s, nil
}

// writeState puts the state on disk before anything relies on it.
func (f *demoFolder) writeState(s generated) error {
	text, err := json.Marshal(s)
	if err == nil {
		err = writeWhole(f.statePath(), text)
	}
	if err != nil {
		return fmt.Errorf("write generator's state: %w", err)
	}
	return nil
}

// writeWhole writes a file so that a full disk or a crash leaves the old one or none.
func writeWhole(path string, text []byte) error {
	if err := os.WriteFile(path+".new", text, 0o644); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// produce generates rows until --rows are out or ctx ends, and returns how many the broker has.
func (d *demo) produce(ctx context.Context) (int64, error) {
	g, err := gen.New(gen.Options{Workload: "events10", Format: gen.JSON, Seed: d.options.seed})
	if err != nil {
		return 0, err
	}
	state, err := d.folder.readState()
	if err != nil {
		return 0, err
	}
	var total int64
	for ctx.Err() == nil && (d.options.rows == 0 || total < d.options.rows) {
		run := gen.Run{From: state.Next, Rows: reservation, Rate: d.options.rate}
		if d.options.rows > 0 {
			run.Rows = min(run.Rows, d.options.rows-total)
		}
		if err := d.folder.writeState(generated{Next: run.From + run.Rows}); err != nil {
			return total, err
		}
		totals, err := gen.Produce(ctx, d.broker.Connection(), demoTopic, g, run)
		if totals != nil {
			total += totals.Rows
			state.Next = run.From + totals.Rows
		}
		if err != nil {
			return total, err
		}
	}
	return total, d.folder.writeState(state)
}
