package compaction

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/apache/iceberg-go"
)

// Policy says which files are worth a rewrite.
type Policy struct {
	// TargetBytes is the size that files should have.
	TargetBytes int64
	// SmallShare is the share of TargetBytes below which a file is small.
	SmallShare float64
	// DeletedShare is the share of deleted rows from which a file is written without them.
	DeletedShare float64
	// WasteShare is the share of what a scan of a group of files costs that may go for deletes and for their
	// number, from where on files with deletes are rewritten before the other shares ask for it; 0 waits for these.
	WasteShare float64
	// DeleteFilesMax is how many delete files that are not of one data file alone may apply to a file.
	DeleteFilesMax int
	// FilesMin is how many small files make a group that is smaller than TargetBytes.
	FilesMin int
	// GrowthShare is how much, as a share of it, must come to the largest small file for it to be
	// rewritten with others, unless it is below a share of TargetBytes, which costs nothing. So a file
	// that grows is rewritten a few times and not whenever a file comes.
	GrowthShare float64
	// Whole takes all files of a partition, in groups of up to wholeTargets targets: to put rows in another
	// order, of which several files have narrower bounds than one.
	Whole bool
	// RunBytesMax bounds the bytes of all groups of one plan; 0 is no bound. The first group may be larger.
	RunBytesMax int64
}

// The defaults. A file of three quarters of the target gains nothing by company; below a third of
// deleted rows a rewrite costs more than readers save.
const (
	TargetBytesDefault    = 512 << 20
	SmallShareDefault     = 0.75
	DeletedShareDefault   = 0.3
	DeleteFilesMaxDefault = 5
	FilesMinDefault       = 2
	GrowthShareDefault    = 1.0 / 3
	// FilesMinAutomatic is FilesMin of an Automatic: that many files without deletes wait for each other.
	FilesMinAutomatic = 8
	// WasteShareAutomatic is WasteShare of an Automatic: reads are promised a tenth at most, and what comes while
	// files are rewritten adds to it.
	WasteShareAutomatic = 0.04

	propertyTargetBytes = "write.target-file-size-bytes"
)

// wholeTargets bounds a group of a policy that takes all files: rows are sorted on local disk, which takes as much.
const wholeTargets = 32

// rowGroupBytesMin is the mean size of row groups from which files are copied. Below it readers pay more
// for row groups than decoding costs once.
const rowGroupBytesMin = 1 << 20

// tinyShare is the share of the target below which files are rewritten whatever comes: a second of work.
const tinyShare = 1.0 / 64

// DefaultPolicy is the policy for a table with these properties.
func DefaultPolicy(properties iceberg.Properties) Policy {
	p := Policy{TargetBytes: TargetBytesDefault, SmallShare: SmallShareDefault,
		DeletedShare: DeletedShareDefault, DeleteFilesMax: DeleteFilesMaxDefault, FilesMin: FilesMinDefault,
		GrowthShare: GrowthShareDefault}
	if size, err := strconv.ParseInt(properties[propertyTargetBytes], 10, 64); err == nil && size > 0 {
		p.TargetBytes = size
	}
	return p
}

// automaticPolicy is the policy of an Automatic for a table with these properties.
func automaticPolicy(properties iceberg.Properties) Policy {
	p := DefaultPolicy(properties)
	p.FilesMin, p.WasteShare = FilesMinAutomatic, WasteShareAutomatic
	return p
}

// due is the policy for what is rewritten at the latest: what it wants is what compaction is behind with.
func (p Policy) due() Policy {
	p.WasteShare = 0
	return p
}

// Validate says what is wrong with the policy.
func (p Policy) Validate() error {
	switch {
	case p.TargetBytes <= 0:
		return fmt.Errorf("a target of %d bytes is no size of a file", p.TargetBytes)
	case !(p.SmallShare > 0 && p.SmallShare <= 1) || !(p.DeletedShare > 0 && p.DeletedShare <= 1):
		return errors.New("shares of small files and deleted rows are above 0 and at most 1")
	case !(p.WasteShare >= 0 && p.WasteShare <= 1):
		return errors.New("the share of waste is from 0 to 1")
	case !(p.GrowthShare >= 0 && p.GrowthShare <= 1):
		return errors.New("the share by which files grow is from 0 to 1")
	case p.FilesMin < 2 || p.DeleteFilesMax < 1 || p.RunBytesMax < 0:
		return errors.New("numbers of files and bytes are too small")
	}
	return nil
}
