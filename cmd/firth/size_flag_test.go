package main

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/ingest/spec"
)

func TestSizeFlagTakesUnits(t *testing.T) {
	size := spec.Size(3 << 20)
	flag := sizeFlag{&size}
	require.Equal(t, "3MiB", flag.String())
	require.NoError(t, flag.Set("800MiB"))
	require.EqualValues(t, 800<<20, size)
	require.NoError(t, flag.Set("1000"))
	require.EqualValues(t, 1000, size)
	require.ErrorContains(t, flag.Set("8 bananas"), "write it as 128MiB")
	require.EqualValues(t, 1000, size)
}
