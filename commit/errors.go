package commit

import (
	"errors"
	"fmt"
	"time"

	"github.com/firthlake/firth/table"
)

// What a caller of Commit must tell apart. After ErrStateUnknown the change may have landed: its
// files must stay, whatever later tries say, and the same Change may be committed again. After every
// other error this call landed nothing.
var (
	// ErrFenced says that a range does not begin where the table stands: somebody else moved the
	// position, or the caller is late. The error is a *FencedError.
	ErrFenced = errors.New("fenced")
	// ErrConflict says that others kept winning the swap until the tries ran out. Nothing landed.
	ErrConflict = table.ErrConflict
	// ErrStateUnknown says that the change may or may not have landed and that reading back gave
	// no answer either.
	ErrStateUnknown = table.ErrStateUnknown
	// ErrStale says that data files of which a change deletes rows, or which it removes, are not any more
	// what they were at its base: work the change out anew from the head. The error is a *StaleError.
	ErrStale = errors.New("stale")
	// ErrBranch says that a branch does not stand where the caller left it. The error is a *BranchError.
	ErrBranch = errors.New("branch moved")
	// ErrInvalid says that a change contradicts itself or the table.
	ErrInvalid = errors.New("invalid change")
	// ErrDamaged says that the ledger in the table was edited or damaged.
	ErrDamaged = errors.New("edited or damaged")
	// ErrTopicRecreated says that the table knows the topic under another topic id.
	ErrTopicRecreated = errors.New("topic was re-created")
	// ErrClusterChanged says that the table knows the topic on another cluster.
	ErrClusterChanged = errors.New("cluster changed")
)

// FencedError tells which range was refused and who holds the table.
type FencedError struct {
	TopicPartition TopicPartition
	// From is where the refused range begins, Position where the table stands.
	From, Position Offset
	// Writer and CommittedAt tell of the newest firth commit of the table.
	Writer      string
	CommittedAt time.Time
}

func (e *FencedError) Error() string {
	held := "held by nobody known"
	if e.Writer != "" {
		held = fmt.Sprintf("held by %s since %s", e.Writer, e.CommittedAt.UTC().Format(time.RFC3339))
	}
	return fmt.Sprintf("fenced: %s begins at %d but the table stands at %d (%s)",
		e.TopicPartition, e.From, e.Position, held)
}

// Is makes errors.Is(err, ErrFenced) true.
func (e *FencedError) Is(target error) bool { return target == ErrFenced }

// StaleError tells at which data files a change and the table have come apart.
type StaleError struct {
	// Base is the snapshot that the change was worked out from, Head the one that it met.
	Base, Head int64
	// Pinned says that the change was for Base alone.
	Pinned bool
	// Files are the data files that have left or got other deletes since; none when Base is not in the
	// history of main any more.
	Files []string
}

func (e *StaleError) Error() string {
	if e.Pinned {
		return fmt.Sprintf("stale: the change was worked out for snapshot %d, the table is at %d", e.Base, e.Head)
	}
	if len(e.Files) == 0 {
		return fmt.Sprintf("stale: snapshot %d, from which the change was worked out, is not in the history of %d",
			e.Base, e.Head)
	}
	return fmt.Sprintf("stale: %d data files were rewritten or got other deletes between snapshot %d and %d, first %s",
		len(e.Files), e.Base, e.Head, e.Files[0])
}

// Is makes errors.Is(err, ErrStale) true.
func (e *StaleError) Is(target error) bool { return target == ErrStale }

// BranchError tells where a branch stands.
type BranchError struct {
	Branch string
	// Want is the snapshot that it was to have, At the one that it has; 0 is no branch.
	Want, At int64
}

func (e *BranchError) Error() string {
	switch {
	case e.Want == 0:
		return fmt.Sprintf("branch %s is there already, at snapshot %d", e.Branch, e.At)
	case e.At == 0:
		return fmt.Sprintf("branch %s is gone: it was promoted, abandoned or dropped", e.Branch)
	}
	return fmt.Sprintf("branch %s was moved: it is at snapshot %d, and was left at %d", e.Branch, e.At, e.Want)
}

// Is makes errors.Is(err, ErrBranch) true.
func (e *BranchError) Is(target error) bool { return target == ErrBranch }

// IdentityError says that the table knows a topic partition by another identity. It is
// ErrTopicRecreated or ErrClusterChanged.
type IdentityError struct {
	Known, Offered TopicPartition
}

func (e *IdentityError) Error() string {
	const remedy = "; if that is meant, feed a new table from it, else point the source back"
	if e.Known.Cluster != e.Offered.Cluster {
		return fmt.Sprintf("cluster changed: the table knows topic %s on cluster %q, offered is %s on %q%s",
			e.Known.Topic, e.Known.Cluster, e.Offered, e.Offered.Cluster, remedy)
	}
	return fmt.Sprintf("topic was re-created: the table knows topic %s under id %s, offered is %s under id %s%s",
		e.Known.Topic, e.Known.TopicID, e.Offered, e.Offered.TopicID, remedy)
}

// Is tells ErrClusterChanged and ErrTopicRecreated apart.
func (e *IdentityError) Is(target error) bool {
	if e.Known.Cluster != e.Offered.Cluster {
		return target == ErrClusterChanged
	}
	return target == ErrTopicRecreated
}

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrInvalid}, args...)...)
}

func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrDamaged}, args...)...)
}
