package objstore

import (
	"os"
	"syscall"
)

// syncFileRangeWrite is SYNC_FILE_RANGE_WRITE of sync_file_range(2): begin to write, and do not wait.
const syncFileRangeWrite = 2

// beginWriteBack asks for bytes of a file to be written soon. It fails in silence: the flush tells.
func beginWriteBack(file *os.File, from, bytes int64) {
	conn, err := file.SyscallConn()
	if err != nil {
		return
	}
	_ = conn.Control(func(fd uintptr) {
		_ = syscall.SyncFileRange(int(fd), from, bytes, syncFileRangeWrite)
	})
}
