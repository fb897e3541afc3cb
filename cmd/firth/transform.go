package main

import (
	"context"
	"fmt"
	"sync"

	"github.com/apache/iceberg-go"

	"github.com/firthlake/firth/ingest"
	"github.com/firthlake/firth/ingest/spec"
	"github.com/firthlake/firth/serve/query/duckdb"
)

// transformer compiles the transforms of specs by the SQL engine, which it opens when a spec has one. The zero
// value is ready; who has it closes it.
type transformer struct {
	mu     sync.Mutex // guards engine
	engine duckdb.Transforms
}

func (t *transformer) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.engine != nil {
		t.engine.Close()
		t.engine = nil
	}
}

// of is the transform of a source, nil when it has none.
func (t *transformer) of(s *spec.Spec, index int) (ingest.Transform, error) {
	src := s.Sources[index]
	if src.Transform == "" {
		return nil, nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.engine == nil {
		var err error
		if t.engine, err = duckdb.OpenTransforms(); err != nil {
			return nil, couldNot(fmt.Errorf("%s: sources[%d].transform: %w", s.File(), index, err), remedyOf(err))
		}
	}
	input, err := src.InputFields()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.File(), err)
	}
	return sqlTransform{engine: t.engine, sql: src.Transform, input: input}, nil
}

// sqlTransform is a transform in SQL.
type sqlTransform struct {
	engine duckdb.Transforms
	sql    string
	input  []iceberg.NestedField
}

// Bind compiles it for a version of the table's schema.
func (t sqlTransform) Bind(schema *iceberg.Schema) (ingest.BoundTransform, error) {
	input := make([]iceberg.NestedField, len(t.input))
	for i, f := range t.input {
		f.ID = schema.HighestFieldID() + 1 + i
		input[i] = f
	}
	bound, err := t.engine.Bind(t.sql, schema, input)
	if err != nil {
		return ingest.BoundTransform{}, err
	}
	return ingest.BoundTransform{Input: input, Reads: bound.Reads, Computes: bound.Computes,
		Open: func() (ingest.Evaluator, error) { return bound.Open() }}, nil
}

// checkTransforms compiles the transforms of a spec against the columns that its table is to have, so that plan
// and apply refuse what could not run.
func checkTransforms(ctx context.Context, s *spec.Spec) error {
	var engine transformer
	defer engine.close()
	for i, src := range s.Sources {
		if src.Transform == "" {
			continue
		}
		schema, err := s.TableSchema()
		if err != nil || schema == nil {
			return err
		}
		options, err := rowOptions(s, i, rowParts{noSchemas{}, &engine})
		if err != nil {
			return err
		}
		options.Ident = s.Ident()
		trial, err := ingest.NewTrial(ctx, options, schema, s.Evolution.Policy(), s.Version())
		if err != nil {
			return couldNot(fmt.Errorf("%s: sources[%d]: %w", s.File(), i, err),
				"correct the transform; 'firth test SPEC' shows what it gives")
		}
		trial.Close()
	}
	return nil
}
