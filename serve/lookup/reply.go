package lookup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/cell"
	"github.com/firthlake/firth/table/point"
)

// reply is an answer as HTTP has it.
type reply struct {
	status        int
	body          []byte
	found, absent int
}

// replyOne is the answer for one key: the row and its cut, or that there is none at the cut.
func replyOne(a *point.Answer) (reply, error) {
	out := reply{status: http.StatusOK, found: 1}
	if a.Rows[0] == nil {
		out = reply{status: http.StatusNotFound, absent: 1}
		out.body = append([]byte(`{"error":`), faultObject("NoSuchRowException", out.status,
			"the table has no row with this key")...)
	} else {
		row, err := appendRow([]byte(`{"row":`), a.Rows[0])
		if err != nil {
			return reply{}, err
		}
		out.body = row
	}
	return out, out.end(a)
}

// replyMany is the answer for a list of keys: a row or null for each.
func replyMany(a *point.Answer) (out reply, err error) {
	out.status = http.StatusOK
	out.body = []byte(`{"rows":[`)
	for i, row := range a.Rows {
		if i > 0 {
			out.body = append(out.body, ',')
		}
		if row == nil {
			out.absent++
			out.body = append(out.body, "null"...)
			continue
		}
		out.found++
		if out.body, err = appendRow(out.body, row); err != nil {
			return reply{}, err
		}
	}
	out.body = append(out.body, ']')
	return out, out.end(a)
}

// end appends the cut to the object that is begun.
func (r *reply) end(a *point.Answer) error {
	text, err := json.Marshal(struct {
		SnapshotID int64                              `json:"snapshot_id"`
		Position   map[string]map[string]table.Offset `json:"position"`
		Behind     string                             `json:"behind,omitempty"`
	}{a.SnapshotID, Cut(a), a.Behind})
	if err != nil {
		return fmt.Errorf("write the cut: %w", err)
	}
	r.body = append(append(r.body, ','), text[1:]...)
	return nil
}

// Cut is where an answer ends: next offsets by topic and partition.
func Cut(a *point.Answer) map[string]map[string]table.Offset {
	cut := map[string]map[string]table.Offset{}
	for id, next := range a.Position {
		if cut[id.Topic] == nil {
			cut[id.Topic] = map[string]table.Offset{}
		}
		cut[id.Topic][strconv.Itoa(int(id.Partition))] = next
	}
	return cut
}

// Fault is an error as HTTP has it.
type Fault struct {
	Status     int
	Kind, Text string
}

// FaultOf is the fault of a look-up in a table.
func FaultOf(name string, err error) Fault {
	switch {
	case errors.Is(err, point.ErrKey):
		return Fault{http.StatusBadRequest, "BadRequestException", err.Error()}
	case errors.Is(err, errNotKeyed):
		return Fault{http.StatusBadRequest, "NoKeyException", fmt.Sprintf("%s: %v: read it with SQL or 'firth read "+
			"--where', or give its spec an identifier", name, err)}
	case errors.Is(err, table.ErrNotFound):
		return Fault{http.StatusNotFound, "NoSuchTableException", fmt.Sprintf("there is no table %s", name)}
	case errors.Is(err, ErrElsewhere):
		return Fault{http.StatusMisdirectedRequest, "ElsewhereException", fmt.Sprintf("%s: %v, and the index by key "+
			"is where it is ingested: ask the process that does, or run one with the role ingest and a spec of the "+
			"table", name, err)}
	case errors.Is(err, context.DeadlineExceeded):
		return Fault{http.StatusServiceUnavailable, "UnavailableException", fmt.Sprintf("%s: the index by key is "+
			"being made or brought up to the table: try again", name)}
	}
	return Fault{http.StatusServiceUnavailable, "UnavailableException", fmt.Sprintf("look up in %s: %v", name, err)}
}

func faultBody(kind string, status int, text string) []byte {
	return append(append([]byte(`{"error":`), faultObject(kind, status, text)...), '}')
}

// faultObject is an error as the catalog has it.
func faultObject(kind string, status int, text string) []byte {
	out, err := json.Marshal(map[string]any{"type": kind, "code": status, "message": text})
	if err != nil {
		panic("BUG: texts and a number are no JSON: " + err.Error())
	}
	return out
}

// appendRow appends the first row of a batch as an object, its columns in their order.
func appendRow(dst []byte, batch arrow.RecordBatch) ([]byte, error) {
	dst = append(dst, '{')
	for i, column := range batch.Columns() {
		if i > 0 {
			dst = append(dst, ',')
		}
		name, err := json.Marshal(batch.ColumnName(i))
		if err != nil {
			return nil, err
		}
		value, err := json.Marshal(cell.Value(column, 0))
		if err != nil {
			return nil, err
		}
		dst = append(append(append(dst, name...), ':'), value...)
	}
	return append(dst, '}'), nil
}
