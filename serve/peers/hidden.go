package peers

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/RoaringBitmap/roaring/v2"
	"github.com/google/uuid"

	"github.com/firthlake/firth/catalog"
	"github.com/firthlake/firth/table/tail"
)

// HiddenPath is where a process tells which rows of a keyed table its chunks hide.
const HiddenPath = "/v1/peers/hidden"

// hiddenTimeout is how long a reader waits for that. The other one waits a second for its key index.
const hiddenTimeout = 2 * time.Second

// hiding asks what chunks hide behind a base, as JSON.
type hiding struct {
	// Base is where the metadata of the base lies, Numbers are those of the chunks.
	Base    string   `json:"base"`
	Numbers []uint64 `json:"numbers"`
}

// hidden is the answer.
type hidden struct {
	// Process is who answers.
	Process string `json:"process"`
	// Moved says that the base is not the newest, or that chunks are gone; Why why it cannot be told now. Then the rest
	// is empty.
	Moved bool   `json:"moved,omitempty"`
	Why   string `json:"why,omitempty"`
	// Files are those of the base, Chunks those of the chunks.
	Files  []hiddenRows `json:"files"`
	Chunks []hiddenRows `json:"chunks"`
}

// hiddenRows are rows of a file that are hidden, as a portable bitmap of 32 bits.
type hiddenRows struct {
	Path string `json:"path"`
	Rows []byte `json:"rows"`
}

// HiddenHandler tells which rows of a keyed table chunks of this process hide. It answers
//
//	POST /v1/peers/hidden?table={UUID}
//
// to the location of a base and numbers of chunks, as JSON.
func (p *Peers) HiddenHandler() http.Handler {
	return answering(p.opts.Tokens, p.opts.Log, func(r *http.Request) (any, *refusal) {
		var asked hiding
		id, err := uuid.Parse(r.URL.Query().Get("table"))
		if err == nil {
			err = json.NewDecoder(io.LimitReader(r.Body, answerBytesMax)).Decode(&asked)
		}
		if err != nil || r.Method != http.MethodPost {
			return nil, &refusal{http.StatusBadRequest, "ask by POST, for a table by its UUID"}
		}
		ctx, cancel := context.WithTimeout(r.Context(), hiddenTimeout)
		defer cancel()
		return p.hide(ctx, id, &asked), nil
	})
}

// hide finds what chunks of this process hide.
func (p *Peers) hide(ctx context.Context, id uuid.UUID, asked *hiding) hidden {
	out := hidden{Process: p.opts.Name}
	index := p.opts.Tails.Find(id)
	if index == nil {
		out.Why = "it does not ingest the table"
		return out
	}
	share, err := index.Pick(asked.Numbers)
	var found []tail.Hidden
	if err == nil {
		found, err = share.Hider.Hide(ctx, asked.Base, share.View)
	}
	for i := 0; err == nil && i < len(found); i++ {
		err = out.add(&found[i])
	}
	switch {
	case errors.Is(err, tail.ErrMoved):
		return hidden{Process: p.opts.Name, Moved: true}
	case err != nil:
		return hidden{Process: p.opts.Name, Why: err.Error()}
	}
	return out
}

func (h *hidden) add(found *tail.Hidden) error {
	rows, err := found.Rows.ToBytes()
	if err != nil {
		return fmt.Errorf("encode hidden rows: %w", err)
	}
	if each := (hiddenRows{found.Path, rows}); found.OfTail {
		h.Chunks = append(h.Chunks, each)
	} else {
		h.Files = append(h.Files, each)
	}
	return nil
}

// decode is what is hidden of a base and the chunks of a view.
func (h *hidden) decode(view *tail.View) ([]tail.Hidden, error) {
	var out []tail.Hidden
	for _, each := range h.Files {
		rows, err := each.decode()
		if err != nil {
			return nil, err
		}
		out = append(out, tail.Hidden{Path: each.Path, Rows: rows})
	}
	hidden := map[string]*roaring.Bitmap{}
	for _, each := range h.Chunks {
		rows, err := each.decode()
		if err != nil {
			return nil, err
		}
		hidden[each.Path] = rows
	}
	for i := range view.Chunks {
		for _, file := range view.Chunks[i].Files {
			rows := hidden[file.FilePath()]
			if rows == nil {
				continue
			}
			delete(hidden, file.FilePath())
			out = append(out, tail.Hidden{Path: file.FilePath(), File: file, OfTail: true, Rows: rows})
		}
	}
	if len(hidden) > 0 {
		return nil, fmt.Errorf("rows of %d files are hidden that are not asked for", len(hidden))
	}
	return out, nil
}

func (r *hiddenRows) decode() (*roaring.Bitmap, error) {
	rows := roaring.New()
	if _, err := rows.ReadFrom(bytes.NewReader(r.Rows)); err != nil {
		return nil, fmt.Errorf("decode hidden rows of %s: %w", r.Path, err)
	}
	return rows, nil
}

// hiderThere asks another process what its chunks hide.
type hiderThere struct {
	peers   *Peers
	process catalog.Process
	table   uuid.UUID
	silent  *atomic.Bool // it does not answer
}

// Hide is what tail.Hider wants.
func (h *hiderThere) Hide(ctx context.Context, base string, view tail.View) ([]tail.Hidden, error) {
	if h.silent.Load() {
		return nil, fmt.Errorf("%w: %s does not answer", tail.ErrUnresolved, h.process.Address)
	}
	out, err := h.ask(ctx, &hiding{Base: base, Numbers: view.Numbers()})
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		return nil, fmt.Errorf("%w: ask %s: %w", tail.ErrUnresolved, h.process.Address, err)
	case out.Process != h.process.Name:
		return nil, fmt.Errorf("%w: ask %s: %w", tail.ErrUnresolved, h.process.Address, errSucceeded)
	case out.Moved:
		return nil, tail.ErrMoved
	case out.Why != "":
		return nil, fmt.Errorf("%w: %s says: %s", tail.ErrUnresolved, h.process.Address, out.Why)
	}
	found, err := out.decode(&view)
	if err != nil {
		return nil, fmt.Errorf("%w: ask %s: %w", tail.ErrUnresolved, h.process.Address, err)
	}
	return found, nil
}

func (h *hiderThere) ask(ctx context.Context, asked *hiding) (hidden, error) {
	ctx, cancel := context.WithTimeout(ctx, hiddenTimeout)
	defer cancel()
	body, err := json.Marshal(asked)
	if err != nil {
		return hidden{}, err
	}
	at := h.process.Address + HiddenPath + "?" + url.Values{"table": {h.table.String()}}.Encode()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, at, bytes.NewReader(body))
	if err != nil {
		return hidden{}, err
	}
	var out hidden
	err = h.peers.asking().ask(request, &out)
	return out, err
}
