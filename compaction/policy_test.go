package compaction

import (
	"testing"

	"github.com/apache/iceberg-go"
	"github.com/stretchr/testify/require"
)

func TestPolicyRefusesWhatMakesNoSense(t *testing.T) {
	for name, change := range map[string]func(*Policy){
		"target":  func(p *Policy) { p.TargetBytes = 0 },
		"share":   func(p *Policy) { p.SmallShare = 1.5 },
		"deleted": func(p *Policy) { p.DeletedShare = 0 },
		"files":   func(p *Policy) { p.FilesMin = 1 },
		"growth":  func(p *Policy) { p.GrowthShare = -1 },
		"run":     func(p *Policy) { p.RunBytesMax = -1 },
	} {
		p := DefaultPolicy(nil)
		change(&p)
		require.Error(t, p.Validate(), name)
	}
	require.EqualValues(t, TargetBytesDefault, DefaultPolicy(iceberg.Properties{propertyTargetBytes: "x"}).TargetBytes)
}
