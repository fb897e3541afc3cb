package table

import (
	"context"
	"errors"
)

// Shrink gives back memory without ending a file: pending rows are encoded and open row groups end. It
// does nothing for a writer of partitions or in order, which must see its rows together.
func (w *Writer) Shrink(ctx context.Context) error {
	if w.state != writerOpen {
		return errors.New("shrink of a writer that has ended")
	}
	if w.sorter != nil {
		return nil
	}
	if err := w.shrink(ctx); err != nil {
		w.state = writerFailed
		return err
	}
	return nil
}

func (w *Writer) shrink(ctx context.Context) error {
	if err := w.writePending(ctx, (*dataFile).writeRowGroup); err != nil {
		return err
	}
	for _, file := range w.open {
		if file != nil {
			if err := file.endRowGroup(); err != nil {
				return err
			}
		}
	}
	w.settle(w.heldByFiles())
	return nil
}

// ShrinkBytes is about how much Shrink would give back.
func (w *Writer) ShrinkBytes() int64 {
	if w.sorter != nil || w.state != writerOpen {
		return 0
	}
	bytes := w.pendingBytes
	for _, file := range w.open {
		if file != nil {
			bytes += file.parquet.HeldBytes()
		}
	}
	return bytes
}

// shares says whether others hold so much of the budget that row groups had better not stay open: open
// pages of all columns take more than the rows themselves until there are many.
func (w *Writer) shares() bool {
	return w.opts.Memory.Used()-w.charged > w.opts.Memory.Limit()/othersShare
}

func (w *Writer) heldByFiles() int64 {
	var held int64
	for _, file := range w.open {
		if file != nil {
			held += file.held()
		}
	}
	return held
}

// reserve takes bytes from the budget, or without asking while the writer holds next to nothing.
func (w *Writer) reserve(bytes int64) bool {
	if w.charged+bytes <= floorBytes {
		w.charge(bytes)
		return true
	}
	if !w.opts.Memory.TryAcquire(bytes) {
		return false
	}
	w.charged += bytes
	return true
}

func (w *Writer) charge(bytes int64) {
	w.opts.Memory.Charge(bytes)
	w.charged += bytes
}

// settle brings what is taken from the budget to what is held.
func (w *Writer) settle(held int64) {
	if held > w.charged {
		w.charge(held - w.charged)
		return
	}
	w.opts.Memory.Release(w.charged - held)
	w.charged = held
}
