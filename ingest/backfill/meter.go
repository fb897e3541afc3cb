package backfill

import (
	"context"
	"sync"
	"time"
)

// Progress is how far a run is, with what earlier runs did.
type Progress struct {
	Files, FilesTotal int
	Bytes, BytesTotal int64
	// Rows are those that this run read.
	Rows int64
}

// meter counts what all lanes read and holds them to the rate.
type meter struct {
	rate  int64 // bytes a second; 0 is no bound
	now   func() time.Time
	sleep func(ctx context.Context, d time.Duration) error
	tell  func(Progress)

	mu    sync.Mutex // guards what follows, and calls of tell
	began time.Time
	bytes int64 // since began
	at    Progress
}

func newMeter(b *Backfill) *meter {
	m := &meter{rate: b.opts.RateBytes, now: b.opts.Now, sleep: b.opts.Sleep, tell: b.opts.Progress}
	state := b.State()
	m.at = Progress{Files: state.FilesDone, FilesTotal: state.Files, Bytes: state.BytesDone, BytesTotal: state.Bytes}
	return m
}

// add counts, and waits while more was read than the rate allows.
func (m *meter) add(ctx context.Context, rows, bytes int64) error {
	if wait := m.count(rows, bytes); wait > 0 {
		return m.sleep(ctx, wait)
	}
	return ctx.Err()
}

func (m *meter) count(rows, bytes int64) (wait time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.began.IsZero() {
		m.began = m.now()
	}
	m.bytes += bytes
	m.at.Rows += rows
	m.at.Bytes += bytes
	if m.tell != nil {
		m.tell(m.at)
	}
	if m.rate <= 0 {
		return 0
	}
	due := time.Duration(float64(m.bytes) / float64(m.rate) * float64(time.Second))
	return due - m.now().Sub(m.began)
}
