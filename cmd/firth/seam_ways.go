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

// liveWay reads files by the metadata of the live catalog, as engines do.
type liveWay struct {
	seamBack
	url       string
	partition int32
	store     objstore.Store
	remote    *catalog.Remote
}

// read reads the partition's offsets up to the cut of the table as it is now.
func (r *liveWay) read(ctx context.Context) (seamRead, error) {
	var found seamRead
	if r.remote == nil {
		var err error
		config := catalog.RemoteConfig{URI: r.url, Warehouse: "live"}
		if r.remote, err = catalog.DialRemote(ctx, config, http.DefaultClient); err != nil {
			return found, err
		}
	}
	ident, err := table.ParseIdent(demoTable)
	if err != nil {
		return found, err
	}
	t, err := r.remote.LoadTable(ctx, ident)
	if err != nil {
		return found, err
	}
	if found.cut, err = cutOf(t, r.partition); err != nil || found.cut == 0 {
		return found, err
	}
	found.from = r.from(found.cut)
	return found, r.scan(ctx, t, &found)
}

// cutOf is where a table as of now ends in a partition of the demo's topic.
func cutOf(t *table.Table, partition int32) (int64, error) {
	snapshot := t.Metadata().CurrentSnapshot()
	if snapshot == nil || snapshot.Summary == nil {
		return 0, errors.New("the table has no snapshot")
	}
	cuts := map[string]map[string]int64{}
	text := snapshot.Summary.Properties[live.SummaryOffsets]
	if err := json.Unmarshal([]byte(text), &cuts); err != nil {
		return 0, fmt.Errorf("read %s %q: %w", live.SummaryOffsets, text, err)
	}
	return cuts[demoTopic][strconv.Itoa(int(partition))], nil
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

// flightWay asks by SQL. A client waits longer and longer for a server that is down, so each start of it gets a new
// one.
type flightWay struct {
	seamBack
	url       string
	partition int32
	epoch     func() int64
	client    *flight.Client
	dialled   int64 // the epoch of client
	cut       int64
}

func (r *flightWay) read(ctx context.Context) (seamRead, error) {
	if epoch := r.epoch(); epoch != r.dialled {
		client, err := flight.Dial(r.url, "")
		if err != nil {
			return seamRead{}, err
		}
		if r.client != nil {
			_ = r.client.Close() // its server is gone
		}
		r.client, r.dialled = client, epoch
	}
	found := seamRead{from: r.from(r.cut)}
	answer, err := r.client.Run(ctx, fmt.Sprintf("SELECT count(*), count(DISTINCT %[1]s), "+
		"coalesce(max(%[1]s) + 1, 0), coalesce(epoch_us(max(%[2]s)), 0) FROM %[3]s "+
		"WHERE %[4]s = %[5]d AND %[1]s >= %[6]d", decode.ColumnOffset, decode.ColumnTimestamp, demoTable,
		decode.ColumnPartition, r.partition, found.from), nil)
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

// streamWay follows the table. A read is what comes up to the next token.
type streamWay struct {
	url       string
	partition int32
	token     string // behind which it goes on
	next      int64  // offset behind the token
	body      io.ReadCloser
	lines     *bufio.Scanner
}

// streamLine is what is read of a line.
type streamLine struct {
	Token  string    `json:"_token"`
	Error  string    `json:"_error"`
	Offset int64     `json:"_kafka_offset"`
	Time   time.Time `json:"_kafka_timestamp"`
}

func (r *streamWay) read(ctx context.Context) (found seamRead, err error) {
	if r.lines == nil {
		if err := r.open(ctx); err != nil {
			return found, err
		}
	}
	found.from, found.cut = r.next, r.next
	for r.lines.Scan() {
		var line streamLine
		if err := json.Unmarshal(r.lines.Bytes(), &line); err != nil {
			return found, errors.Join(fmt.Errorf("line %.200s: %w", r.lines.Bytes(), err), r.close())
		}
		switch {
		case line.Error != "":
			return found, errors.Join(errors.New(line.Error), r.close())
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
				r.next = found.cut
				return found, nil
			}
		}
	}
	return found, errors.Join(errors.New("the stream was broken off"), r.lines.Err(), r.close())
}

// open goes on behind the last token.
func (r *streamWay) open(ctx context.Context) error {
	asked := url.Values{"columns": {decode.ColumnOffset + "," + decode.ColumnTimestamp},
		"filter": {fmt.Sprintf("%s = %d", decode.ColumnPartition, r.partition)}}
	if r.token != "" {
		asked.Set("from", r.token)
	}
	ident, err := table.ParseIdent(demoTable)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet,
		fmt.Sprintf("%s/v1/tables/%s/%s/stream?%s", r.url, ident[0], ident[1], asked.Encode()), nil)
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
	r.body, r.lines = answer.Body, bufio.NewScanner(answer.Body)
	return nil
}

func (r *streamWay) close() error {
	r.lines = nil
	return r.body.Close()
}
