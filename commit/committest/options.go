package committest

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/firthlake/firth/commit"
)

// Options are deterministic options for a committer: everything comes from seed, the clock goes on one
// second at every look, and sleeping takes no time.
func Options(seed uint64, writer string) commit.Options {
	var mu sync.Mutex
	random := rand.New(rand.NewPCG(seed, 7))
	draw := func() uint64 {
		mu.Lock()
		defer mu.Unlock()
		return random.Uint64()
	}
	var seconds int64
	return commit.Options{
		Now: func() time.Time {
			mu.Lock()
			defer mu.Unlock()
			seconds++
			return time.Unix(1_700_000_000+seconds, 0)
		},
		NewID: func() (id uuid.UUID) {
			binary.BigEndian.PutUint64(id[:8], draw())
			binary.BigEndian.PutUint64(id[8:], draw())
			return id
		},
		Random: draw,
		Sleep:  func(ctx context.Context, _ time.Duration) error { return ctx.Err() },
		Writer: writer,
	}
}
