package flight

import (
	"context"
	"sync"

	"github.com/apache/arrow-go/v18/arrow/flight"
	"github.com/apache/arrow-go/v18/arrow/flight/flightsql"
)

// running are the statements that run, by number. A number may run several times at once.
type running struct {
	mu      sync.Mutex
	next    int
	cancels map[string]map[int]context.CancelFunc
}

func newRunning() *running { return &running{cancels: map[string]map[int]context.CancelFunc{}} }

// add returns the context of a statement and what is called when it has ended.
func (r *running) add(ctx context.Context, number string) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.next++
	place := r.next
	if r.cancels[number] == nil {
		r.cancels[number] = map[int]context.CancelFunc{}
	}
	r.cancels[number][place] = cancel
	return ctx, func() {
		cancel()
		r.mu.Lock()
		defer r.mu.Unlock()
		if delete(r.cancels[number], place); len(r.cancels[number]) == 0 {
			delete(r.cancels, number)
		}
	}
}

// cancel ends what runs under a number and says whether anything did.
func (r *running) cancel(number string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, cancel := range r.cancels[number] {
		cancel()
	}
	return len(r.cancels[number]) > 0
}

func (r *running) cancelAll() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, each := range r.cancels {
		for _, cancel := range each {
			cancel()
		}
	}
}

// CancelFlightInfo ends the statement that an answer was promised for.
func (d *door) CancelFlightInfo(_ context.Context, request *flight.CancelFlightInfoRequest,
) (flight.CancelFlightInfoResult, error) {
	outcome := flight.CancelStatusNotCancellable
	for _, endpoint := range request.GetInfo().GetEndpoint() {
		ticket, err := flightsql.GetStatementQueryTicket(endpoint.GetTicket())
		if err != nil {
			continue // of another kind, which is answered at once
		}
		h, err := parseHandle(ticket.GetStatementHandle())
		if err == nil && d.running.cancel(h.Number) {
			outcome = flight.CancelStatusCancelled
		}
	}
	return flight.CancelFlightInfoResult{Status: outcome}, nil
}
