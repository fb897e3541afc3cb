package stream

import (
	"fmt"
	"strconv"
	"time"
)

// From says where a stream begins. The zero value begins with the rows of the newest snapshot, which are all there ever
// were of a table that rows are only added to. At most one field is set.
type From struct {
	// Oldest begins a keyed table with the rows of the oldest snapshot that is left. For others it is the zero value.
	Oldest bool
	// End begins with what comes after now.
	End bool
	// SnapshotID begins behind a snapshot.
	SnapshotID int64
	// Time begins behind what was committed then.
	Time time.Time
	// Token goes on where a stream stood.
	Token *Token
}

// ParseFrom reads "snapshot", "beginning", "end", the id of a snapshot, a time as RFC 3339 has it, or a token.
func ParseFrom(text string) (From, error) {
	switch text {
	case "", "snapshot":
		return From{}, nil
	case "beginning":
		return From{Oldest: true}, nil
	case "end":
		return From{End: true}, nil
	}
	if id, err := strconv.ParseInt(text, 10, 64); err == nil && id > 0 {
		return From{SnapshotID: id}, nil
	}
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return From{Time: at}, nil
	}
	token, err := ParseToken(text)
	if err != nil {
		return From{}, fmt.Errorf("from %.40q: %w; it may also be snapshot, beginning, end, the id of a snapshot, or a"+
			" time like 2026-01-31T12:00:00Z", text, err)
	}
	return From{Token: &token}, nil
}
