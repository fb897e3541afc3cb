package decode

import "slices"

// beginRecord starts the rows of a record.
func (r *changeRows) beginRecord(i int) {
	r.record, r.first, r.failuresBefore = i, r.next, len(r.failures)
	r.row, r.rowFailures, r.rowFailed, r.schemaID = r.next, len(r.failures), false, 0
}

// beginRow starts a row of the record.
func (r *changeRows) beginRow() {
	r.row, r.rowFailures, r.filled = r.next, len(r.failures), false
	r.next++
}

// endRow completes a row that has been decoded in full.
func (r *changeRows) endRow() {
	r.completeKey()
	if r.filled {
		return
	}
	for _, column := range r.envelope.rest {
		r.complete(column)
	}
}

// complete gives a column without a value its null, which fails a required one.
func (r *changeRows) complete(column int) {
	if r.has(column) {
		return
	}
	if n := r.plan.columns[column]; n.required {
		r.failColumn(column, ClassRequired, n.path+": required and missing")
		return
	}
	r.columns[column].AppendNull()
}

// endKeyRow completes a row that deletes: what is not of the key is null, required or not.
func (r *changeRows) endKeyRow() {
	r.completeKey()
	for _, k := range r.envelope.rest {
		r.columns[k].AppendNull()
	}
}

// completeKey fails the columns of the key that have no value in the row begun last.
func (r *changeRows) completeKey() {
	for _, k := range r.envelope.keys {
		column := r.columns[k]
		if nulls := column.nulls; column.rows > r.row &&
			(len(nulls) == 0 || int(nulls[len(nulls)-1]) != r.row) {
			continue
		}
		r.failColumn(k, ClassRequired, r.plan.columns[k].path+": a column of the key is null or missing")
	}
}

// takeBackRow drops the row that was begun last.
func (r *changeRows) takeBackRow() {
	r.next = r.row
	r.takeBackTo(r.row)
	r.failures = r.failures[:r.rowFailures]
}

// takeBackRecord drops what the record has become so far.
func (r *changeRows) takeBackRecord() {
	r.next, r.row = r.first, r.first
	r.takeBackTo(r.first)
	r.failures = r.failures[:r.failuresBefore]
	r.changes.Rows = r.changes.Rows[:r.first]
}

// takeBackTo drops the rows from row on. Metadata columns are filled at the end only.
func (r *changeRows) takeBackTo(row int) {
	for _, column := range r.columns {
		column.Truncate(row)
	}
}

// refuse makes one failure of the record, which then has no rows.
func (r *changeRows) refuse(class Class, message string) {
	r.takeBackRecord()
	r.changes.Records[r.record] = OpFailed
	r.failures = append(r.failures, Failure{Row: r.record, Class: class, Message: message,
		SchemaID: r.schemaID})
}

// failUnavailable fails the values that are a placeholder of what the source did not send. Only a
// snapshot reads all values: Debezium makes a delete and an insert of a changed key, and the insert lacks
// what an update would.
func (r *changeRows) failUnavailable() {
	before := len(r.failures)
	for _, i := range r.envelope.texts {
		r.columns[i].eachText(r.envelope.options.Unavailable, func(row int) {
			if op := r.changes.Rows[row].Op; op == OpSnapshot || op == OpDelete {
				return
			}
			n := r.plan.columns[i]
			r.failures = append(r.failures, Failure{Row: int(r.changes.Rows[row].Record), FieldID: n.id,
				Class: ClassUnavailable, Message: n.path + ": unchanged, and the source did not send it: " +
					"let it send whole rows (Postgres: replica identity full)"})
			r.columns[i].setNull(row)
		})
	}
	if len(r.failures) > before {
		slices.SortStableFunc(r.failures, func(a, b Failure) int { return a.Row - b.Row })
	}
}

// eachText calls found for each row of a column in which text stands for the value: the value itself,
// or the first element of a list, or the first key of a map.
func (c *Column) eachText(text string, found func(row int)) {
	values := c
	if c.layout == layoutList {
		values = c.children[0]
	}
	for i := range values.rows {
		start, end := int(values.int32s[i]), int(values.int32s[i+1])
		if end-start != len(text) || string(values.bytes[start:end]) != text {
			continue
		}
		row := i
		if c.layout == layoutList {
			at, is := slices.BinarySearch(c.int32s[:c.rows], int32(i))
			for is && at+1 < c.rows && c.int32s[at+1] == int32(i) {
				at++ // lists without elements before it
			}
			if !is {
				continue
			}
			row = at
		}
		found(row)
	}
}

// setNull makes a null of a value that is there.
func (c *Column) setNull(row int) {
	at, is := slices.BinarySearch(c.nulls, int32(row))
	if !is {
		c.nulls = slices.Insert(c.nulls, at, int32(row))
	}
}

// isNull tells whether a value is null.
func (c *Column) isNull(row int) bool {
	_, is := slices.BinarySearch(c.nulls, int32(row))
	return is
}

// appendFrom appends a copy of an earlier value of a column that holds no nested values.
func (c *Column) appendFrom(row int) {
	switch {
	case c.isNull(row):
		c.AppendNull()
	case c.layout == layoutBool:
		c.AppendBool(c.bytes[row] != 0)
	case c.layout == layout32:
		c.AppendInt32(c.int32s[row])
	case c.layout == layout64:
		c.AppendInt64(c.int64s[row])
	case c.layout == layoutFixed:
		out := c.AppendFixed() // may move the bytes
		copy(out, c.bytes[row*c.width:])
	default:
		out := c.reserveBytes(int(c.int32s[row+1] - c.int32s[row])) // may move the bytes
		copy(out, c.valueBytes(row))
		c.commitBytes(len(out))
	}
}

// rowPerRecord tells whether each of so many records has become one row.
func (r *changeRows) rowPerRecord(records int) bool {
	rows := r.changes.Rows
	if len(rows) != records {
		return false
	}
	for i := range rows {
		if int(rows[i].Record) != i {
			return false
		}
	}
	return true
}
