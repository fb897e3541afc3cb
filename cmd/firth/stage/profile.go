package stage

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/google/pprof/profile"
)

// stagePrefixes maps prefixes of function names to the stage they belong to; the first match from a
// stack's leaf towards its root decides. What a library does is its caller's.
func stagePrefixes() [][2]string {
	const firth = "github.com/firthlake/firth/"
	return [][2]string{
		{firth + "ingest/source.", "fetch"},
		{"github.com/twmb/franz-go/", "fetch"},
		{firth + "ingest/decode.", "decode"},
		{firth + "table/objstore.", "upload"},
		{firth + "ingest/upsert.", "keys"},
		{firth + "table/keyindex.", "keys"},
		{firth + "table/keyed.", "keys"},
		{firth + "table.hash", "checksum"},
		{firth + "table.(*Checksummer)", "checksum"},
		{firth + "table.", "encode"},
		{firth + "table/", "encode"},
		{firth + "commit.", "commit"},
		{firth + "catalog.", "commit"},
		{firth + "ingest.", "route"},
		{"runtime.gcBgMarkWorker", "gc"},
		{"runtime.bgsweep", "gc"},
		{"runtime.bgscavenge", "gc"},
		{firth + "cmd/", "start"},
	}
}

// Shares are the stages of cpu_share in the order of the data; "other" is mostly the scheduler.
func Shares() []string {
	return []string{"start", "fetch", "decode", "route", "keys", "checksum", "encode", "upload", "commit", "gc",
		"other"}
}

// cpuShares reads a CPU profile and gives each stage its part of the samples.
func cpuShares(text []byte) (map[string]float64, error) {
	p, err := profile.Parse(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("read CPU profile: %w", err)
	}
	stages := make(map[uint64]string, len(p.Function))
	for _, f := range p.Function {
		for _, pair := range stagePrefixes() {
			if strings.HasPrefix(f.Name, pair[0]) {
				stages[f.ID] = pair[1]
				break
			}
		}
	}
	shares := make(map[string]float64)
	for _, name := range Shares() {
		shares[name] = 0
	}
	var total float64
	for _, s := range p.Sample {
		spent := float64(s.Value[len(s.Value)-1])
		shares[stageOf(s, stages)] += spent
		total += spent
	}
	for name := range shares {
		shares[name] /= max(total, 1)
	}
	return shares, nil
}

// stageOf is the stage of the innermost function that has one.
func stageOf(s *profile.Sample, stages map[uint64]string) string {
	for _, location := range s.Location {
		for _, line := range location.Line {
			if stage, ok := stages[line.Function.ID]; ok {
				return stage
			}
		}
	}
	return "other"
}
