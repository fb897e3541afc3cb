package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/firthlake/firth/cmd/firth/stage"
	"github.com/firthlake/firth/ingest/decode"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/filter"
)

// liveKeys reads files by the metadata of the live catalog, as engines do.
type liveKeys struct {
	liveDoor
	log       *lookupLog
	partition int
}

// read reads all rows of the partition's keys.
func (r *liveKeys) read(ctx context.Context) (seamRead, error) {
	found := r.log.found(r.partition)
	t, cut, err := r.load(ctx, lookupTable, lookupTopic, int32(r.partition))
	if err != nil {
		return found.seamRead, err
	}
	where, err := filter.Parse(fmt.Sprintf("%s = %d", decode.ColumnPartition, r.partition))
	if err != nil {
		return found.seamRead, err
	}
	tasks, err := table.Plan(ctx, t, r.store, table.Scan{Filter: where, Columns: strings.Split(keyedColumns, ",")})
	if err != nil {
		return found.seamRead, err
	}
	for _, task := range tasks {
		for batch, err := range table.Read(ctx, r.store, task) {
			if err != nil {
				return found.seamRead, err
			}
			times := batch.Column(2).(*array.Timestamp)
			found.takeAll(batch, func(row int) int64 { return int64(times.Value(row)) })
		}
	}
	found.holdAt(cut, r.log.keysOf(r.partition))
	return found.seamRead, nil
}

// takeAll takes in the rows of a batch of key, version and timestamp.
func (k *keyedRows) takeAll(batch arrow.RecordBatch, micros func(row int) int64) {
	keys, versions := batch.Column(0).(*array.String), batch.Column(1).(*array.Int64)
	for row := range keys.Len() {
		k.take(keys.Value(row), versions.Value(row), micros(row))
	}
}

// flightKeys asks by SQL, which does not tell where the table ends.
type flightKeys struct {
	flightDoor
	log       *lookupLog
	partition int
	cut       int64
}

func (r *flightKeys) read(ctx context.Context) (seamRead, error) {
	found := r.log.found(r.partition)
	answer, err := r.run(ctx, fmt.Sprintf("SELECT %s, %s, epoch_us(%s) FROM %s WHERE %s = %d", stage.ColumnKey,
		stage.ColumnVersion, decode.ColumnTimestamp, lookupTable, decode.ColumnPartition, r.partition))
	if err != nil {
		return found.seamRead, err
	}
	defer answer.Release()
	for answer.Next() {
		batch := answer.RecordBatch()
		times := batch.Column(2).(*array.Int64)
		found.takeAll(batch, times.Value)
	}
	if err := answer.Err(); err != nil {
		return found.seamRead, err
	}
	found.hold(r.cut)
	r.cut = found.cut
	return found.seamRead, nil
}

// lookupKeys looks up some keys of the partition at a time, all at one state.
type lookupKeys struct {
	url       string // of the rows
	log       *lookupLog
	partition int
	random    *rand.Rand
}

// lookupKeysEach are the keys of one read.
const lookupKeysEach = 200

func newLookupKeys(url string, log *lookupLog, partition int) *lookupKeys {
	return &lookupKeys{url: url + "/v1/tables/" + strings.Replace(lookupTable, ".", "/", 1) + "/rows", log: log,
		partition: partition, random: rand.New(rand.NewPCG(3, uint64(partition)))}
}

// lookupRows is an answer for several keys.
type lookupRows struct {
	Rows []*struct {
		Key     string    `json:"row_key"`
		Version int64     `json:"row_version"`
		Time    time.Time `json:"_kafka_timestamp"`
	} `json:"rows"`
	Position map[string]map[string]int64 `json:"position"`
}

func (r *lookupKeys) read(ctx context.Context) (seamRead, error) {
	found := r.log.found(r.partition)
	keys := map[int]bool{}
	for range lookupKeysEach {
		keys[r.random.IntN((r.log.keys-r.partition+demoPartitions-1)/demoPartitions)*demoPartitions+r.partition] = true
	}
	var asked []string
	for key := range keys {
		asked = append(asked, stage.KeyText(key))
	}
	answer, err := r.ask(ctx, asked)
	if err != nil {
		return found.seamRead, err
	}
	for i, row := range answer.Rows {
		switch {
		case row == nil:
		case i >= len(asked) || row.Key != asked[i]:
			found.gap(fmt.Sprintf("the answer for key %d of the list is row %s", i, row.Key))
		default:
			found.take(row.Key, row.Version, row.Time.UnixMicro())
		}
	}
	found.holdAt(answer.Position[lookupTopic][strconv.Itoa(r.partition)], maps.Keys(keys))
	return found.seamRead, nil
}

func (r *lookupKeys) ask(ctx context.Context, keys []string) (out lookupRows, err error) {
	body, err := json.Marshal(keys)
	if err != nil {
		return out, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, r.url, bytes.NewReader(body))
	if err != nil {
		return out, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return out, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return out, err
	}
	if response.StatusCode != http.StatusOK {
		return out, fmt.Errorf("%s: %.300s", response.Status, answer)
	}
	return out, json.Unmarshal(answer, &out)
}

// streamKeys follows what changes, and folds it. A read is what comes up to the next token.
type streamKeys struct {
	streamDoor
	log  *lookupLog
	rows map[int]int64 // as folded up to the token
	// told is the commit whose changes were folded last, cut where the rows of those before end.
	told, cut int64
}

// streamRow is an image of a row.
type streamRow struct {
	Key     string    `json:"row_key"`
	Version int64     `json:"row_version"`
	Time    time.Time `json:"_kafka_timestamp"`
}

// streamChange is what is read of a line.
type streamChange struct {
	Token    string     `json:"_token"`
	Error    string     `json:"_error"`
	Before   *streamRow `json:"before"`
	After    *streamRow `json:"after"`
	Snapshot int64      `json:"snapshot_id"`
}

func (r *streamKeys) read(ctx context.Context) (seamRead, error) {
	var changes []streamChange
	for {
		text, err := r.next(ctx)
		if err != nil {
			return seamRead{}, err
		}
		var line streamChange
		if err := json.Unmarshal(text, &line); err != nil {
			return seamRead{}, r.fail(fmt.Errorf("line %.200s: %w", text, err))
		}
		switch {
		case line.Error != "":
			return seamRead{}, r.fail(errors.New(line.Error))
		case line.Token == "":
			changes = append(changes, line)
		default:
			// What came behind the last token comes again when the connection breaks.
			if r.token = line.Token; len(changes) > 0 {
				return r.fold(changes), nil
			}
		}
	}
}

// fold takes changes in. Between those of two commits the rows are those of the table at the first.
func (r *streamKeys) fold(changes []streamChange) seamRead {
	found := r.log.found(int(r.partition))
	found.rows = r.rows
	for _, change := range changes {
		if r.told != 0 && change.Snapshot != r.told {
			found.last = r.newest()
			found.hold(r.cut)
			r.cut = found.cut
		}
		r.told = change.Snapshot
		found.change(change)
	}
	found.cut = r.cut
	return found.seamRead
}

// newest is the greatest version among the rows.
func (r *streamKeys) newest() int64 {
	last := int64(-1)
	for _, version := range r.rows {
		last = max(last, version)
	}
	return last
}

// change takes in one change, which begins with the row that is there.
func (k *keyedRows) change(c streamChange) {
	if c.Before != nil {
		key, _ := stage.KeyNumber(c.Before.Key) // of another form it is no key that is there
		if is, has := k.rows[key]; !has || is != c.Before.Version-stage.VersionBegin {
			k.gap(fmt.Sprintf("what is before a change of key %d is version %d, and there is %d, %t", key,
				c.Before.Version-stage.VersionBegin, is, has))
		}
		delete(k.rows, key)
	}
	if c.After != nil {
		k.take(c.After.Key, c.After.Version, c.After.Time.UnixMicro())
	} else {
		k.seamRead.rows++
	}
}
