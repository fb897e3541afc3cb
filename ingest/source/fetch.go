package source

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/firthlake/firth/commit"
)

// fetcher asks the brokers for the records of topic partitions, ahead of who takes them: while one answer
// is unpacked and another is worked on, the next is on its way. The client's own consumer asks for the
// next only when all of the last was taken, which leaves a core idle for as long as an answer takes.
//
//	run ──ask──► Broker.Request ──settle──► answers, in order of arrival ──take──► Poll
//	    ▲          up to two a broker │         unpacked beside
//	    │                             └─ ask again, while less than bytesMax waits to be taken
//	    └── seek, retry, time
type fetcher struct {
	client   *kgo.Client
	unpacker *unpacker
	now      func() time.Time
	random   func() float64
	bytesMax int32 // of one answer

	changed chan struct{} // something may be asked for
	ready   chan struct{} // an answer may be taken
	beside  sync.WaitGroup

	mu      sync.Mutex
	queue   queue
	asked   map[int32]int  // requests that a broker has not answered
	full    map[int32]pace // brokers whose last answer was full
	trickle map[int32]bool // those whose last answer had little
	answers []*answer      // in order of arrival
	ahead   int            // bytes in answers
}

// pace is how a broker is asked whose last answer was full, as it has more than one answer can hold.
type pace struct {
	few int // topic partitions at a time
	// requests is how many are under way. A second one, for other topic partitions, keeps the broker at work while
	// the answer to the first waits for a core, which under load takes as long as the answer's records.
	requests int
}

// cursor is where fetching goes on in one topic partition.
type cursor struct {
	id   commit.TopicPartition
	next commit.Offset
	// turn counts the seeks: what was asked for before the last one is dropped.
	turn   int
	sought bool // at some time
	queued bool // it stands in the queue
	silent bool // nothing is asked for before the next seek
	asked  bool // it is part of a request under way
	had    bool // records in the answer that is being entered

	leader, leaderEpoch int32 // -1 when not known
	epoch               int32 // of the leader that wrote what was fetched last; -1 when not known
	unproven            bool  // the leader is new and may have cut off what was fetched
	backoff             backoff
}

func newCursor(id commit.TopicPartition) *cursor {
	return &cursor{id: id, leader: -1, leaderEpoch: -1, epoch: -1}
}

// fetchPartitionsMin is the least number of topic partitions that are asked for at once.
const fetchPartitionsMin = 8

func newFetcher(client *kgo.Client, opts *KafkaOptions) *fetcher {
	return &fetcher{
		client: client, unpacker: newUnpacker(newPools(opts.FetchBytesMax)),
		now: opts.Now, random: opts.Random, bytesMax: opts.FetchBytesMax,
		changed: make(chan struct{}, 1), ready: make(chan struct{}, 1),
		queue: newQueue(), asked: map[int32]int{}, full: map[int32]pace{}, trickle: map[int32]bool{},
	}
}

// run asks until ctx ends, and waits for what is under way.
func (f *fetcher) run(ctx context.Context) {
	defer f.beside.Wait()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		f.unpacker.pools.sweep(f.now())
		f.ask(ctx)
		if due := f.due(); !due.IsZero() {
			timer.Reset(max(due.Sub(f.now()), time.Millisecond))
		}
		select {
		case <-f.changed:
		case <-timer.C:
		case <-ctx.Done():
			return
		}
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// due is when the first topic partition that waits is to be asked for again; zero when none waits.
func (f *fetcher) due() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.queue.nextDue(f.now())
}

// seek makes fetching go on where it is wanted.
func (f *fetcher) seek(wanted map[*cursor]commit.Offset) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for c, next := range wanted {
		c.next, c.epoch, c.silent, c.unproven = next, -1, false, false
		c.turn++
		if !c.sought {
			c.sought = true
			f.queue.add(c)
		}
	}
	signal(f.changed)
}

// retry makes fetching go on at next after a while, which it returns.
func (f *fetcher) retry(c *cursor, next commit.Offset) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	c.next, c.silent = next, false
	c.turn++
	signal(f.changed)
	return f.delay(c)
}

// delay has a topic partition wait for the time that it returns.
func (f *fetcher) delay(c *cursor) time.Duration {
	wait := c.backoff.failed(f.now(), f.random)
	f.queue.waits(c.backoff.until)
	return wait
}

// drop forgets a topic partition.
func (f *fetcher) drop(c *cursor) {
	f.mu.Lock()
	defer f.mu.Unlock()
	c.turn++
	f.queue.remove(c)
}

// take returns the next answer, or nil when ctx ends before there is one. The caller gives back what the
// parts hold that it does not use.
func (f *fetcher) take(ctx context.Context) *answer {
	for {
		if a := f.first(); a != nil {
			<-a.unpacked
			return a
		}
		select {
		case <-f.ready:
		case <-ctx.Done():
			return nil
		}
	}
}

func (f *fetcher) first() *answer {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.answers) == 0 {
		return nil
	}
	a := f.answers[0]
	f.answers = slices.Delete(f.answers, 0, 1)
	f.ahead -= a.bytes
	signal(f.changed)
	return a
}

// accept says whether a part is of what was sought last, which makes it what was wanted.
func (f *fetcher) accept(p *part) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := p.cursor
	if p.turn != c.turn {
		return false
	}
	if p.err == nil && p.got.err == nil {
		c.backoff.tries = 0
		if c.silent { // its records were of the old format
			c.next, c.silent = p.got.next, false
			signal(f.changed)
		}
	}
	return true
}

// ask sends requests to the brokers that have answered, while there is room for what they send.
func (f *fetcher) ask(ctx context.Context) {
	for {
		f.mu.Lock()
		requests, lost := f.requests()
		f.mu.Unlock()
		if lost {
			f.client.ForceMetadataRefresh()
		}
		if len(requests) == 0 {
			return
		}
		for _, r := range requests {
			f.beside.Go(func() { f.send(ctx, r) })
		}
	}
}

// request is what one broker is asked. A broker is asked whether it cut off records before it is asked
// for more of those topic partitions.
type request struct {
	broker  int32
	cursors []*cursor // in the order of the request
	turns   []int     // in which they were asked for
	kafka   kmsg.Request
	proof   bool // of epochs, not for records
	partial bool // other topic partitions of the broker are asked for beside or next
	// trickles says that the broker had little the last time, but something.
	trickles bool
	ended    bool // it has as many as it may
}

// requests are what may be asked now, one a broker. lost says that the leader of a topic partition is not known.
func (f *fetcher) requests() (requests []*request, lost bool) {
	if f.ahead >= int(f.bytesMax) {
		return nil, false
	}
	idle := f.queue.idle(f.isBusy)
	now, byBroker := f.now(), map[int32]*request{}
	for _, c := range f.queue.cursors {
		if idle == 0 {
			break
		}
		if c.silent || c.asked || now.Before(c.backoff.until) {
			continue
		}
		if c.leader < 0 && !f.findLeader(c) {
			c.backoff.until = now.Add(backoffMin)
			f.queue.waits(c.backoff.until)
			lost = true
			continue
		}
		if f.isBusy(c.leader) {
			continue
		}
		r := byBroker[c.leader]
		if r == nil {
			r = &request{broker: c.leader, proof: c.unproven, partial: f.asked[c.leader] > 0,
				trickles: f.trickle[c.leader]}
			byBroker[c.leader] = r
			requests = append(requests, r)
		}
		if full, is := f.full[c.leader]; is && len(r.cursors) >= full.few {
			if r.partial = true; !r.ended {
				r.ended = true
				idle--
			}
			continue
		}
		if r.proof == c.unproven {
			r.cursors = append(r.cursors, c)
		}
	}
	for _, r := range requests {
		f.asked[r.broker]++
		sortByTopic(r.cursors)
		for _, c := range r.cursors {
			c.asked = true
			r.turns = append(r.turns, c.turn)
		}
		if r.proof {
			r.kafka = r.epochs()
		} else {
			r.kafka = r.fetch(f.bytesMax)
		}
	}
	return requests, lost
}

// isBusy says whether a broker has as many requests as it gets at a time.
func (f *fetcher) isBusy(broker int32) bool {
	return f.asked[broker] >= max(1, f.full[broker].requests)
}

// sortByTopic brings topic partitions of a topic together, for a request names each topic once. Else
// they keep their order.
func sortByTopic(cursors []*cursor) {
	first := map[string]int{}
	for i, c := range cursors {
		if _, seen := first[c.id.Topic]; !seen {
			first[c.id.Topic] = i
		}
	}
	if len(first) > 1 {
		slices.SortStableFunc(cursors, func(a, b *cursor) int { return first[a.id.Topic] - first[b.id.Topic] })
	}
}

func (f *fetcher) findLeader(c *cursor) bool {
	leader, epoch, err := f.client.PartitionLeader(c.id.Topic, c.id.Partition)
	if err != nil || leader < 0 || epoch < c.leaderEpoch {
		return false
	}
	c.unproven = c.unproven || c.epoch >= 0 && c.leaderEpoch >= 0 && epoch > c.leaderEpoch
	f.queue.setLeader(c, leader)
	c.leaderEpoch = epoch
	return true
}

// send sends one request and enters the answer.
func (f *fetcher) send(ctx context.Context, r *request) {
	response, err := f.client.Broker(int(r.broker)).Request(ctx, r.kafka)
	if ctx.Err() != nil {
		return
	}
	f.mu.Lock()
	a := f.settle(r, response, err)
	f.mu.Unlock()
	f.ask(ctx)
	if a == nil {
		return
	}
	signal(f.ready)
	for i := range a.parts {
		if p := &a.parts[i]; p.err == nil {
			p.got = f.unpacker.unpack(p.sent, p.cursor.id, p.from)
		}
	}
	close(a.unpacked)
}
