package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"

	"github.com/firthlake/firth/ingest/decode"
	"github.com/firthlake/firth/serve/stream"
	"github.com/firthlake/firth/table"
)

// What a stream of bench subscribe is read as.
const (
	formatArrow  = "arrow"
	formatNDJSON = "ndjson"
)

func subscribeFormats() []string { return []string{formatArrow, formatNDJSON} }

const (
	subscribeBufferBytes = 64 << 10
	// breakAfter is when a stream is broken off at the latest, once rows have come.
	breakAfter = 60 * time.Millisecond
)

// subscriber follows the demo's table and counts. It looks at as little as it can, since many share the machine with
// the service.
type subscriber struct {
	url     string
	format  string
	columns []string
	client  *http.Client
	now     func() time.Time

	body io.ReadCloser
	read func() error // a batch and the token behind it
	// next are the offsets to come, kept those at the token.
	next, kept [demoPartitions]int64
	token      string

	rows             atomic.Int64
	bytes            int64
	lags             []float64 // milliseconds
	gaps, duplicates int64
	breaks           int64
	resumes, exact   int64
	// resumed says that no row has come since the stream went on.
	resumed bool
	fault   string
}

// open goes on behind the last token.
func (s *subscriber) open(ctx context.Context) error {
	asked := url.Values{}
	if s.columns != nil {
		asked.Set("columns", strings.Join(append([]string{decode.ColumnPartition, decode.ColumnOffset,
			decode.ColumnTimestamp}, s.columns...), ","))
	}
	if s.token != "" {
		asked.Set("from", s.token)
	}
	ident, err := table.ParseIdent(demoTable)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet,
		fmt.Sprintf("%s/v1/tables/%s/%s/stream?%s", s.url, ident[0], ident[1], asked.Encode()), nil)
	if err != nil {
		return err
	}
	if s.format == formatArrow {
		request.Header.Set("Accept", stream.MediaTypeArrow)
	}
	answer, err := s.client.Do(request)
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		return errors.Join(fmt.Errorf("the server answers %s", answer.Status), answer.Body.Close())
	}
	s.body, s.next = answer.Body, s.kept
	counted := &countedReader{answer.Body, &s.bytes}
	if s.format == formatArrow {
		batches, err := ipc.NewReader(counted)
		if err != nil {
			return errors.Join(err, s.body.Close())
		}
		s.read = func() error { return s.readBatch(batches) }
		return nil
	}
	lines := bufio.NewReaderSize(counted, subscribeBufferBytes)
	s.read = func() error { return s.readLines(lines) }
	return nil
}

// countedReader counts bytes.
type countedReader struct {
	io.Reader
	n *int64
}

func (r *countedReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	*r.n += int64(n)
	return n, err
}

// follow reads until ctx ends. A stream that breaks off is gone on with.
func (s *subscriber) follow(ctx context.Context) error {
	for {
		err := s.read()
		if err == nil {
			continue
		}
		_ = s.body.Close() // it has ended
		if ctx.Err() != nil {
			return ctx.Err()
		}
		s.breaks++
		s.tell("a stream has ended: %v", err)
		if err := s.open(ctx); err != nil {
			return err
		}
	}
}

// resumeAgain reads, breaks off at any place and goes on, until rows have come behind so many tokens.
func (s *subscriber) resumeAgain(ctx context.Context, times int, random *rand.Rand) error {
	for s.resumes < int64(times) && ctx.Err() == nil {
		if err := s.readOn(ctx, time.Duration(random.Int64N(int64(breakAfter)))); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// readOn goes on with a stream and breaks it off a while after the first rows.
func (s *subscriber) readOn(ctx context.Context, while time.Duration) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	s.resumed = s.token != ""
	if err := s.open(ctx); err != nil {
		return err
	}
	defer func() { _ = s.body.Close() }() // it is broken off
	for before, timed := s.rows.Load(), false; ; {
		err := s.read()
		switch {
		case err != nil && ctx.Err() != nil:
			return nil
		case err != nil:
			return fmt.Errorf("a stream that goes on has ended: %w", err)
		case !timed && s.rows.Load() > before:
			timed = true
			defer time.AfterFunc(while, stop).Stop()
		}
	}
}

// take notes a row.
func (s *subscriber) take(partition int32, offset int64) {
	switch next := &s.next[partition]; {
	case offset == *next:
		*next++
	case offset < *next:
		s.duplicates++
		s.tell("offset %d of topic partition %d came again", offset, partition)
	default:
		s.gaps += offset - *next
		s.tell("offset %d of topic partition %d came for %d", offset, partition, *next)
		*next = offset + 1
	}
}

// end notes that a token has come behind rows, of which the newest is of a time in microseconds.
func (s *subscriber) end(token string, rows, newest, wrong int64) {
	s.token, s.kept = token, s.next
	if rows == 0 {
		return
	}
	s.lags = append(s.lags, float64(s.now().UnixMicro()-newest)/1000)
	s.rows.Add(rows)
	if s.resumed {
		s.resumed = false
		s.resumes++
		if wrong == 0 {
			s.exact++
		}
	}
}

// tell keeps the first fault.
func (s *subscriber) tell(format string, args ...any) {
	if s.fault == "" {
		s.fault = fmt.Sprintf(format, args...)
	}
}

func (s *subscriber) wrong() int64 { return s.gaps + s.duplicates }

// readBatch reads an Arrow batch.
func (s *subscriber) readBatch(batches *ipc.Reader) error {
	if !batches.Next() {
		return errors.Join(errors.New("no more batches"), batches.Err())
	}
	batch, before, newest := batches.RecordBatch(), s.wrong(), int64(0)
	find := func(name string) arrow.Array {
		if at := batch.Schema().FieldIndices(name); len(at) == 1 {
			return batch.Column(at[0])
		}
		return nil
	}
	partitions, some := find(decode.ColumnPartition).(*array.Int32)
	offsets, more := find(decode.ColumnOffset).(*array.Int64)
	times, all := find(decode.ColumnTimestamp).(*array.Timestamp)
	if !some || !more || !all {
		return errors.New("a batch does not tell the places of its rows")
	}
	for i, offset := range offsets.Int64Values() {
		s.take(partitions.Value(i), offset)
		newest = max(newest, int64(times.Value(i)))
	}
	s.end(stream.TokenOf(batch), batch.NumRows(), newest, s.wrong()-before)
	return nil
}

// readLines reads lines until a token. Of a row only the fields that tell its place are looked at.
func (s *subscriber) readLines(lines *bufio.Reader) error {
	rows, before := int64(0), s.wrong()
	var newest []byte
	for {
		line, err := lines.ReadSlice('\n')
		if err != nil {
			return err
		}
		if token, is := bytes.CutPrefix(line, []byte(`{"_token":"`)); is {
			moment, err := time.Parse(time.RFC3339Nano, string(newest))
			if err != nil && rows > 0 {
				return err
			}
			s.end(string(bytes.TrimSuffix(token, []byte("\"}\n"))), rows, moment.UnixMicro(), s.wrong()-before)
			return nil
		}
		partition, err := fieldOf(line, decode.ColumnPartition)
		if err != nil {
			return err
		}
		offset, err := fieldOf(line, decode.ColumnOffset)
		if err != nil {
			return err
		}
		s.take(int32(partition), offset)
		rows++
		newest = append(newest[:0], textOf(line, decode.ColumnTimestamp)...)
	}
}

// fieldOf is a number in a line of NDJSON.
func fieldOf(line []byte, name string) (int64, error) {
	_, rest, found := bytes.Cut(line, []byte(`"`+name+`":`))
	end := bytes.IndexAny(rest, ",}")
	if !found || end < 0 {
		return 0, fmt.Errorf("line %.200s has no %s", line, name)
	}
	return strconv.ParseInt(string(rest[:end]), 10, 64)
}

// textOf is a text without escapes in a line of NDJSON.
func textOf(line []byte, name string) []byte {
	_, rest, _ := bytes.Cut(line, []byte(`"`+name+`":"`))
	text, _, _ := bytes.Cut(rest, []byte(`"`))
	return text
}
