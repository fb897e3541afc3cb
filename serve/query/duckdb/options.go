package duckdb

import (
	"errors"
	"fmt"
	"time"

	"github.com/firthlake/firth/table/objstore"
)

// ErrMissing says that the program was built without the engine.
var ErrMissing = errors.New("this firth was built without its SQL engine")

// Remedy says what to do about ErrMissing.
const Remedy = "'make sql' builds bin/firth-sql, which has it (a C compiler and CGO_ENABLED=1 are needed)"

// Options configure the engine.
type Options struct {
	// Dir is an empty folder for copies of files and for what does not fit into memory.
	Dir string
	// Objects is where data files lie.
	Objects objstore.Store
	// FileBytesMax bounds the copies, SpillBytesMax what one statement may put on disk besides.
	FileBytesMax, SpillBytesMax int64
	// MemoryMax bounds the memory of all statements together.
	MemoryMax int64
	// StatementsMax is how many statements run at a time; others wait.
	StatementsMax int
	// Threads is how many threads a statement has.
	Threads int
	// TimeMax bounds a statement, with the time that the caller takes to read the answer.
	TimeMax time.Duration
}

// statementMemoryMin is what DuckDB needs to sort more than fits into memory; with 32 MiB it gave up.
const statementMemoryMin = 64 << 20

// Validate says what is wrong with o.
func (o Options) Validate() error {
	switch {
	case o.Dir == "" || o.Objects == nil:
		return errors.New("sql engine: no folder or no store")
	case o.StatementsMax < 1 || o.Threads < 1 || o.TimeMax <= 0 || o.FileBytesMax <= 0 || o.SpillBytesMax <= 0:
		return errors.New("sql engine: a bound is not positive")
	case o.SpillBytesMax < 1<<20:
		return errors.New("sql engine: less than 1 MiB to spill")
	case o.MemoryMax/int64(o.StatementsMax) < statementMemoryMin:
		return fmt.Errorf("sql engine: %d bytes of memory are too little for %d statements: each takes %d",
			o.MemoryMax, o.StatementsMax, statementMemoryMin)
	}
	return nil
}
