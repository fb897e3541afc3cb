package backfill

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/table/objstore"
)

// Check runs the plan's checks over the rows on the branch. ErrCheck says that one does not hold; the verdicts come
// with it.
func (b *Backfill) Check(ctx context.Context) ([]Verdict, error) {
	if b.held == nil || !b.held.State.Whole() {
		return nil, fmt.Errorf("backfill %s: %d of %d files are on the branch: %w", b.id, b.State().FilesDone,
			b.State().Files, ErrUnfinished)
	}
	verdicts, err := runChecks(ctx, b.opts.Committer.Table(), b.opts.Store, *b.held)
	if err != nil {
		return nil, err
	}
	var failed []string
	for _, v := range verdicts {
		switch {
		case v.Holds:
		case v.Failing > 0:
			failed = append(failed, fmt.Sprintf("%s: not true for %d of %d rows", v.Check, v.Failing, v.Rows))
		default:
			failed = append(failed, fmt.Sprintf("%s: there are %d", v.Check, v.Rows))
		}
	}
	if len(failed) > 0 {
		return verdicts, fmt.Errorf("%w, nothing is promoted: %s", ErrCheck, strings.Join(failed, "; "))
	}
	return verdicts, nil
}

// Promote makes the rows of the branch rows of main, in one commit, if the checks hold. ErrPromoted says that they
// are already.
func (b *Backfill) Promote(ctx context.Context) (commit.Committed, []Verdict, error) {
	if err := b.refresh(ctx); err != nil {
		return commit.Committed{}, nil, err
	}
	verdicts, err := b.Check(ctx)
	if err != nil {
		return commit.Committed{}, verdicts, err
	}
	done, err := b.opts.Committer.Promote(ctx, commit.Promotion{ID: changeID(b.id, b.listing.ID, "promotion"),
		Branch: b.branch, At: b.held.SnapshotID, Ranges: b.held.State.ranges()})
	if errors.Is(err, commit.ErrFenced) || errors.Is(err, commit.ErrBranch) {
		if again := b.look(); errors.Is(again, ErrPromoted) {
			return commit.Committed{}, verdicts, again
		}
	}
	return done, verdicts, err
}

// refresh looks whether others promoted, moved or dropped the branch since this run left it.
func (b *Backfill) refresh(ctx context.Context) error {
	if err := b.opts.Committer.Refresh(ctx); err != nil {
		return err
	}
	before := b.held
	if err := b.look(); err != nil || before == nil {
		return err
	}
	moved := &commit.BranchError{Branch: b.branch, Want: before.SnapshotID}
	if head := b.opts.Committer.Table().Metadata().SnapshotByName(b.branch); head != nil {
		moved.At = head.SnapshotID
	}
	b.held = before
	if moved.At != moved.Want {
		return fmt.Errorf("backfill %s: %w", b.id, moved)
	}
	return nil
}

// Abandon takes a backfill away that is not promoted, with its branch and files.
func Abandon(ctx context.Context, committer *commit.Committer, held Held) error {
	return committer.DropBranch(ctx, held.Branch, held.SnapshotID)
}

// Fit opens each file of the source and reads its first rows, and tells the first that does not fit. It writes
// nothing.
func (b *Backfill) Fit(ctx context.Context) error {
	o, err := b.opener()
	if err != nil {
		return err
	}
	for _, file := range b.listing.Files {
		if err := fits(ctx, o, file); err != nil {
			return err
		}
	}
	return nil
}

func fits(ctx context.Context, o *opener, file objstore.Object) error {
	r, err := o.open(ctx, file)
	if err != nil {
		return err
	}
	defer r.close()
	batch, err := r.next(ctx)
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err != nil {
		return err
	}
	batch.Release()
	return nil
}
