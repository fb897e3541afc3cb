//go:build duckdb_arrow

package duckdb

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"sync"
)

// database is an instance for statements, one at a time, which a pool keeps between them.
type database struct {
	*instance
	spill string
	// seen are the files that it was told of. It keeps their footers.
	seen map[string]bool
}

// seenMax is how many files a database may have seen. Then it is closed, with the footers that it keeps: some 10 KB of
// memory a file of ten columns, 1 MB of one with hundreds.
const seenMax = 256

// pool keeps databases: to open one takes 20 ms, longer than many a statement.
type pool struct {
	opts Options

	mu     sync.Mutex
	closed bool
	opened int64 // so far, for the names of their folders
	idle   []*database
}

func newPool(opts Options) *pool { return &pool{opts: opts} }

// take returns a database with an open transaction, for the files of paths. The caller gives it back or closes it.
func (p *pool) take(paths []string) (*database, error) {
	d, err := p.idleOrNew()
	if err != nil {
		return nil, err
	}
	for _, path := range paths {
		d.seen[path] = true
	}
	if err := d.exec("BEGIN TRANSACTION"); err != nil {
		d.close()
		return nil, err
	}
	return d, nil
}

func (p *pool) idleOrNew() (*database, error) {
	p.mu.Lock()
	last := len(p.idle) - 1
	if last >= 0 {
		defer p.mu.Unlock()
		d := p.idle[last]
		p.idle = p.idle[:last]
		return d, nil
	}
	p.opened++
	number := p.opened
	p.mu.Unlock()
	return openDatabase(p.opts, number)
}

// give takes a database back, as it was before the statement. Rolling back leaves nothing of one: a query changes no
// settings, and the tables that it saw were made in the transaction.
func (p *pool) give(d *database) {
	if err := d.exec("ROLLBACK"); err != nil || d.spilled() || len(d.seen) > seenMax || !p.keep(d) {
		d.close()
	}
}

// spilled says whether something of a statement is on disk still.
func (d *database) spilled() bool {
	left, err := os.ReadDir(d.spill) // which is not there until something is spilled
	return err == nil && len(left) > 0
}

// keep says whether there is room for d.
func (p *pool) keep(d *database) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || len(p.idle) >= p.opts.StatementsMax {
		return false
	}
	p.idle = append(p.idle, d)
	return true
}

// close closes what is idle. What is given back later is closed then.
func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	idle := p.idle
	p.idle = nil
	p.mu.Unlock()
	for _, d := range idle {
		d.close()
	}
}

// openDatabase opens a database that may read the files in the folder of opts and nothing else.
func openDatabase(opts Options, number int64) (*database, error) {
	spill := filepath.Join(opts.Dir, "spill-"+strconv.FormatInt(number, 36))
	settings := closedSettings()
	settings["threads"] = strconv.Itoa(opts.Threads)
	settings["memory_limit"] = bytesText(opts.MemoryMax / int64(opts.StatementsMax))
	settings["temp_directory"] = spill
	settings["preserve_insertion_order"] = "false"
	opened, err := openInstance(settings)
	if err != nil {
		return nil, err
	}
	d := &database{instance: opened, spill: spill, seen: map[string]bool{}}
	if err := errors.Join(d.exec(openStatements(opts)...), d.exec(enclose(opts.Dir)...)); err != nil {
		d.close()
		return nil, err
	}
	return d, nil
}

// openStatements are settings that DuckDB does not take, or keep, when a database is opened with them.
func openStatements(opts Options) []string {
	return []string{
		"SET max_temp_directory_size = " + quoteText(bytesText(opts.SpillBytesMax)),
		// Files get more parts while they are there: what was read of one may have been a hole then. A footer is there
		// before anybody knows the file, and no other file ever has its path.
		"SET enable_external_file_cache = false", "SET parquet_metadata_cache = true",
	}
}

func bytesText(n int64) string { return strconv.FormatInt(n>>20, 10) + "MiB" }

// close closes the database and removes what it has spilled.
func (d *database) close() {
	d.instance.close()
	_ = os.RemoveAll(d.spill) // what stays goes with the folder
}
