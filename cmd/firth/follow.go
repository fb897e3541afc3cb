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
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/spf13/pflag"

	"github.com/firthlake/firth/serve/stream"
	"github.com/firthlake/firth/table"
)

// answerBytesMax bounds what is read of an answer that is an error.
const answerBytesMax = 1 << 20

// followOptions are the flags of read that go with --follow.
type followOptions struct {
	on               bool
	from, url, token string
}

func (o *followOptions) add(flags *pflag.FlagSet) {
	flags.BoolVar(&o.on, "follow", false, "ask a server, and go on with rows as they come")
	flags.StringVar(&o.from, "from", "snapshot",
		"where --follow begins: snapshot, beginning, end, the id of a snapshot, a time, or a token")
	flags.StringVar(&o.url, "url", "", "server for --follow (default listen.catalog of the configuration)")
	flags.StringVar(&o.token, "token", "", "bearer token for --url")
}

// againEvery is how long a lost server is left alone.
const againEvery = time.Second

// follower prints a stream.
type follower struct {
	address string // of the stream, without parameters
	query   url.Values
	bearer  string
	output  string
	out     *bufio.Writer
	writer  rowWriter     // nil before the first answer
	schema  *arrow.Schema // of what it writes
	stderr  io.Writer
	left    int64 // rows, -1 for no end
	from    string
}

// errLost says that the server is gone, and may be there again.
var errLost = errors.New("the stream broke off")

// errEnough says that all rows that were asked for are printed.
var errEnough = errors.New("enough")

// follow prints rows as they come, until it is interrupted. It survives the server.
func (p *program) follow(ctx context.Context, o readOptions) error {
	f, err := p.follower(o)
	if err != nil {
		return err
	}
	began := false
	for {
		err := f.once(ctx)
		began = began || f.writer != nil
		switch {
		case errors.Is(err, errEnough):
			return f.out.Flush()
		case ctx.Err() != nil:
			fmt.Fprintf(p.stderr, "go on with --from %s\n", f.from)
			return f.out.Flush()
		case !errors.Is(err, errLost) || !began:
			return couldNot(fmt.Errorf("follow %s: %w", o.table, err), remedyOf(err))
		}
		fmt.Fprintf(p.stderr, "%v; trying again\n", err)
		timer := time.NewTimer(againEvery)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
}

// follower says whom to ask, and for what.
func (p *program) follower(o readOptions) (*follower, error) {
	if o.snapshot != 0 || o.asOf != "" {
		return nil, couldNot(errors.New("--snapshot and --as-of read one state, which has no end"),
			"begin with --from: it takes an id or a time")
	}
	if _, err := o.scan(); err != nil {
		return nil, err
	}
	ident, err := table.ParseIdent(o.table)
	if err != nil {
		return nil, couldNot(err, "")
	}
	if o.output == "json" { // a list without an end
		o.output = "ndjson"
	}
	f := &follower{out: bufio.NewWriter(p.stdout), stderr: p.stderr, output: o.output, from: o.follow.from, left: -1,
		query: url.Values{}, bearer: o.follow.token}
	if newRowWriter(o.output, f.out) == nil {
		return nil, couldNot(fmt.Errorf("there is no output %q", o.output), "write table, ndjson or csv")
	}
	if o.limit > 0 {
		f.left = o.limit
	}
	if o.where != "" {
		f.query.Set("filter", o.where)
	}
	if len(o.columns) > 0 {
		f.query.Set("columns", strings.Join(o.columns, ","))
	}
	server := strings.TrimSuffix(o.follow.url, "/")
	if server == "" {
		if server, f.bearer, err = p.serverOf(o); err != nil {
			return nil, err
		}
	}
	last := len(ident) - 1
	f.address = server + "/v1/tables/" + url.PathEscape(strings.Join(ident[:last], ".")) + "/" +
		url.PathEscape(ident[last]) + "/stream"
	return f, nil
}

// serverOf is the server of the configuration, and the token that reads there.
func (p *program) serverOf(o readOptions) (address, bearer string, err error) {
	c := folderConfig(o.dir)
	if o.dir == "" {
		if c, err = p.loadConfig(); err != nil {
			return "", "", err
		}
	}
	if c.Listen.Catalog == "" {
		return "", "", couldNot(errors.New("listen.catalog is empty"),
			"give --url of the server that ingests the table")
	}
	bearer = string(c.Tokens.Read)
	if bearer == "" {
		bearer = string(c.Tokens.Write)
	}
	return "http://" + c.Listen.Catalog, bearer, nil
}

// once reads one answer to its end.
func (f *follower) once(ctx context.Context) error {
	f.query.Set("from", f.from)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, f.address+"?"+f.query.Encode(), nil)
	if err != nil {
		return err
	}
	request.Header.Set("Accept", stream.MediaTypeArrow)
	if f.bearer != "" {
		request.Header.Set("Authorization", "Bearer "+f.bearer)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("%w: %w", errLost, err)
	}
	defer answer.Body.Close() // reading: the error of a read says it all
	if answer.StatusCode != http.StatusOK {
		return answerError(answer)
	}
	batches, err := ipc.NewReader(answer.Body)
	if err != nil {
		return fmt.Errorf("%w: %w", errLost, err)
	}
	defer batches.Release()
	if err := f.begin(batches.Schema()); err != nil {
		return err
	}
	for batches.Next() {
		if err := f.print(batches.RecordBatch()); err != nil {
			return err
		}
	}
	if err := batches.Err(); err != nil {
		return fmt.Errorf("%w: %w", errLost, err)
	}
	return fmt.Errorf("%w: the table has other columns, or the server stopped", errLost)
}

// answerError is what the server says is wrong.
func answerError(answer *http.Response) error {
	var body struct {
		Error struct {
			Message string `json:"message"`
		} `json:"error"`
	}
	err := json.NewDecoder(io.LimitReader(answer.Body, answerBytesMax)).Decode(&body)
	if err != nil || body.Error.Message == "" {
		body.Error.Message = "the server answers " + answer.Status
	}
	err = errors.New(body.Error.Message)
	switch answer.StatusCode {
	case http.StatusServiceUnavailable, http.StatusMisdirectedRequest: // it starts or stops
		return fmt.Errorf("%w: %w", errLost, err)
	}
	return err
}

// begin prints the names of columns where the output has them.
func (f *follower) begin(schema *arrow.Schema) error {
	if f.schema != nil && f.schema.Equal(schema) {
		return nil // it goes on
	}
	f.schema, f.writer = schema, newRowWriter(f.output, f.out)
	var names []string
	for _, field := range schema.Fields() {
		names = append(names, field.Name)
	}
	return f.writer.begin(names)
}

// print prints a batch, and what it ends with.
func (f *follower) print(batch arrow.RecordBatch) error {
	rows := batch.NumRows()
	if f.left >= 0 {
		rows = min(rows, f.left)
	}
	part := batch.NewSlice(0, rows)
	defer part.Release()
	if err := errors.Join(f.writer.rows(part), f.writer.end()); err != nil {
		return fmt.Errorf("print rows: %w", err)
	}
	if token := stream.TokenOf(batch); token != "" && token != f.from && rows == batch.NumRows() {
		if f.from = token; f.output == "ndjson" {
			fmt.Fprintf(f.out, "{\"_token\":%q}\n", token)
		}
	}
	if err := f.out.Flush(); err != nil {
		return fmt.Errorf("print rows: %w", err)
	}
	if f.left < 0 {
		return nil
	}
	if f.left -= rows; f.left == 0 {
		return errEnough
	}
	return nil
}
