package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/firthlake/firth/catalog"
	"github.com/firthlake/firth/ingest/decode"
	"github.com/firthlake/firth/serve/flight"
	"github.com/firthlake/firth/serve/live"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/filter"
	"github.com/firthlake/firth/table/objstore"
)

// seamBack chooses where reads begin: most look at window offsets before the cut, every whole-th at all.
type seamBack struct{ window, whole, reads int64 }

// What readers of bench seam look at.
const (
	seamWindow = 100_000
	seamWhole  = 10
)

func (b *seamBack) from(cut int64) int64 {
	if b.reads++; b.reads%b.whole == 0 {
		return 0
	}
	return max(0, cut-b.window)
}

// liveDoor is the live catalog.
type liveDoor struct {
	url    string
	store  objstore.Store
	remote *catalog.Remote
}

// load loads a table as it is now, and where it ends in a partition of a topic.
func (d *liveDoor) load(ctx context.Context, name, topic string, partition int32) (*table.Table, int64, error) {
	if d.remote == nil {
		var err error
		config := catalog.RemoteConfig{URI: d.url, Warehouse: "live"}
		if d.remote, err = catalog.DialRemote(ctx, config, http.DefaultClient); err != nil {
			return nil, 0, err
		}
	}
	ident, err := table.ParseIdent(name)
	if err != nil {
		return nil, 0, err
	}
	t, err := d.remote.LoadTable(ctx, ident)
	if err != nil {
		return nil, 0, err
	}
	cut, err := cutOf(t, topic, partition)
	return t, cut, err
}

// liveWay reads files by the metadata of the live catalog, as engines do.
type liveWay struct {
	seamBack
	liveDoor
	partition int32
}

// read reads the partition's offsets up to the cut of the table as it is now.
func (r *liveWay) read(ctx context.Context) (found seamRead, err error) {
	var t *table.Table
	if t, found.cut, err = r.load(ctx, demoTable, demoTopic, r.partition); err != nil || found.cut == 0 {
		return found, err
	}
	found.from = r.from(found.cut)
	return found, r.scan(ctx, t, &found)
}

// cutOf is where a table as of now ends in a partition of a topic.
func cutOf(t *table.Table, topic string, partition int32) (int64, error) {
	snapshot := t.Metadata().CurrentSnapshot()
	if snapshot == nil || snapshot.Summary == nil {
		return 0, errors.New("the table has no snapshot")
	}
	cuts := map[string]map[string]int64{}
	text := snapshot.Summary.Properties[live.SummaryOffsets]
	if err := json.Unmarshal([]byte(text), &cuts); err != nil {
		return 0, fmt.Errorf("read %s %q: %w", live.SummaryOffsets, text, err)
	}
	return cuts[topic][strconv.Itoa(int(partition))], nil
}

// scan counts offsets.
func (r *liveWay) scan(ctx context.Context, t *table.Table, found *seamRead) error {
	where, err := filter.Parse(fmt.Sprintf("%s = %d and %s >= %d", decode.ColumnPartition, r.partition,
		decode.ColumnOffset, found.from))
	if err != nil {
		return err
	}
	tasks, err := table.Plan(ctx, t, r.store, table.Scan{Filter: where,
		Columns: []string{decode.ColumnOffset, decode.ColumnTimestamp}})
	if err != nil {
		return err
	}
	seen := make([]bool, found.cut-found.from)
	for _, task := range tasks {
		for batch, err := range table.Read(ctx, r.store, task) {
			if err != nil {
				return err
			}
			found.take(batch, seen)
		}
	}
	for _, there := range seen {
		if !there {
			found.gaps++
		}
	}
	return nil
}

func (f *seamRead) take(batch arrow.RecordBatch, seen []bool) {
	offsets, times := batch.Column(0).(*array.Int64), batch.Column(1).(*array.Timestamp)
	for i, offset := range offsets.Int64Values() {
		f.rows++
		f.newest = max(f.newest, int64(times.Value(i)))
		at := offset - f.from
		if at < 0 || at >= int64(len(seen)) || seen[at] {
			f.duplicates++ // or beyond the cut, which the next read would have again
			continue
		}
		seen[at] = true
	}
}

// flightDoor is Flight SQL. A client waits longer and longer for a server that is down, so each start of it gets a new
// one.
type flightDoor struct {
	url     string
	epoch   func() int64
	client  *flight.Client
	dialled int64 // the epoch of client
}

// run runs a statement. The caller releases the answer.
func (d *flightDoor) run(ctx context.Context, sql string) (array.RecordReader, error) {
	if epoch := d.epoch(); epoch != d.dialled {
		client, err := flight.Dial(d.url, "")
		if err != nil {
			return nil, err
		}
		if d.client != nil {
			_ = d.client.Close() // its server is gone
		}
		d.client, d.dialled = client, epoch
	}
	return d.client.Run(ctx, sql, nil)
}

// flightWay asks by SQL.
type flightWay struct {
	seamBack
	flightDoor
	partition int32
	cut       int64
}

func (r *flightWay) read(ctx context.Context) (seamRead, error) {
	found := seamRead{from: r.from(r.cut)}
	answer, err := r.run(ctx, fmt.Sprintf("SELECT count(*), count(DISTINCT %[1]s), "+
		"coalesce(max(%[1]s) + 1, 0), coalesce(epoch_us(max(%[2]s)), 0) FROM %[3]s "+
		"WHERE %[4]s = %[5]d AND %[1]s >= %[6]d", decode.ColumnOffset, decode.ColumnTimestamp, demoTable,
		decode.ColumnPartition, r.partition, found.from))
	if err != nil {
		return found, err
	}
	defer answer.Release()
	if !answer.Next() {
		return found, errors.Join(errors.New("no answer"), answer.Err())
	}
	var n [4]int64
	for i, column := range answer.RecordBatch().Columns() {
		n[i] = column.(*array.Int64).Value(0)
	}
	if err := answer.Err(); err != nil || n[0] == 0 {
		return found, err
	}
	found.rows, found.cut, found.newest = n[0], n[2], n[3]
	found.duplicates, found.gaps = n[0]-n[1], found.cut-found.from-n[1]
	r.cut = found.cut
	return found, nil
}

// streamDoor follows a table, or goes on behind the last token.
type streamDoor struct {
	url, table, columns string
	partition           int32
	token               string // behind which it goes on
	body                io.ReadCloser
	lines               *bufio.Scanner
}

// next is the next line of the stream.
func (d *streamDoor) next(ctx context.Context) ([]byte, error) {
	if d.lines == nil {
		if err := d.open(ctx); err != nil {
			return nil, err
		}
	}
	if !d.lines.Scan() {
		return nil, d.fail(errors.Join(errors.New("the stream was broken off"), d.lines.Err()))
	}
	return d.lines.Bytes(), nil
}

// open goes on behind the last token.
func (d *streamDoor) open(ctx context.Context) error {
	asked := url.Values{"columns": {d.columns}, "filter": {fmt.Sprintf("%s = %d", decode.ColumnPartition, d.partition)}}
	if d.token != "" {
		asked.Set("from", d.token)
	}
	ident, err := table.ParseIdent(d.table)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet,
		fmt.Sprintf("%s/v1/tables/%s/%s/stream?%s", d.url, ident[0], ident[1], asked.Encode()), nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		return errors.Join(fmt.Errorf("the server answers %s", answer.Status), answer.Body.Close())
	}
	d.body, d.lines = answer.Body, bufio.NewScanner(answer.Body)
	return nil
}

// fail ends the connection, and returns why.
func (d *streamDoor) fail(why error) error {
	d.lines = nil
	return errors.Join(why, d.body.Close())
}

// streamWay follows the table. A read is what comes up to the next token.
type streamWay struct {
	streamDoor
	behind int64 // offset behind the token
}

// streamLine is what is read of a line.
type streamLine struct {
	Token  string    `json:"_token"`
	Error  string    `json:"_error"`
	Offset int64     `json:"_kafka_offset"`
	Time   time.Time `json:"_kafka_timestamp"`
}

func (r *streamWay) read(ctx context.Context) (seamRead, error) {
	found := seamRead{from: r.behind, cut: r.behind}
	for {
		text, err := r.next(ctx)
		if err != nil {
			return found, err
		}
		var line streamLine
		if err := json.Unmarshal(text, &line); err != nil {
			return found, r.fail(fmt.Errorf("line %.200s: %w", text, err))
		}
		switch {
		case line.Error != "":
			return found, r.fail(errors.New(line.Error))
		case line.Token == "":
			found.rows++
			found.newest = max(found.newest, line.Time.UnixMicro())
			found.gaps += max(0, line.Offset-found.cut)
			if line.Offset < found.cut {
				found.duplicates++
			}
			found.cut = max(found.cut, line.Offset+1)
		default:
			r.token = line.Token
			if found.rows > 0 {
				r.behind = found.cut
				return found, nil
			}
		}
	}
}
