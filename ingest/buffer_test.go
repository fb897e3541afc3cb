package ingest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/table/objstore"
)

func TestFilesWhoseCommitHasNoKnownOutcomeAreKept(t *testing.T) {
	for _, unknown := range []bool{false, true} {
		w := newWorld(t)
		w.log.Create("events", 1)
		w.append(0, events(0, 10)...)
		ident := w.create("db.events", eventFields()...)
		g := w.ingester(w.log.Join("g", 50, "events"), w.options(ident, "g"))
		w.steps(g, 3)
		b := g.tables[0].filling
		require.NoError(t, b.close(t.Context(), make(chan struct{}, 1)))
		b.unknown = unknown
		require.NoError(t, b.abort(t.Context()))
		_, err := w.objects.Stat(t.Context(), b.files[0].FilePath())
		if unknown {
			require.NoError(t, err)
		} else {
			require.ErrorIs(t, err, objstore.ErrNotFound)
		}
	}
}
