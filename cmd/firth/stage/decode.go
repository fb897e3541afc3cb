package stage

import (
	"context"
	"time"

	"github.com/apache/arrow-go/v18/arrow/memory"
)

// Options say what Decode, Encode and Upload measure.
type Options struct {
	Feed
	Rows int64
	// CPUProfile is a file for the profile, or empty.
	CPUProfile string
	// Progress is told the number of rows now and then.
	Progress func(rows int64)
	Now      func() time.Time
}

// Decode measures how records become record batches with the metadata columns, on one goroutine.
func Decode(ctx context.Context, o Options) (Result, error) {
	result := Result{Stage: "decode", Workload: o.Workload, Format: o.Format}
	g, err := o.Generator()
	if err != nil {
		return result, err
	}
	plan, err := o.plan(ctx, g, nil)
	if err != nil {
		return result, err
	}
	pool := chunks(g, o.Rows)
	decoder := plan.NewDecoder(memory.DefaultAllocator)
	defer decoder.Close()
	meter, err := StartMeter(o.Now)
	if err != nil {
		return result, err
	}
	for i := 0; result.Rows < o.Rows; i++ {
		chunk := pool[i%len(pool)]
		if left := o.Rows - result.Rows; int64(len(chunk.Records)) > left {
			chunk.Records = chunk.Records[:left]
		}
		out, err := decoder.Decode(ctx, &chunk)
		if err != nil {
			return result, err
		}
		out.Batch.Release()
		if err := decoded(out); err != nil {
			return result, err
		}
		result.Rows += int64(len(chunk.Records))
		result.BytesRead += int64(chunkSize(&chunk))
		o.Progress(result.Rows)
	}
	if err := meter.Stop(&result, o.CPUProfile); err != nil {
		return result, err
	}
	result.Rate()
	return result, nil
}
