package keyed

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	benchFileRows = 500_000
	benchUpdates  = 100_000
)

var benchRows = flag.Int("bench-rows", 5_000_000, "rows of the table of benchmarks")

// cpu is the CPU time that the process has taken.
func cpu(b *testing.B) time.Duration {
	var usage syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// resident is a line of /proc/self/status in bytes: VmRSS, or VmHWM, the most that there was of it.
func resident(b *testing.B, name string) float64 {
	text, err := os.ReadFile("/proc/self/status")
	require.NoError(b, err)
	_, after, found := strings.Cut(string(text), name+":")
	require.True(b, found)
	kilobytes, err := strconv.ParseInt(strings.Fields(after)[0], 10, 64)
	require.NoError(b, err)
	return float64(kilobytes) * 1024
}

// benchLake is a table of files of unsorted keys.
func benchLake(b *testing.B, rows int) *lake {
	l := newLake(b, lakeOptions{version: "3"})
	order := rand.New(rand.NewPCG(1, 1)).Perm(rows)
	for from := 0; from < rows; from += benchFileRows {
		some := make([]row, 0, benchFileRows)
		for _, id := range order[from:min(from+benchFileRows, rows)] {
			some = append(some, row{int64(id), "region", int64(id)})
		}
		insert(l, some)
	}
	return l
}

// BenchmarkRebuild builds the index of a table from its files.
func BenchmarkRebuild(b *testing.B) {
	rows := *benchRows
	l := benchLake(b, rows)
	for _, memory := range []int64{64 << 20, 1 << 30} {
		b.Run(fmt.Sprintf("memory=%dMB", memory>>20), func(b *testing.B) {
			var spent time.Duration
			var most float64
			for b.Loop() {
				opts := testOptions(b.TempDir(), 1)
				opts.MemoryBytes = memory
				k := l.open(opts)
				debug.FreeOSMemory()
				require.NoError(b, os.WriteFile("/proc/self/clear_refs", []byte("5"), 0o600))
				before := resident(b, "VmRSS")
				began := cpu(b)
				require.NoError(b, k.Follow(b.Context(), l.table()))
				spent += cpu(b) - began
				most = max(most, resident(b, "VmHWM")-before)
				require.EqualValues(b, rows, k.index.Keys())
				require.NoError(b, k.Close())
			}
			b.ReportMetric(float64(rows*b.N)/spent.Seconds(), "keys/cpu-s")
			b.ReportMetric(most/(1<<20), "MB")
		})
	}
}

// BenchmarkCatchUp follows a checkpoint of 100,000 updates that nobody told of, in a table of many keys.
// With deletes, 1,000 more rows are gone, and their keys have to be found in their files.
func BenchmarkCatchUp(b *testing.B) {
	rows := *benchRows
	for _, deleted := range []int{0, 1000} {
		b.Run(fmt.Sprintf("deletes=%d", deleted), func(b *testing.B) {
			l := benchLake(b, rows)
			opts := testOptions(b.TempDir(), 1)
			opts.MemoryBytes = 1 << 30
			k := l.open(opts)
			l.follow(k)
			random := rand.New(rand.NewPCG(2, 2))
			var spent time.Duration
			for b.Loop() {
				c := checkpoint{}
				for _, id := range random.Perm(rows)[:benchUpdates+deleted] {
					if len(c.rows) < benchUpdates {
						c.rows = append(c.rows, row{int64(id), "region", 1})
					} else {
						c.deleted = append(c.deleted, int64(id))
					}
				}
				l.run(k, c)
				began := cpu(b)
				require.NoError(b, k.Follow(b.Context(), l.table()))
				spent += cpu(b) - began
			}
			b.ReportMetric(spent.Seconds()*1000/float64(b.N), "cpu-ms/checkpoint")
			require.NoError(b, k.Close())
		})
	}
}
