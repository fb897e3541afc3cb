package lookup

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/iceberg-go"

	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/point"
)

// Ask finds the rows of keys, each a JSON value, at one state of a table, and returns the table's schema besides. The
// caller releases the answer.
func Ask(
	ctx context.Context, tables Tables, ident table.Ident, keys []json.RawMessage,
) (*iceberg.Schema, point.Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	t, err := tables.Lookup(ctx, ident)
	if err != nil {
		return nil, point.Answer{}, err
	}
	return askAll(ctx, t, keys)
}

func askAll(ctx context.Context, t Table, values []json.RawMessage) (*iceberg.Schema, point.Answer, error) {
	none := point.Answer{}
	schema, err := schemaOf(t)
	if err != nil {
		return nil, none, err
	}
	if len(values) > keysMax {
		return nil, none, fmt.Errorf("%w: the list has %d keys: send %d at a time", point.ErrKey, len(values), keysMax)
	}
	keys := make([]arrow.RecordBatch, 0, len(values))
	defer func() {
		for _, key := range keys {
			key.Release()
		}
	}()
	for i, value := range values {
		key, err := point.ParseJSONKey(schema, value)
		if err != nil {
			return nil, none, fmt.Errorf("key %d of the list: %w", i+1, err)
		}
		keys = append(keys, key)
	}
	answer, err := t.Get(ctx, keys)
	return schema, answer, err
}
