package peers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/firthlake/firth/catalog"
	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/point"
)

const (
	// rowsTimeout is how long another process may take for its part.
	rowsTimeout = 3 * time.Second
	// rowsPatienceMax is how long one that did not answer is not asked again at most, idleFor how long one that reads
	// nothing of a table is asked only when somebody is missing.
	rowsPatienceMax = 2 * time.Second
	idleFor         = 2 * time.Second
	// listSoon is how often the catalog is asked who there is while somebody is missing.
	listSoon = 200 * time.Millisecond
	// keyBytesMax and rowBytesMax bound a question and an answer.
	keyBytesMax = 16 << 20
	rowBytesMax = 256 << 20
)

// answerer is another process as far as look-ups go.
type answerer struct {
	fails int
	again time.Time // when it is asked next, of one that has failed
	fault error     // why it did
	// idle is until when a table's rows are not asked for there at first.
	idle map[uuid.UUID]time.Time
}

// list are the other processes on the catalog. One look-up at a time asks for them.
func (r *Rows) list(ctx context.Context, q *question) ([]catalog.Process, error) {
	if r.opts.Registry == nil {
		return nil, nil
	}
	now, every := r.opts.Now(), listEvery
	r.mu.Lock()
	others, listed := r.others, r.listed
	r.mu.Unlock()
	if q.all || len(others) == 0 {
		every = listSoon
	}
	if !listed.IsZero() && now.Sub(listed) < every {
		return others, nil
	}
	if listed.IsZero() {
		select {
		case r.listing <- struct{}{}:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	} else {
		select {
		case r.listing <- struct{}{}:
		default: // another look-up does it
			return others, nil
		}
	}
	defer func() { <-r.listing }()
	all, err := r.opts.Registry.Processes(ctx)
	if err != nil && listed.IsZero() {
		return nil, fmt.Errorf("list the processes of the catalog: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.listed = now; err != nil {
		r.opts.Log.WarnContext(ctx, "list the processes of the catalog", "err", err)
		return r.others, nil
	}
	r.take(all)
	return r.others, nil
}

// take makes what was listed the others, and forgets who is not announced any more. The caller holds mu.
func (r *Rows) take(all []catalog.Process) {
	r.others = nil
	known := map[string]*answerer{}
	for _, other := range all {
		if other.Name == r.opts.Name {
			continue
		}
		r.others = append(r.others, other)
		if known[other.Name] = r.answerers[other.Name]; known[other.Name] == nil {
			known[other.Name] = &answerer{idle: map[uuid.UUID]time.Time{}}
		}
	}
	r.answerers = known
}

// asked is what others have answered.
type asked struct {
	mu    sync.Mutex
	parts []point.Part
	// strangers are those that do not ingest the table.
	strangers int
	fault     error // of one that did not answer
}

// blame says why a process did not answer, nil for no fault of its own. The caller holds mu.
func (a *asked) blame(other catalog.Process, err error) {
	if err != nil {
		a.fault = fmt.Errorf("%s: %w", other.Address, err)
	}
}

// because tells of a fault, "" of none.
func (a *asked) because() string {
	if a.fault == nil {
		return ""
	}
	return " (" + a.fault.Error() + ")"
}

// What another process says that has no part.
var (
	errIdle     = errors.New("it reads nothing of the table")
	errStranger = errors.New("it does not ingest the table")
)

// askAll asks others for their parts, all at once.
func (r *Rows) askAll(ctx context.Context, q *question, others []catalog.Process) *asked {
	out := &asked{}
	if len(others) == 0 {
		return out
	}
	keys, err := encodeBatches(q.keys)
	if err != nil {
		out.fault = err
		return out
	}
	var group errgroup.Group
	group.SetLimit(asksMax)
	for _, other := range others {
		if ask, fault := r.isTurn(q, other.Name); !ask {
			out.mu.Lock()
			out.blame(other, fault)
			out.mu.Unlock()
			continue
		}
		group.Go(func() error {
			p, err := r.ask(ctx, q, other, keys)
			r.note(ctx, q, other.Name, err)
			out.mu.Lock()
			defer out.mu.Unlock()
			switch {
			case err == nil && p.Table == q.id:
				out.parts = append(out.parts, p)
			case err == nil:
				p.Release() // the name is another table's there
			case errors.Is(err, errStranger):
				out.strangers++
			case !errors.Is(err, errIdle):
				out.blame(other, err)
			}
			return nil
		})
	}
	_ = group.Wait() // what failed is in out
	return out
}

// isTurn says that a process is asked, and else why it did not answer before.
func (r *Rows) isTurn(q *question, name string) (ask bool, fault error) {
	now := r.opts.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.answerers[name]
	switch {
	case a == nil:
		return false, nil // it has gone meanwhile
	case q.all:
		return !now.Before(a.again), a.fault
	}
	return a.fails == 0 && !now.Before(a.idle[q.id]), a.fault
}

// note remembers who does not answer, and who has nothing to say.
func (r *Rows) note(ctx context.Context, q *question, name string, err error) {
	now := r.opts.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.answerers[name]
	if a == nil || ctx.Err() != nil {
		return
	}
	var refused *refusal
	switch {
	case err == nil, errors.As(err, &refused):
		a.fails, a.again, a.fault = 0, time.Time{}, nil
		delete(a.idle, q.id)
	case errors.Is(err, errIdle), errors.Is(err, errStranger):
		a.fails, a.again, a.fault = 0, time.Time{}, nil
		a.idle[q.id] = now.Add(idleFor)
	default:
		a.fails++
		a.fault = err
		a.again = now.Add(min(rowsPatienceMax, settleEvery<<min(a.fails, 8)))
	}
}

// ask asks one process.
func (r *Rows) ask(ctx context.Context, q *question, other catalog.Process, keys []byte) (point.Part, error) {
	ctx, cancel := context.WithTimeout(ctx, rowsTimeout)
	defer cancel()
	query := url.Values{"table": {table.FormatIdent(q.ident)}, "number": {strconv.FormatInt(q.number, 10)}}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, other.Address+RowsPath+"?"+query.Encode(),
		bytes.NewReader(keys))
	if err != nil {
		return point.Part{}, err
	}
	var p part
	var refused *refusal
	asking := asking{r.opts.Client, r.opts.Tokens, rowBytesMax}
	switch err := asking.ask(request, &p); {
	case errors.As(err, &refused) && refused.status == http.StatusNotFound:
		return point.Part{}, errStranger
	case err != nil:
		return point.Part{}, err
	}
	switch {
	case p.Process != other.Name:
		return point.Part{}, errSucceeded
	case p.Idle:
		return point.Part{}, errIdle
	}
	out, err := p.decode(len(q.keys))
	if err != nil {
		return point.Part{}, fmt.Errorf("read its answer: %w", err)
	}
	return out, nil
}
