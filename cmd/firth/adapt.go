package main

import (
	"fmt"

	"github.com/firthlake/firth/ingest/decode"
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
