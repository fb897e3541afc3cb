package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/ingest/source"
)

func TestAConfigurationIsOneLiveProcessesPlace(t *testing.T) {
	file := write(t, t.TempDir(), "firth.yaml", "")
	first, err := claimInstance(file, "")
	require.NoError(t, err)
	reads := source.KafkaOptions{Topics: []string{"a"}}
	id := first.id(reads)
	require.Regexp(t, `^[A-Za-z0-9._-]{20,249}$`, id)
	require.NotEqual(t, id, first.id(source.KafkaOptions{Topics: []string{"a", "b"}}))
	second, err := claimInstance(file, "")
	require.ErrorIs(t, err, errNoPlace)
	require.Empty(t, second.id(reads))
	second.close()
	first.close()
	again, err := claimInstance(file, "")
	require.NoError(t, err)
	defer again.close()
	require.Equal(t, id, again.id(reads))
	require.Equal(t, "h_st.example", word("höst.example"))
}

func TestANamedPlaceIsTheSameOnAnotherHost(t *testing.T) {
	reads := source.KafkaOptions{Topics: []string{"a"}}
	var ids []string
	for range 2 {
		place, err := claimInstance(write(t, t.TempDir(), "firth.yaml", ""), "ingest/0")
		require.NoError(t, err)
		defer place.close()
		ids = append(ids, place.id(reads))
	}
	require.Equal(t, ids[0], ids[1])
	require.Regexp(t, `^ingest_0-[0-9a-f]{16}$`, ids[0])
}

// TestAProcessWhosePlaceIsTakenJoinsAnew starts two processes with one place, as on two hosts of one
// name: the lock is of the file, not of its name.
func TestAProcessWhosePlaceIsTakenJoinsAnew(t *testing.T) {
	f := newLakeFolder(t)
	f.spec(t, "", "")
	require.Zero(t, f.firth(t, "apply", "--yes").code)
	first := f.run(t)
	first.url(t, "admin")
	text, err := os.ReadFile(f.config)
	require.NoError(t, err)
	require.NoError(t, os.Rename(write(t, f.dir, "copy.yaml", string(text)), filepath.Join(f.dir, "firth.yaml")))
	second := f.run(t)
	second.url(t, "admin")
	require.Eventually(t, func() bool {
		return strings.Contains(first.log.String(), "joining the consumer group as a new member")
	}, patience, 20*time.Millisecond, first.log)
	require.Contains(t, first.log.String(), "give every process a host name or an instance of its own")
	f.produce(t, 3000)
	f.committed(t, 3000)
	second.end(t)
	f.produce(t, 1000)
	f.committed(t, 4000)
	first.end(t)
	require.NotContains(t, second.log.String(), "as a new member")
	require.True(t, f.report(t).Proven)
}
