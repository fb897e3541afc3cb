package filecache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/firthlake/firth/table/objstore"
)

// Range is the bytes of a file from From on, up to Next.
type Range struct{ From, Next int64 }

const (
	// gapMax is how many bytes between two ranges are fetched rather than asking the store twice: at 100 MB/s, what
	// one stream of a store gives, they take the few milliseconds of an answer.
	gapMax = 256 << 10
	// partsAtOnce is how many ranges of one object are fetched at a time.
	partsAtOnce = 4
)

// Object names the object that a file has parts of, and its size, which the store is not asked for.
type Object struct {
	Store    objstore.Store
	Location string
	Bytes    int64
}

// Parts returns a file of the size of an object that has the object's bytes in ranges. What others asked for is there
// too; the rest of the file is holes.
func (c *Cache) Parts(ctx context.Context, of Object, ranges ...Range) (*File, error) {
	f, err := c.Get(ctx, "parts of "+of.Location, func(context.Context, io.Writer) error { return nil })
	if err != nil {
		return nil, err
	}
	if err := c.addParts(ctx, f.entry, of, ranges); err != nil {
		f.Release()
		return nil, err
	}
	return f, nil
}

// addParts fetches what of ranges the file lacks. One at a time does that for a file, so nothing is fetched twice.
func (c *Cache) addParts(ctx context.Context, e *entry, of Object, ranges []Range) error {
	select {
	case e.turn <- struct{}{}:
		defer func() { <-e.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	missing := lacking(e.present, ranges, of.Bytes)
	if len(missing) == 0 {
		return nil
	}
	file, err := os.OpenFile(e.path, os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("open cached file: %w", err)
	}
	if err := file.Truncate(of.Bytes); err != nil {
		return errors.Join(fmt.Errorf("make cached file: %w", err), file.Close())
	}
	fetched := make([]bool, len(missing))
	group, working := errgroup.WithContext(ctx)
	group.SetLimit(partsAtOnce)
	for i, each := range missing {
		group.Go(func() error {
			err := c.fetchPart(working, e, file, of, each)
			fetched[i] = err == nil
			return err
		})
	}
	err = errors.Join(group.Wait(), file.Close())
	for i, each := range missing {
		if fetched[i] {
			e.present = merged(append(e.present, each), 0)
		}
	}
	c.count(e, e.present)
	return err
}

// fetchPart writes one range of an object to its place in the file.
func (c *Cache) fetchPart(ctx context.Context, e *entry, file *os.File, of Object, each Range) error {
	if err := c.take(e, each.Next-each.From); err != nil {
		return err
	}
	return copyPart(ctx, file, of, each)
}

// count makes the bytes of e those of present: what failed takes no room, nor what was fetched again between two
// ranges.
func (c *Cache) count(e *entry, present []Range) {
	bytes := int64(0)
	for _, each := range present {
		bytes += each.Next - each.From
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.bytes += bytes - e.bytes
	e.bytes = bytes
}

func copyPart(ctx context.Context, file *os.File, of Object, each Range) error {
	body, err := of.Store.Get(ctx, of.Location, each.From, each.Next-each.From)
	if err != nil {
		return err
	}
	n, err := io.Copy(io.NewOffsetWriter(file, each.From), body)
	if err = errors.Join(err, body.Close()); err == nil && n != each.Next-each.From {
		err = fmt.Errorf("%s is shorter than the %d bytes that its table says: %w", of.Location, of.Bytes,
			io.ErrUnexpectedEOF)
	}
	return err
}

// lacking are the ranges that are not all present, joined where they are near each other. All end within size.
func lacking(present, ranges []Range, size int64) []Range {
	var out []Range
	for _, each := range merged(slices.Clone(ranges), 0) {
		each = Range{max(each.From, 0), min(each.Next, size)}
		for _, have := range present {
			switch {
			case have.Next <= each.From || each.From >= each.Next:
			case have.From >= each.Next:
			case have.From <= each.From:
				each.From = min(have.Next, each.Next)
			case have.Next >= each.Next:
				each.Next = have.From
			default: // a hole in the middle is asked for as the whole
			}
		}
		if each.From < each.Next {
			out = append(out, each)
		}
	}
	return merged(out, gapMax)
}

// merged sorts ranges and joins those with at most gap bytes between them.
func merged(ranges []Range, gap int64) []Range {
	slices.SortFunc(ranges, func(a, b Range) int { return int(min(max(a.From-b.From, -1), 1)) })
	var out []Range
	for _, each := range ranges {
		if last := len(out) - 1; last >= 0 && each.From <= out[last].Next+gap {
			out[last].Next = max(out[last].Next, each.Next)
			continue
		}
		out = append(out, each)
	}
	return out
}
