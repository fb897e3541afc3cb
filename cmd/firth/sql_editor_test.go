package main

import (
	"context"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCtrlCEndsWhatRuns(t *testing.T) {
	k := newKeyboard(nil)
	in, keys := io.Pipe()
	go k.listen(in)
	defer k.stop()
	running := make(chan struct{})
	go func() {
		<-running
		for _, typed := range []string{"lost", "lost\x03kept ", "and this"} {
			_, _ = io.WriteString(keys, typed)
		}
		_ = keys.Close()
	}()
	err := k.during(t.Context(), func(ctx context.Context) error {
		close(running)
		<-ctx.Done()
		return ctx.Err()
	})
	require.ErrorIs(t, err, context.Canceled)
	rest, err := io.ReadAll(k)
	require.NoError(t, err)
	require.Equal(t, "kept and this", string(rest))
}

func TestCtrlCDropsWhatIsTyped(t *testing.T) {
	k := newKeyboard(nil)
	go k.listen(strings.NewReader("abc\x03def"))
	defer k.stop()
	buffer := make([]byte, 100)
	_, err := k.Read(buffer)
	require.ErrorIs(t, err, errInterrupted)
	n, err := k.Read(buffer)
	require.NoError(t, err)
	require.Equal(t, "def", string(buffer[:n]))
	_, err = k.Read(buffer)
	require.ErrorIs(t, err, io.EOF)
}

func TestSharedPrefixIgnoresCase(t *testing.T) {
	require.Equal(t, "db.E", sharedPrefix([]string{"db.Events", "DB.errors"}))
	require.Empty(t, sharedPrefix([]string{"a", "b"}))
	require.Equal(t, "sé", sharedPrefix([]string{"séa", "séb"}))
}
