//go:build duckdb_arrow

package duckdb

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/firthlake/firth/serve/query"
	"github.com/firthlake/firth/serve/query/filecache"
)

// Engine is the SQL engine.
type Engine struct {
	opts      Options
	views     query.Views
	files     *filecache.Cache
	layouts   *layouts
	databases *pool
	slots     chan struct{} // holds one for each statement that runs
	looks     chan *analyst // holds the one analyst while nobody has it

	mu      sync.Mutex
	closed  bool
	running map[*answer]context.CancelCauseFunc
	ended   sync.WaitGroup
}

var (
	errClosed = errors.New("the server stops")
	errTime   = errors.New("time is up")
)

// Open returns the engine over the tables of views.
func Open(opts Options, views query.Views) (query.Engine, error) {
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	looking, err := newAnalyst()
	if err != nil {
		return nil, err
	}
	e := &Engine{opts: opts, views: views, files: filecache.New(opts.Dir, opts.FileBytesMax),
		layouts: newLayouts(), databases: newPool(opts),
		slots: make(chan struct{}, opts.StatementsMax), looks: make(chan *analyst, 1),
		running: map[*answer]context.CancelCauseFunc{}}
	e.looks <- looking
	return e, nil
}

// Close ends all statements and waits until they have.
func (e *Engine) Close() error {
	e.mu.Lock()
	e.closed = true
	for _, cancel := range e.running {
		cancel(errClosed)
	}
	e.mu.Unlock()
	e.ended.Wait()
	e.databases.close()
	looking := <-e.looks
	looking.close()
	close(e.looks)
	return nil
}

// analyse finds out what a statement names, and what it is with the states of tables taken out.
func (e *Engine) analyse(ctx context.Context, sql string) (query.Selected, references, error) {
	if strings.ContainsRune(sql, 0) {
		return query.Selected{}, references{}, fmt.Errorf("%w: it holds a zero byte", query.ErrInvalid)
	}
	selected, err := query.Select(sql)
	if err != nil {
		return selected, references{}, err
	}
	looking, err := e.analyst(ctx)
	if err != nil {
		return selected, references{}, err
	}
	defer func() { e.looks <- looking }()
	tree, err := looking.tree(selected.SQL)
	if err != nil {
		return selected, references{}, err
	}
	found, err := resolve(tree)
	return selected, found, err
}

// analyst waits for the analyst, which the caller puts back.
func (e *Engine) analyst(ctx context.Context) (*analyst, error) {
	select {
	case looking, open := <-e.looks:
		if !open {
			return nil, errClosed
		}
		return looking, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Describe tells what a statement would answer.
func (e *Engine) Describe(ctx context.Context, sql string) (query.Description, error) {
	selected, found, err := e.analyse(ctx, sql)
	if err != nil {
		return query.Description{}, err
	}
	found.columnsOnly = true
	opened, err := e.open(ctx, selected, found)
	if err != nil {
		return query.Description{}, err
	}
	defer opened.close()
	looking, err := e.analyst(ctx)
	if err != nil {
		return query.Description{}, err
	}
	defer func() { e.looks <- looking }()
	return looking.describe(selected.SQL, opened.shapes())
}

// Run starts a statement.
func (e *Engine) Run(ctx context.Context, sql string, parameters arrow.RecordBatch) (array.RecordReader, error) {
	selected, found, err := e.analyse(ctx, sql)
	if err != nil {
		return nil, err
	}
	select {
	case e.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	a, err := e.begin(ctx)
	if err != nil {
		<-e.slots
		return nil, err
	}
	if err := a.start(selected, found, parameters); err != nil {
		a.err = a.fault(err)
		a.end()
		return nil, a.err
	}
	return a, nil
}

// begin makes the answer of one statement, which has a slot.
func (e *Engine) begin(ctx context.Context) (*answer, error) {
	ctx, stop := context.WithTimeoutCause(ctx, e.opts.TimeMax, errTime)
	ctx, cancel := context.WithCancelCause(ctx)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		stop()
		cancel(nil)
		return nil, errClosed
	}
	a := newAnswer(e, func() context.Context { return ctx })
	a.cleanup = append(a.cleanup, stop, func() { cancel(nil) })
	e.running[a] = cancel
	e.ended.Add(1)
	return a, nil
}

// gone forgets an answer that has ended.
func (e *Engine) gone(a *answer) {
	e.mu.Lock()
	delete(e.running, a)
	e.mu.Unlock()
	<-e.slots
	e.ended.Done()
}
