package stage

import (
	"bytes"
	"testing"

	"github.com/google/pprof/profile"
	"github.com/stretchr/testify/require"
)

// sample is a stack from the leaf to the root.
func sample(p *profile.Profile, value int64, names ...string) {
	s := &profile.Sample{Value: []int64{1, value}}
	for _, name := range names {
		f := &profile.Function{ID: uint64(len(p.Function) + 1), Name: name}
		p.Function = append(p.Function, f)
		l := &profile.Location{ID: uint64(len(p.Location) + 1), Line: []profile.Line{{Function: f}}}
		p.Location = append(p.Location, l)
		s.Location = append(s.Location, l)
	}
	p.Sample = append(p.Sample, s)
}

func TestSharesGoToTheInnermostStage(t *testing.T) {
	const firth = "github.com/firthlake/firth/"
	p := &profile.Profile{PeriodType: &profile.ValueType{Type: "cpu", Unit: "nanoseconds"}, Period: 1,
		SampleType: []*profile.ValueType{{Type: "samples", Unit: "count"}, {Type: "cpu", Unit: "nanoseconds"}}}
	sample(p, 50, "runtime.memmove", firth+"table/columnchunk.(*Writer).Write", firth+"ingest.(*Ingester).Run")
	sample(p, 30, firth+"ingest/decode.(*plan).decode", firth+"ingest.(*worker).work", firth+"cmd/firth.main")
	sample(p, 15, "runtime.scanobject", "runtime.gcBgMarkWorker")
	sample(p, 5, "runtime.schedule")
	var text bytes.Buffer
	require.NoError(t, p.Write(&text))
	shares, err := cpuShares(text.Bytes())
	require.NoError(t, err)
	require.InDeltaMapValues(t, map[string]float64{"encode": 0.5, "decode": 0.3, "gc": 0.15, "other": 0.05,
		"start": 0, "fetch": 0, "route": 0, "keys": 0, "checksum": 0, "upload": 0, "commit": 0}, shares, 1e-9)
}
