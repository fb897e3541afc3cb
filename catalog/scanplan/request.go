package scanplan

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"

	"github.com/firthlake/firth/table"
)

// The ways in which a plan is refused, beside table.ErrNotFound. Each is wrapped with what is wrong.
var (
	// ErrInvalid says that the request makes no sense for the table.
	ErrInvalid = errors.New("invalid scan")
	// ErrUnsupported says that clients must plan such a scan themselves.
	ErrUnsupported = errors.New("not planned by the server")
	// ErrNoPlan says that a handle was not made by this kind of server, or that its snapshot has expired.
	ErrNoPlan = errors.New("no such plan")
)

// Request is the protocol's PlanTableScanRequest. The columns that a client selects change nothing here: deletes come
// by position, and files are named whole.
type Request struct {
	SnapshotID        *int64          `json:"snapshot-id,omitempty"`
	Filter            json.RawMessage `json:"filter,omitempty"`
	MinRows           *int64          `json:"min-rows-requested,omitempty"`
	CaseSensitive     *bool           `json:"case-sensitive,omitempty"`
	UseSnapshotSchema bool            `json:"use-snapshot-schema,omitempty"`
	StartSnapshotID   *int64          `json:"start-snapshot-id,omitempty"`
	EndSnapshotID     *int64          `json:"end-snapshot-id,omitempty"`
	// StatsFields are columns whose statistics are wanted with each file; nil is none.
	StatsFields []string `json:"stats-fields,omitempty"`
}

// filterBytesMax bounds a filter: it comes back with every page.
const filterBytesMax = 1 << 20

func (r *Request) check() error {
	switch {
	case r.StartSnapshotID != nil || r.EndSnapshotID != nil:
		return fmt.Errorf("%w: a scan of what came between two snapshots", ErrUnsupported)
	case len(r.Filter) > filterBytesMax:
		return fmt.Errorf("%w: a filter of more than %d bytes", ErrUnsupported, filterBytesMax)
	case len(r.Filter) > 0 && !json.Valid(r.Filter):
		return fmt.Errorf("%w: the filter is no JSON", ErrInvalid)
	case r.MinRows != nil && *r.MinRows < 0:
		return fmt.Errorf("%w: min-rows-requested is %d", ErrInvalid, *r.MinRows)
	}
	return nil
}

func (r *Request) ignoresCase() bool { return r.CaseSensitive != nil && !*r.CaseSensitive }

// scan is the snapshot to read, which the request names from then on, and the schema by which it names columns.
func (r *Request) scan(t *table.Table) (scan table.Scan, names, columns *iceberg.Schema, err error) {
	meta := t.Metadata()
	if r.SnapshotID == nil {
		if s := meta.SnapshotByName(icetable.MainBranch); s != nil {
			r.SnapshotID = &s.SnapshotID
		}
	}
	if r.SnapshotID != nil {
		scan.SnapshotID = *r.SnapshotID
	}
	_, columns, err = scan.Snapshot(t)
	if errors.Is(err, table.ErrNotFound) {
		return scan, nil, nil, fmt.Errorf("%w: %s has no snapshot %d: it may have expired", ErrInvalid, t,
			scan.SnapshotID)
	}
	names = meta.CurrentSchema()
	if r.UseSnapshotSchema {
		names = columns
	}
	return scan, names, columns, err
}

// handle is a request and the first file of a page of its plan.
type handle struct {
	Request Request `json:"request"`
	From    int     `json:"from,omitempty"`
}

func (h handle) String() string {
	text, err := json.Marshal(h)
	if err != nil {
		panic("BUG: encode a plan's handle: " + err.Error())
	}
	return base64.RawURLEncoding.EncodeToString(text)
}

// parseHandle reads what String made.
func parseHandle(text string) (handle, error) {
	var h handle
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err == nil {
		err = json.Unmarshal(raw, &h)
	}
	if err != nil || h.From < 0 || h.Request.check() != nil {
		return handle{}, fmt.Errorf("%w: ask for a plan again", ErrNoPlan)
	}
	return h, nil
}
