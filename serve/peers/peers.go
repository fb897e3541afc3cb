package peers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/firthlake/firth/catalog"
	"github.com/firthlake/firth/table/tail"
)

// The times of asking.
const (
	// askEvery is how often others are asked while somebody reads: as often as a reader gets a new state.
	askEvery = 250 * time.Millisecond
	// idleEvery is how often it is looked whether anybody reads.
	idleEvery = time.Second
	// listEvery is how often the catalog is asked who there is, while somebody reads.
	listEvery = 2 * time.Second
	// announceEvery is how often this process says that it is there.
	announceEvery = 5 * time.Minute
	// troubleEvery is how often both are tried again when the catalog fails.
	troubleEvery = 30 * time.Second
	// askTimeout is how long an answer may take. Who does not answer is asked less often, up to patienceMax.
	askTimeout  = time.Second
	patienceMax = 15 * time.Second
	// silentFor is how long what a process told is believed. Its chunks' files stay far longer.
	silentFor = 20 * time.Second
	// followFor is how long a process makes chunks for one that has asked.
	followFor = 30 * time.Second
	// asksMax is how many are asked at once, answerBytesMax what one may answer: a thousand chunks take a megabyte.
	asksMax        = 16
	answerBytesMax = 64 << 20
)

// Options are what Peers works with. All but Tokens, Client and Log are required.
type Options struct {
	// Name is this start of this process.
	Name string
	// Tails are the tails of the tables that are read here.
	Tails *tail.Set
	// Registry is where processes find each other.
	Registry Registry
	// Tokens are those of which others must show one; who asks shows the first. None is everybody.
	Tokens []string
	Client *http.Client
	Now    func() time.Time
	Log    *slog.Logger
}

// Registry is where processes find each other.
type Registry interface {
	Announce(ctx context.Context, name, address string) error
	Retire(ctx context.Context, name string) error
	Processes(ctx context.Context) ([]catalog.Process, error)
}

// Peers are the other processes on the same catalog. Step and Run belong to one goroutine.
type Peers struct {
	opts    Options
	address string // empty for one that asks others and tells nothing
	// announceAt and listAt are when that is due, others who was listed last.
	announceAt, listAt time.Time
	announced          bool
	others             []catalog.Process
	tellers            map[tellerID]*teller
}

type tellerID struct {
	process string
	table   uuid.UUID
}

// teller is another process as far as one table goes.
type teller struct {
	address string
	mirror  *tail.Mirror
	heard   time.Time // when it was asked what it answered last
	again   time.Time // when it is asked next
	fails   int
	silent  atomic.Bool // it did not answer when it was asked last; read by those who ask what its chunks hide
}

// New returns Peers. It starts nothing.
func New(opts Options) (*Peers, error) {
	if opts.Name == "" || opts.Tails == nil || opts.Registry == nil || opts.Now == nil {
		return nil, errors.New("peers: Name, Tails, Registry and Now must be given")
	}
	if opts.Client == nil {
		opts.Client = &http.Client{}
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	return &Peers{opts: opts, tellers: map[tellerID]*teller{}}, nil
}

// AnswerAt says at which URL the handler is; it comes before Run.
func (p *Peers) AnswerAt(address string) { p.address = address }

// Run asks until ctx ends. Who goes on without it is a process alone.
func (p *Peers) Run(ctx context.Context) error {
	defer p.end(ctx)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		if err := p.Step(ctx); err != nil && ctx.Err() == nil {
			p.opts.Log.Warn("find other processes on the tables", "err", err)
		}
		wait := idleEvery
		if len(p.tellers) > 0 || len(p.opts.Tails.FollowedHere(p.opts.Now())) > 0 {
			wait = askEvery
		}
		timer.Reset(wait)
	}
}

// end takes back the announcement and what others have told.
func (p *Peers) end(ctx context.Context) {
	for id, t := range p.tellers {
		t.mirror.Close(p.opts.Now())
		delete(p.tellers, id)
	}
	if !p.announced {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), askTimeout)
	defer cancel()
	if err := p.opts.Registry.Retire(ctx, p.opts.Name); err != nil {
		p.opts.Log.Warn("others go on asking this process for a day", "err", err)
	}
}

// Step asks all whose turn it is.
func (p *Peers) Step(ctx context.Context) error {
	now := p.opts.Now()
	followed := p.opts.Tails.FollowedHere(now)
	fault := errors.Join(p.announce(ctx, now), p.list(ctx, now, len(followed)))
	p.meet(followed)
	var group errgroup.Group
	group.SetLimit(asksMax)
	for id, t := range p.tellers {
		if followed[id.table] == nil || now.Before(t.again) {
			continue
		}
		group.Go(func() error {
			p.ask(ctx, id, t)
			return nil
		})
	}
	_ = group.Wait() // each keeps its own fault
	p.part()
	return fault
}

// announce says that this process is there, when it is time.
func (p *Peers) announce(ctx context.Context, now time.Time) error {
	if p.address == "" || now.Before(p.announceAt) {
		return nil
	}
	p.announceAt = now.Add(troubleEvery)
	if err := p.opts.Registry.Announce(ctx, p.opts.Name, p.address); err != nil {
		return err
	}
	p.announceAt, p.announced = now.Add(announceEvery), true
	return nil
}

// list asks the catalog who there is, when it is time and somebody reads.
func (p *Peers) list(ctx context.Context, now time.Time, followed int) error {
	if followed == 0 || now.Before(p.listAt) {
		return nil
	}
	p.listAt = now.Add(troubleEvery)
	others, err := p.opts.Registry.Processes(ctx)
	if err != nil {
		return fmt.Errorf("list the processes of the catalog: %w", err)
	}
	p.others, p.listAt = others, now.Add(listEvery)
	return nil
}

// meet opens a mirror for whoever is new.
func (p *Peers) meet(followed map[uuid.UUID]*tail.Index) {
	for tableID, index := range followed {
		for _, other := range p.others {
			id := tellerID{other.Name, tableID}
			if other.Name == p.opts.Name || p.tellers[id] != nil {
				continue
			}
			t := &teller{address: other.Address}
			t.mirror = index.Mirror(&hiderThere{peers: p, process: other, table: tableID, silent: &t.silent})
			p.tellers[id] = t
		}
	}
}

// part withdraws what those told who are silent, and forgets who is not announced any more.
func (p *Peers) part() {
	now := p.opts.Now()
	announced := map[string]bool{}
	for _, other := range p.others {
		announced[other.Name] = true
	}
	for id, t := range p.tellers {
		if now.Sub(t.heard) >= silentFor {
			t.mirror.Close(now)
			if !announced[id.process] || !p.opts.Tails.Find(id.table).FollowedHere(now) {
				delete(p.tellers, id)
			}
		}
	}
}

// ask asks one process of one table.
func (p *Peers) ask(ctx context.Context, id tellerID, t *teller) {
	begun := p.opts.Now()
	told, err := p.fetch(ctx, id, t)
	if errors.Is(err, errNothing) {
		t.again, err = begun.Add(listEvery), nil // it may begin to ingest the table
	}
	if err != nil {
		if errors.Is(err, errSucceeded) {
			t.mirror.Close(begun) // it has ended
		}
		t.fails++
		t.silent.Store(true)
		t.again = begun.Add(min(patienceMax, askEvery<<min(t.fails, 8)))
		if t.fails == 1 {
			p.opts.Log.Info("another process does not tell of its rows", "address", t.address, "err", err)
		}
		return
	}
	t.fails, t.heard = 0, begun
	t.silent.Store(false)
	t.mirror.Set(told, p.opts.Now())
}

// errSucceeded says that a process has ended and another listens at its address.
var errSucceeded = errors.New("another process answers than was announced")

// errNothing says that a process has nothing to tell of a table.
var errNothing = errors.New("it does not ingest the table")

func (p *Peers) asking() *asking { return &asking{p.opts.Client, p.opts.Tokens, answerBytesMax} }

func (p *Peers) fetch(ctx context.Context, id tellerID, t *teller) (tail.Told, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	query := url.Values{"table": {id.table.String()}}
	if after, some := t.mirror.After(); some {
		query.Set("after", strconv.FormatUint(after, 10))
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, t.address+Path+"?"+query.Encode(), nil)
	if err != nil {
		return tail.Told{}, err
	}
	var a answer
	var refused *refusal
	switch err := p.asking().ask(request, &a); {
	case errors.As(err, &refused) && refused.status == http.StatusNotFound:
		return tail.Told{}, errNothing
	case err != nil:
		return tail.Told{}, fmt.Errorf("ask %s: %w", t.address, err)
	}
	if a.Process != id.process {
		return tail.Told{}, fmt.Errorf("ask %s: %w", t.address, errSucceeded)
	}
	return a.decode()
}
