package objstore

import "os"

// writeBehindBytes is how much of a file is written before the disk is told to begin with it.
const writeBehindBytes = 4 << 20

// writeBehind lets the disk write a file while the rest of it is still made, so that little is left for
// the flush that its publication waits for.
type writeBehind struct {
	file    *os.File
	written int64
	begun   int64 // bytes that the disk was told of
}

// Write implements io.Writer.
func (w *writeBehind) Write(p []byte) (int, error) {
	n, err := w.file.Write(p)
	w.written += int64(n)
	if fresh := w.written - w.begun; fresh >= writeBehindBytes {
		beginWriteBack(w.file, w.begun, fresh)
		w.begun = w.written
	}
	return n, err
}
