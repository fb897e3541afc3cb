package flight

import (
	"context"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/firthlake/firth/serve/query"
)

// noEngine answers every statement with why there is no engine.
type noEngine struct{ reason error }

var _ query.Engine = noEngine{}

func (e noEngine) fault() error { return status.Error(codes.Unimplemented, e.reason.Error()) }

// Describe refuses.
func (e noEngine) Describe(context.Context, string) (query.Description, error) {
	return query.Description{}, e.fault()
}

// Run refuses.
func (e noEngine) Run(context.Context, string, arrow.RecordBatch) (array.RecordReader, error) {
	return nil, e.fault()
}

// Close has nothing to end.
func (noEngine) Close() error { return nil }
