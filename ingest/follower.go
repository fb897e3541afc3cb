package ingest

import (
	"context"

	icetable "github.com/apache/iceberg-go/table"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/ingest/decode"
	"github.com/firthlake/firth/ingest/evolve"
)

// Follower is the Evolver that lets a table follow its writers as far as a policy goes.
type Follower struct {
	Committer *commit.Committer
	Policy    evolve.Policy
}

// Evolve makes the table follow the proposals, or none of them when the policy refuses one.
func (f Follower) Evolve(ctx context.Context, evolution *decode.EvolutionError) (bool, error) {
	followed := true
	_, err := f.Committer.Evolve(ctx, func(meta icetable.Metadata) ([]icetable.Update, error) {
		result, err := evolve.Plan(evolve.StateOf(meta), evolution.Proposals, f.Policy)
		if err != nil {
			return nil, err
		}
		if followed = len(result.Refused) == 0; !followed {
			return nil, nil
		}
		return result.Updates, nil
	})
	return followed && err == nil, err
}
