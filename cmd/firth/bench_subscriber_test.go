package main

import (
	"bufio"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestASubscriberTellsGapsFromRepetitions(t *testing.T) {
	lines := func(text string) *bufio.Reader { return bufio.NewReader(strings.NewReader(text)) }
	row := func(partition, offset string) string {
		return `{"a":"x,y}","_kafka_partition":` + partition + `,"_kafka_offset":` + offset +
			`,"_kafka_timestamp":"2026-01-31T12:00:00.123Z"}` + "\n"
	}
	s := &subscriber{now: time.Now, resumed: true}
	require.NoError(t, s.readLines(lines(row("3", "0")+row("3", "1")+row("5", "0")+`{"_token":"one"}`+"\n")))
	require.Zero(t, s.wrong())
	require.EqualValues(t, []int64{1, 1}, []int64{s.resumes, s.exact})
	require.Equal(t, "one", s.token)
	s.resumed = true
	require.NoError(t, s.readLines(lines(row("3", "1")+row("3", "4")+`{"_token":"two"}`+"\n")))
	require.EqualValues(t, 1, s.duplicates)
	require.EqualValues(t, 2, s.gaps)
	require.EqualValues(t, []int64{2, 1}, []int64{s.resumes, s.exact})
	require.EqualValues(t, 5, s.rows.Load())
	require.Error(t, s.readLines(lines(row("3", "5"))), "broken off before the token")
	require.EqualValues(t, 5, s.kept[3], "rows behind the token come again")
}
