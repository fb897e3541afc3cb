package stream

import (
	"sync"

	"github.com/apache/arrow-go/v18/arrow"
)

// portion is rows that are handed out together, with one token behind them: of a pile, or a batch of one stream.
type portion struct {
	own        arrow.RecordBatch
	pile       *pile
	start, end int
	columns    int
}

// batch is the rows. The caller releases it.
func (p *portion) batch() arrow.RecordBatch {
	if p.own != nil {
		p.own.Retain()
		return p.own
	}
	return p.pile.rows(p.start, p.end, p.columns)
}

// formKey names what a portion of a pile is sent as.
type formKey struct {
	start int
	form  string
}

// form is a portion as some streams send it. It does not change once it is made.
type form struct {
	mu     sync.Mutex
	made   bool
	body   []byte
	schema *arrow.Schema
}

// encoded is the portion as a format writes it, made once for all streams that share the pile and send the same.
func (p *portion) encoded(format format, token string) (body []byte, schema *arrow.Schema, err error) {
	if p.pile == nil || p.pile.shared == nil {
		return p.encode(format, token)
	}
	held := p.pile.shared
	f := held.form(formKey{p.start, format.form(token)})
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.made {
		if f.body, f.schema, err = p.encode(format, token); err != nil {
			return nil, nil, err // the next stream tries again
		}
		f.made = true
		held.followed.count(held, int64(len(f.body)))
	}
	return f.body, f.schema, nil
}

func (p *portion) encode(format format, token string) ([]byte, *arrow.Schema, error) {
	batch := p.batch()
	defer batch.Release()
	body, err := format.encode(batch, token)
	return body, batch.Schema(), err
}

// form is the place of what is sent.
func (h *sharedPile) form(key formKey) *form {
	h.mu.Lock()
	defer h.mu.Unlock()
	f := h.forms[key]
	if f == nil {
		f = &form{}
		h.forms[key] = f
	}
	return f
}
