package ingest

import (
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/ingest/source"
)

func freshOf(base *mirrored) *fresh {
	f := &fresh{base: base}
	f.stood.Store(f.stand())
	return f
}

func TestABufferIsSeenOnceItHoldsSomething(t *testing.T) {
	now := time.Unix(1000, 0)
	f := freshOf(&mirrored{position: commit.Position{{Topic: "events"}: 5}, at: now})
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

// A look-up that was kept waiting between its view and the index finds rows there that came after its view.
func TestAViewThatTheIndexOvertakesDoesNotStand(t *testing.T) {
	now, id := time.Unix(1000, 0), commit.TopicPartition{Topic: "events"}
	f := freshOf(&mirrored{position: commit.Position{id: 5}, at: now})
	f.wanted.Store(now.UnixNano())
	look := func() view {
		v, ok := f.look()
		require.True(t, ok)
		return v
	}
	empty, s := look(), f.begin(now)
	add := func(from, next commit.Offset) {
		rows := array.NewRecordBatch(arrow.NewSchema(nil, nil), nil, int64(next-from))
		defer rows.Release()
		f.add(s, &portion{shape: &shape{}, chunk: &source.Chunk{TopicPartition: id},
			part: commit.Range{From: from, Next: next}, rows: rows})
	}
	add(5, 7)
	part := look()
	add(7, 8)
	whole := look()
	for _, v := range []view{empty, part, whole} {
		landing, ok := f.stands(v)
		require.True(t, ok, "the index has not moved")
		require.Nil(t, landing)
	}
	f.lands(s)
	_, ok := f.stands(empty)
	require.False(t, ok)
	_, ok = f.stands(part)
	require.False(t, ok)
	landing, ok := f.stands(whole)
	require.True(t, ok)
	require.Same(t, s, landing)
	f.withdraw(s)
	<-s.landed
	for _, v := range []view{empty, part, whole} {
		v.release()
	}
	require.Zero(t, s.refs.Load())
}

func TestNothingIsSeenWhileTheIndexTakesInWhatIsHidden(t *testing.T) {
	now := time.Unix(1000, 0)
	f := freshOf(&mirrored{position: commit.Position{}, at: now})
	s := f.begin(now)
	require.Nil(t, s, "nobody looks up")
	f.wanted.Store(now.UnixNano())
	v, ok := f.look()
	require.True(t, ok)
	f.lands(s)
	_, stands := f.stands(v)
	require.False(t, stands)
	_, ok = f.look()
	require.False(t, ok)
}

// What a buffer that look-ups do not see has of a topic partition that is new to the table is missing, so nothing goes
// on behind it.
func TestNothingIsSeenBehindWhatIsHidden(t *testing.T) {
	now, id := time.Unix(1000, 0), commit.TopicPartition{Topic: "events"}
	f := freshOf(&mirrored{position: commit.Position{}, at: now})
	require.Nil(t, f.begin(now), "nobody looks up")
	f.wanted.Store(now.UnixNano())
	s := f.begin(now)
	f.add(s, &portion{shape: &shape{}, chunk: &source.Chunk{TopicPartition: id}, part: commit.Range{From: 5, Next: 7}})
	v, ok := f.look()
	require.True(t, ok)
	require.Empty(t, v.position, "offsets below 5 are hidden")
	require.Empty(t, v.buffers)
	require.Equal(t, behindHidden, v.behind)
	f.withdraw(nil)
	v, ok = f.look()
	require.True(t, ok)
	require.Equal(t, commit.Position{id: 7}, v.position)
	require.Empty(t, v.behind)
	v.release()

	f.wanted.Store(0)
	require.Nil(t, f.begin(now), "nobody looks up any more")
	v, ok = f.look()
	require.True(t, ok)
	require.Equal(t, commit.Position{id: 7}, v.position, "it does not go back")
	v.release()
	f.withdraw(s)
}
