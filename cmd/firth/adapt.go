package main

import (
	"context"
	"fmt"

	icetable "github.com/apache/iceberg-go/table"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/ingest/decode"
	"github.com/firthlake/firth/ingest/evolve"
	"github.com/firthlake/firth/ingest/spec"
)

// decoding is how the records of a source become rows. schemas may be nil where the format needs none.
func decoding(s *spec.Spec, src spec.Source, schemas decode.Schemas) (decode.Options, decode.WriterOptions,
	error) {
	options, err := s.DecodeOptions(src)
	if err != nil || !registered(options.Format) {
		return options, decode.WriterOptions{}, err
	}
	if schemas == nil {
		return options, decode.WriterOptions{}, couldNot(
			fmt.Errorf("%s: format %s needs a schema registry", s.File(), options.Format),
			"set registry.urls in firth.yaml")
	}
	policy := s.Evolution.Policy()
	if s.Schema.Subject != "" && policy.AddColumn {
		options.UnknownFields = decode.UnknownEvolve // the table follows its subject
	}
	return options, decode.WriterOptions{
		Schemas: schemas, Nanoseconds: s.Version() == 3, Former: former(s),
		Evolve: decode.Evolve{Widen: policy.Widen, MakeOptional: policy.MakeOptional, Rename: policy.Rename},
	}, nil
}

// registered says whether records of the format name their schema in a registry.
func registered(f decode.Format) bool {
	return f == decode.FormatAvro || f == decode.FormatProtobuf || f == decode.FormatJSONSchema
}

// former are the earlier names of the columns.
func former(s *spec.Spec) map[string][]string {
	out := map[string][]string{}
	for _, c := range s.Schema.Columns {
		if len(c.Previous) > 0 {
			out[c.Name] = c.Previous
		}
	}
	return out
}

// evolver lets a table follow its writers as far as the spec's policy goes.
type evolver struct {
	committer *commit.Committer
	policy    evolve.Policy
}

// Evolve makes the table follow the proposals, or none of them when the policy refuses one.
func (e evolver) Evolve(ctx context.Context, evolution *decode.EvolutionError) (bool, error) {
	followed := true
	_, err := e.committer.Evolve(ctx, func(meta icetable.Metadata) ([]icetable.Update, error) {
		result, err := evolve.Plan(evolve.StateOf(meta), evolution.Proposals, e.policy)
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
