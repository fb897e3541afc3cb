package ingest

import (
	"fmt"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/ingest/decode"
	"github.com/firthlake/firth/ingest/source"
)

// SuspendedError says that a table stopped before a bad record, as its policy demands.
type SuspendedError struct {
	Table          string
	TopicPartition commit.TopicPartition
	Offset         commit.Offset
	Class          decode.Class
	Message        string
}

func (e *SuspendedError) Error() string {
	return fmt.Sprintf("table %s is suspended before %s offset %d (%s: %s): correct the spec, or let its "+
		"dead_letters policy quarantine class %s, then `firth apply`",
		e.Table, e.TopicPartition, e.Offset, e.Class, e.Message, e.Class)
}

// BudgetError says that a table stopped since too many of its records were dead letters.
type BudgetError struct {
	Table                string
	DeadLetters, Records int64
	Ratio                float64
}

func (e *BudgetError) Error() string {
	return fmt.Sprintf("table %s is suspended: %d of the last %d records were dead letters, above the "+
		"budget of %g: look at its dead-letter table, correct the spec or the budget, then `firth apply`",
		e.Table, e.DeadLetters, e.Records, e.Ratio)
}

// LossError says that the log does not hold offsets that a table needs.
type LossError struct {
	Table string
	Range *source.OutOfRangeError
}

func (e *LossError) Error() string {
	text := fmt.Sprintf("table %s stopped: %s; ", e.Table, e.Range)
	if e.Range.Wanted > e.Range.End {
		return text + "restore the topic, or feed a new table from it"
	}
	tp := e.Range.TopicPartition
	return text + fmt.Sprintf("`firth accept-loss %s --topic %s --partition %d --to %d` records the loss "+
		"in the ledger and goes on", e.Table, tp.Topic, tp.Partition, e.Range.First)
}

func (e *LossError) Unwrap() error { return e.Range }
