package source

import (
	"time"
)

// A trouble that lasts comes back again and again. It is told when it begins and when it is over, which
// is when it has not come back for troubleQuiet after it was expected to. The set of those that last is
// emptied when it holds troublesMax, which no healthy cluster comes near.
const (
	troubleQuiet = 5 * time.Second
	troublesMax  = 1024
	// groupRetryMax is the longest that the client waits before it joins the group again.
	groupRetryMax = 5 * time.Second
)

// troubles are what the source goes on retrying. They belong to the goroutine that polls.
type troubles struct {
	now     func() time.Time
	last    map[string]lasting
	begun   []error
	cleared []error
}

// lasting is a trouble and when it is over, unless it comes back.
type lasting struct {
	err  error
	over time.Time
}

func newTroubles(now func() time.Time) *troubles {
	return &troubles{now: now, last: map[string]lasting{}}
}

// add notes a trouble that is tried again after a while.
func (t *troubles) add(err error, again time.Duration) {
	text := err.Error()
	known, found := t.last[text]
	if !found {
		if len(t.last) >= troublesMax {
			clear(t.last)
		}
		known.err = err
		t.begun = append(t.begun, err)
	}
	known.over = t.now().Add(again + troubleQuiet)
	t.last[text] = known
}

// end says that a trouble is over.
func (t *troubles) end(err error) {
	if known, found := t.last[err.Error()]; found {
		delete(t.last, err.Error())
		t.cleared = append(t.cleared, known.err)
	}
}

// take returns what began and what is over since it was called last.
func (t *troubles) take() (begun, over []error) {
	now := t.now()
	for text, trouble := range t.last {
		if !now.Before(trouble.over) {
			delete(t.last, text)
			t.cleared = append(t.cleared, trouble.err)
		}
	}
	begun, over = t.begun, t.cleared
	t.begun, t.cleared = nil, nil
	return begun, over
}

// next is when the first of those that last is over; zero when there is none.
func (t *troubles) next() time.Time {
	var next time.Time
	for _, trouble := range t.last {
		if next.IsZero() || trouble.over.Before(next) {
			next = trouble.over
		}
	}
	return next
}
