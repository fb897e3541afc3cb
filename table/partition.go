package table

import "github.com/apache/iceberg-go"

// partitionValue is what a file says about its partition: spec, values by partition field id, and
// the order its rows are in (0 for none).
type partitionValue struct {
	spec         *iceberg.PartitionSpec
	values       map[int]any
	logicalTypes map[int]string
	sortOrderID  int
}
