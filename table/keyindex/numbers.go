package keyindex

// fileNumbers give data files numbers, from 1 on. Numbers are not used again until the
// index is built anew.
type fileNumbers struct {
	numbers map[string]uint32
	paths   map[uint32]string
	last    uint32
	// logged is the last number that the log or the manifest has.
	logged uint32
	// alive tells of each number whether its file is known, for many goroutines.
	alive []bool
}

func newFileNumbers() fileNumbers {
	return fileNumbers{numbers: map[string]uint32{}, paths: map[uint32]string{}}
}

func (f *fileNumbers) number(path string) uint32 {
	if n, known := f.numbers[path]; known {
		return n
	}
	f.last++
	f.set(f.last, path)
	return f.last
}

func (f *fileNumbers) set(number uint32, path string) {
	f.numbers[path], f.paths[number] = number, path
	f.last = max(f.last, number)
	for int(number) >= len(f.alive) {
		f.alive = append(f.alive, false)
	}
	f.alive[number] = true
}

func (f *fileNumbers) retire(paths []string) {
	for _, path := range paths {
		if n, known := f.numbers[path]; known {
			delete(f.numbers, path)
			delete(f.paths, n)
			f.alive[n] = false
		}
	}
}

// live says whether places in the file count. It may be called from many goroutines.
func (f *fileNumbers) live(number uint32) bool {
	return int64(number) < int64(len(f.alive)) && f.alive[number]
}
