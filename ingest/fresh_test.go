package ingest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/commit"
)

func TestABufferIsSeenOnceItHoldsSomething(t *testing.T) {
	now := time.Unix(1000, 0)
	f := &fresh{base: &mirrored{position: commit.Position{{Topic: "events"}: 5}, at: now}}
	require.Nil(t, f.begin(now), "nobody looks up")
	f.withdraw(nil)
	f.wanted.Store(now.UnixNano())
	s := f.begin(now)
	require.NotNil(t, s)
	v, ok := f.look()
	require.True(t, ok)
	require.Empty(t, v.buffers)
	require.Empty(t, v.behind)
	v.release()
	f.withdraw(s)
	require.Zero(t, s.refs.Load())
}
