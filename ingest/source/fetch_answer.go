package source

import (
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/firthlake/firth/commit"
)

// answer is what one broker sent at a time.
type answer struct {
	parts []part
	bytes int
	// err, if not nil, is why the broker did not answer; it is asked again after a while.
	err   error
	again time.Duration
	// unpacked is closed when every part is.
	unpacked chan struct{}
}

// part is what an answer says of one topic partition.
type part struct {
	cursor *cursor
	turn   int
	from   commit.Offset // that was asked for
	end    commit.Offset // of what is committed in the log
	sent   *kmsg.FetchResponseTopicPartition
	got    unpacked
	// err is what is wrong with the partition; again is when it is asked for again, if it is.
	err   error
	again time.Duration
}

// fetchFailuresQuiet is how often a leader that moves, or a broker that starts again, may fail a fetch
// before it is told: about 4 s.
const fetchFailuresQuiet = 4

// settle takes over a broker's answer. It returns what is to be unpacked and taken, if anything.
func (f *fetcher) settle(r *request, response kmsg.Response, err error) *answer {
	if f.asked[r.broker]--; f.asked[r.broker] == 0 {
		delete(f.asked, r.broker)
	}
	for _, c := range r.cursors {
		c.asked = false
	}
	a := &answer{unpacked: make(chan struct{})}
	switch response := response.(type) {
	case *kmsg.FetchResponse:
		if err == nil {
			err = kerr.ErrorForCode(response.ErrorCode)
		}
		if err == nil {
			f.settleFetch(r, response, a)
		}
	case *kmsg.OffsetForLeaderEpochResponse:
		if err == nil {
			f.settleEpochs(r, response, a)
		}
	}
	if err != nil {
		f.settleFailure(r, err, a)
	}
	if len(a.parts) == 0 && a.err == nil {
		return nil
	}
	f.answers = append(f.answers, a)
	f.ahead += a.bytes
	return a
}

// settleFailure has the topic partitions wait that a broker did not answer for.
func (f *fetcher) settleFailure(r *request, err error, a *answer) {
	tries := 0
	for _, c := range r.cursors {
		a.again = max(a.again, f.astray(c))
		tries = max(tries, c.backoff.tries)
	}
	if tries <= fetchFailuresQuiet {
		return
	}
	err = connectionError(err)
	if r.proof && !errors.Is(err, ErrUnreachable) {
		for _, c := range r.cursors {
			c.unproven = false // the broker does not know the request
		}
		return
	}
	a.err = fmt.Errorf("fetch from broker %d: %w", r.broker, withoutPorts(err))
}

// astray has a topic partition wait, as long as it returns, and look for its leader anew.
func (f *fetcher) astray(c *cursor) time.Duration {
	f.queue.setLeader(c, -1)
	f.client.ForceMetadataRefresh()
	return f.delay(c)
}

// settleFetch enters what came of each topic partition. Those that had records are asked for last the
// next time. After an answer that was full only about as many are asked for as can be in one: the
// others would make the request and the answer long for nothing.
func (f *fetcher) settleFetch(r *request, response *kmsg.FetchResponse, a *answer) {
	with := 0
	each := newMatcher(r)
	for i := range response.Topics {
		topic := &response.Topics[i]
		for j := range topic.Partitions {
			sent := &topic.Partitions[j]
			c, turn := each.match(topic.Topic, topic.TopicID, sent.Partition)
			if c == nil || turn != c.turn {
				continue
			}
			if p := f.settlePart(c, sent); p.sent != nil || p.err != nil {
				a.parts = append(a.parts, p)
			}
			if len(sent.RecordBatches) > 0 {
				a.bytes += len(sent.RecordBatches)
				c.had = true
				with++
			}
		}
	}
	delete(f.full, r.broker)
	delete(f.trickle, r.broker)
	switch {
	case a.bytes >= int(f.bytesMax)/2:
		f.full[r.broker] = f.paceOf(r.broker, with, a.bytes)
	case a.bytes > 0 && a.bytes < trickleBytes:
		f.trickle[r.broker] = true
	}
	f.queue.toEnd(with)
}

// paceOf is how a broker is asked after a full answer. One with large records, which an answer holds whatever is
// asked for, gets one request at a time, for memory's sake.
func (f *fetcher) paceOf(broker int32, with, bytes int) pace {
	p := pace{few: max(fetchPartitionsMin, 2*with), requests: 1}
	if led := f.queue.led[broker]; led > 1 && bytes <= 2*int(f.bytesMax) {
		p.few, p.requests = min(p.few, (led+1)/2), 2
	}
	return p
}

// settlePart moves the cursor behind what came. What it returns has neither bytes nor an error when
// there is nothing to tell.
func (f *fetcher) settlePart(c *cursor, sent *kmsg.FetchResponseTopicPartition) part {
	p := part{cursor: c, turn: c.turn, from: c.next, end: commit.Offset(sent.LastStableOffset)}
	if p.end < 0 {
		p.end = commit.Offset(sent.HighWatermark)
	}
	if err := kerr.ErrorForCode(sent.ErrorCode); err != nil {
		f.settleError(&p, err)
		return p
	}
	if len(sent.RecordBatches) == 0 {
		c.backoff.tries = 0
		return p
	}
	p.sent = sent
	if isOldFormat(sent.RecordBatches) {
		c.silent = true // until it is taken: only the records tell where it ends
		return p
	}
	outline := outlineOf(sent.RecordBatches, c.next)
	if outline.next == c.next {
		p.sent, p.err = nil, fmt.Errorf("the broker sent %d bytes without a whole batch from offset %d on",
			len(sent.RecordBatches), c.next)
		p.again = f.delay(c)
		return p
	}
	c.next, c.epoch = outline.next, outline.epoch
	return p
}

// settleError sorts what a broker says against a topic partition: what heals by itself is told only when
// it lasts.
func (f *fetcher) settleError(p *part, err error) {
	c := p.cursor
	switch {
	case errors.Is(err, kerr.OffsetOutOfRange):
		c.silent = true
	case errors.Is(err, kerr.UnknownTopicID), errors.Is(err, kerr.UnknownTopicOrPartition):
		p.again = f.astray(c)
		if c.backoff.tries == 1 {
			return // a broker that has not heard of a new topic yet
		}
	case kerr.IsRetriable(err):
		p.again = f.astray(c)
		if c.backoff.tries <= fetchFailuresQuiet {
			return
		}
	default:
		p.again = f.delay(c)
	}
	p.err = err
}
