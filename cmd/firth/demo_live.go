package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/firthlake/firth/ingest"
	"github.com/firthlake/firth/ingest/source"
)

// How often the live demo does things.
const (
	showTerminal = time.Second
	showPlain    = 10 * time.Second
	proveEvery   = 5 * time.Second
	retainEvery  = 30 * time.Second
	// retainRecords is how many committed records a partition of the demo's topic keeps, so that a
	// demo that runs for days fills no disk; it is enough for 'verify --deep' to compare with.
	retainRecords = 500_000
)

// welcome says what runs and what to do with it.
func (d *demo) welcome(url string) string {
	dir := d.options.dir
	c := shellWord(filepath.Join(dir, "firth.yaml"))
	return fmt.Sprintf(`firth demo: broker %s, table %s, catalog %s, all data in %s

Look at it from another terminal:
  %[6]s tables -c %[5]s
  %[6]s read %[2]s -c %[5]s --limit 5
  %[6]s verify %[2]s -c %[5]s --deep
  %[6]s topics -c %[5]s

Read it with
  DuckDB     INSTALL iceberg; LOAD iceberg;
             ATTACH 'main' AS firth (TYPE iceberg, ENDPOINT '%[3]s', AUTHORIZATION_TYPE 'none');
             SELECT count(*), max(ts) FROM firth.%[2]s;
             ATTACH 'live' AS now (TYPE iceberg, ENDPOINT '%[3]s', AUTHORIZATION_TYPE 'none');
             SELECT count(*), max(ts) FROM now.%[2]s;   -- with what was read and is not committed yet
  PyIceberg  from pyiceberg.catalog import load_catalog
             load_catalog("firth", uri="%[3]s", warehouse="main").load_table("%[2]s").scan(limit=5).to_arrow()
  Spark      spark-sql --packages org.apache.iceberg:iceberg-spark-runtime-4.0_2.13:1.11.0 \
               --conf spark.sql.catalog.firth=org.apache.iceberg.spark.SparkCatalog \
               --conf spark.sql.catalog.firth.type=rest --conf spark.sql.catalog.firth.uri=%[3]s \
               -e 'SELECT count(*) FROM firth.%[2]s'

Stop it with Ctrl-C; the next start goes on where it stopped.

`, d.broker.Connection().Brokers[0], demoTable, url, dir, c, shellWord(d.program.self))
}

// generateAndShow runs the generator until ctx ends, and shows progress until it has. It returns once
// ingest has read what was produced, or when lasting ends.
func (d *demo) generateAndShow(ctx, lasting context.Context) error {
	produced := make(chan error, 1)
	generator, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		_, err := d.produce(generator)
		produced <- err
	}()
	every := showPlain
	if d.program.terminal {
		every = showTerminal
	}
	show, prove, retain := time.NewTicker(every), time.NewTicker(proveEvery), time.NewTicker(retainEvery)
	defer show.Stop()
	defer prove.Stop()
	defer retain.Stop()
	proof := "not checked yet"
	for {
		select {
		case err := <-produced:
			d.line("\n")
			if err != nil || ctx.Err() == nil && d.options.rows == 0 {
				return err
			}
			// With --rows the service goes on when all are out, for people to look at it.
			select {
			case <-ctx.Done():
			case <-lasting.Done():
			}
			return nil
		case <-lasting.Done():
			stop()
			return <-produced
		case <-show.C:
			d.show(proof)
		case <-prove.C:
			proof = d.prove(ctx)
		case <-retain.C:
			d.retain(ctx)
		}
	}
}

// show writes one line of progress.
func (d *demo) show(proof string) {
	for _, t := range d.service.tables() {
		if t.Table != demoTable {
			continue
		}
		line := fmt.Sprintf("%s rows/s, %s rows committed in %s commits, %s files, %s behind, %s",
			count(int64(t.RowsPerSecond)), count(t.Committed.Inserted), count(t.Commits), count(t.Files),
			age(t.UncommittedAge), proof)
		if t.State != ingest.StateActive {
			line = fmt.Sprintf("%s: %s", t.State, t.Trouble)
		}
		if d.program.terminal {
			d.line("\r\x1b[K" + line)
		} else {
			d.line(line + "\n")
		}
	}
}

// line writes progress, which is for people only.
func (d *demo) line(text string) {
	if !d.program.json {
		fmt.Fprint(d.program.stderr, text)
	}
}

// prove checks the ledger against the files.
func (d *demo) prove(ctx context.Context) string {
	t, err := d.lake.loadTable(ctx, demoTable)
	if err != nil {
		return "not checked: " + err.Error()
	}
	report, err := verifyTable(ctx, d.lake, t, verifyOptions{})
	switch {
	case err != nil:
		return "not checked: " + err.Error()
	case report.Proven:
		return "proven"
	}
	return fmt.Sprintf("NOT PROVEN: %d faults", len(report.Faults))
}

// retain lets the broker forget what the table has had for long.
func (d *demo) retain(ctx context.Context) {
	d.service.mu.Lock()
	committer := d.service.feed.committers[demoTable]
	d.service.mu.Unlock()
	if committer == nil {
		return
	}
	if err := source.Retain(ctx, d.admin, committer.Position(), retainRecords); err != nil &&
		ctx.Err() == nil {
		d.service.log.Warn("let the broker forget old records", "err", err)
	}
}

// farewell says where things stand at the end.
func (d *demo) farewell(ctx context.Context) error {
	t, err := d.lake.loadTable(ctx, demoTable)
	if err != nil {
		return err
	}
	s := summarize(t)
	fmt.Fprintf(d.program.stderr, "stopped: %s holds %s rows in %s files; to go on:  %s demo --dir %s\n",
		demoTable, count(s.Rows), count(s.DataFiles), shellWord(d.program.self), shellWord(d.options.dir))
	return nil
}
