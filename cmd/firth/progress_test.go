package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestProgressPastItsTotalLeavesNothing(t *testing.T) {
	p := &program{now: time.Now}
	p.json = true
	line := p.progress("rows", 100).line(150, time.Second)
	require.Contains(t, line, "100%")
	require.NotContains(t, line, "-")
}
