package compaction

import (
	"context"
	"io"
	"sync"
	"time"

	"github.com/firthlake/firth/table/objstore"
)

// Pace bounds the share of time that rewriting takes: after some work, it rests. What it might have worked while
// there was nothing to do it need not rest for, up to creditMax, so a small table is rewritten in one go.
type Pace struct {
	now   func() time.Time
	sleep func(ctx context.Context, d time.Duration) error

	mu    sync.Mutex // guards what follows
	share float64
	since time.Time // when the work began that is not paid for
	// credit is work that need not be paid for, beyond what is earned while it is done.
	credit time.Duration
}

const (
	// workMin is the work that is paid for at a time, so that rests are long enough for a timer.
	workMin = 5 * time.Millisecond
	// restMax bounds a rest after one piece of work.
	restMax = 10 * time.Second
	// creditMax is work in one go: 2 million rows.
	creditMax = 2 * time.Second
)

// NewPace returns a pace of no rests: Automatic sets the share.
func NewPace(now func() time.Time, sleep func(ctx context.Context, d time.Duration) error) *Pace {
	return &Pace{now: now, sleep: sleep, share: 1, since: now()}
}

// begin sets the share of the work that begins now. There was none since the last rest.
func (p *Pace) begin(share float64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	idle := max(0, now.Sub(p.since)) // time may be set back
	p.credit = min(creditMax, p.credit+time.Duration(float64(idle)*share))
	p.share, p.since = share, now
}

// change changes the share for what is not paid for yet.
func (p *Pace) change(share float64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.share = share
}

// rest pays for the work since the last rest.
func (p *Pace) rest(ctx context.Context) error {
	pause := p.owed()
	if pause == 0 {
		return nil
	}
	return p.sleep(ctx, pause)
}

// owed is the rest that is due; whoever asks takes it.
func (p *Pace) owed() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	worked := now.Sub(p.since)
	if worked < workMin {
		return 0
	}
	unearned := time.Duration(float64(worked) * (1 - p.share)) // the rest was earned meanwhile
	free := min(unearned, p.credit)
	p.credit -= free
	pause := min(time.Duration(float64(unearned-free)/p.share), restMax)
	p.since = now.Add(pause)
	return pause
}

// paced is a store whose user rests before it reads on. The work that is paid for lies between two reads.
type paced struct {
	objstore.Store
	pace *Pace
}

// Get rests first.
func (s *paced) Get(ctx context.Context, location string, offset, length int64) (io.ReadCloser, error) {
	if err := s.pace.rest(ctx); err != nil {
		return nil, err
	}
	return s.Store.Get(ctx, location, offset, length)
}
