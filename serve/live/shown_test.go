package live_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/serve/live"
	"github.com/firthlake/firth/table"
)

func TestWhatIsShownIsWhatAReaderGets(t *testing.T) {
	w := newWorld(t, kind{"2", false})
	check := func(next commit.Offset, why string) {
		t.Helper()
		before := w.objects()
		cut, degraded := w.live.Shown(w.committer.Table())
		require.Equal(t, table.Position{partition: next}, cut)
		require.Contains(t, degraded, why)
		require.Equal(t, degraded == "", why == "")
		require.Equal(t, before, w.objects(), "nothing is made for it")
		shown := w.load("live")
		text := summary(shown)[live.SummaryOffsets]
		require.Equal(t, map[commit.Offset]string{10: `{"events":{"0":10}}`, 15: `{"events":{"0":15}}`}[next], text)
		require.Equal(t, degraded, summary(shown)[live.SummaryDegraded])
		w.pass(time.Second)
	}
	change := uuid.New()
	w.read(change, 10)
	w.commit(change)
	check(10, "")
	change = uuid.New()
	w.read(change, 5)
	check(15, "")
	w.commit(change)
	check(15, "")
	w.feed.Close(w.now())
	check(15, "does not ingest the table")
}
