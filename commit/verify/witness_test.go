package verify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/table/objstore"
)

// TestNoFlippedByteMakesAPanicOrAnError spoils objects of a table at random: what they are worth is for
// the report to say.
func TestNoFlippedByteMakesAPanicOrAnError(t *testing.T) {
	w := emptyWorld(t, true)
	w.commit(0, 20, 2)
	w.commit(1, 20, 0)
	var objects []string
	for object, err := range w.store.List(t.Context(), "mem://lake/") {
		require.NoError(t, err)
		objects = append(objects, object.Location)
	}
	letters := w.load(commit.DeadLettersIdent(events))
	random := rand.New(rand.NewPCG(1, 2))
	fell, spoils := 0, 300
	if testing.Short() {
		spoils = 24
	}
	for i := range spoils {
		name := objects[i%len(objects)]
		whole := w.get(name)
		spoiled := append([]byte{}, whole...)
		for range 1 + random.IntN(8) {
			spoiled[random.IntN(len(spoiled))] ^= byte(1 + random.IntN(255))
		}
		w.put(name, spoiled)
		r, err := Check(t.Context(), w.load(events), w.store, Options{Deep: true, DeadLetters: letters})
		require.NoError(t, err, "%s", name)
		if !r.Proven {
			fell++
		}
		w.put(name, whole)
	}
	require.Greater(t, fell, spoils/3, "some bytes matter to nobody, most do")
	require.True(t, w.check(true).Proven)
}

// dark is a store that does not answer for some locations.
type dark struct {
	objstore.Store
	suffix string
}

var errDark = errors.New("dark")

func (d dark) Get(ctx context.Context, location string, offset, length int64) (io.ReadCloser, error) {
	if strings.HasSuffix(location, d.suffix) {
		return nil, fmt.Errorf("get %s: %w", location, errDark)
	}
	return d.Store.Get(ctx, location, offset, length)
}

func TestAStoreThatDoesNotAnswerIsAnErrorAndNoFault(t *testing.T) {
	w := newWorld(t)
	for _, suffix := range []string{"-list.avro", "-m0.avro", ".parquet"} {
		_, err := Check(t.Context(), w.load(events), dark{w.store, suffix}, Options{Deep: true})
		require.ErrorIs(t, err, errDark, suffix)
	}
}
