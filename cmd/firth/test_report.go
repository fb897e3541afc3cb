package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/firthlake/firth/ingest"
	"github.com/firthlake/firth/ingest/decode"
	"github.com/firthlake/firth/ingest/spec"
)

// testReport is what 'firth test --json' prints.
type testReport struct {
	Table string `json:"table"`
	// Steps are what would make the table, Evolved the steps by which it followed its writers.
	Steps       []spec.Step  `json:"steps"`
	Evolved     []string     `json:"evolved,omitempty"`
	Records     int          `json:"records"`
	Rows        []testRow    `json:"rows"`
	Filtered    []testRecord `json:"filtered"`
	Tombstones  int          `json:"tombstones,omitempty"`
	DeadLetters []testLetter `json:"dead_letters"`
}

// testRow is a row, and in keyed tables what it does.
type testRow struct {
	Offset int64           `json:"offset"`
	Op     string          `json:"op,omitempty"`
	Row    json.RawMessage `json:"row"`
}

// testRecord is a record as it came.
type testRecord struct {
	Offset int64  `json:"offset"`
	Value  string `json:"value"`
}

// testLetter is a record that would be a dead letter.
type testLetter struct {
	testRecord
	Class   decode.Class `json:"class"`
	Column  string       `json:"column,omitempty"`
	Message string       `json:"message"`
	Remedy  string       `json:"remedy,omitempty"`
	Policy  spec.Policy  `json:"policy"`
}

// report sorts the records by what became of them.
func (d *dryRun) report() (testReport, error) {
	out := testReport{Table: d.spec.Name, Steps: d.plan.Steps, Records: len(d.records), Rows: []testRow{},
		Filtered: []testRecord{}, DeadLetters: []testLetter{}}
	for _, p := range d.trial.Followed() {
		out.Evolved = append(out.Evolved, "column "+strings.Join(p.Path, ".")+" "+proposalText(p))
	}
	for i, t := range d.tried {
		record := testRecord{int64(d.records[i].Offset), shownValue(d.records[i].Value)}
		switch {
		case t.Failure != nil:
			out.DeadLetters = append(out.DeadLetters, testLetter{testRecord: record, Class: t.Failure.Class,
				Column: t.Column, Message: t.Failure.Message, Remedy: remedyOfClass(t.Failure.Class),
				Policy: d.spec.DeadLetters.PolicyOf(t.Failure.Class)})
		case t.Filtered:
			out.Filtered = append(out.Filtered, record)
		case t.Tombstone:
			out.Tombstones++
		}
		rows, err := rowsAsJSON(t)
		if err != nil {
			return out, err
		}
		for n, row := range rows {
			out.Rows = append(out.Rows, testRow{Offset: record.Offset, Op: opOf(t, n), Row: row})
		}
	}
	return out, nil
}

// proposalText says what a step does to its column.
func proposalText(p decode.Proposal) string {
	switch p.Kind {
	case decode.AddColumn:
		return "added: " + spec.FormatType(p.Type)
	case decode.Widen:
		return "widened to " + spec.FormatType(p.Type)
	case decode.MakeOptional:
		return "made optional"
	}
	return "renamed to " + p.To
}

// opOf is what a row does: nothing is said of tables that only grow.
func opOf(t ingest.Tried, row int) string {
	switch {
	case t.Deletes == nil:
		return ""
	case t.Deletes[row]:
		return "delete"
	}
	return "upsert"
}

// rowsAsJSON are the rows of a record as objects.
func rowsAsJSON(t ingest.Tried) ([]json.RawMessage, error) {
	if t.Rows == nil {
		return nil, nil
	}
	var text bytes.Buffer
	buffer := bufio.NewWriter(&text)
	w := newRowWriter("ndjson", buffer)
	if err := writeBatches(w, t.Rows); err != nil {
		return nil, err
	}
	if err := buffer.Flush(); err != nil {
		return nil, err
	}
	var out []json.RawMessage
	for _, line := range lines(text.Bytes()) {
		out = append(out, line)
	}
	return out, nil
}

// writeBatches writes batches of one schema.
func writeBatches(w rowWriter, batches ...arrow.RecordBatch) error {
	var names []string
	for _, f := range batches[0].Schema().Fields() {
		names = append(names, f.Name)
	}
	if err := w.begin(names); err != nil {
		return err
	}
	for _, batch := range batches {
		if err := w.rows(batch); err != nil {
			return err
		}
	}
	return w.end()
}

// write writes the report for people.
func (d *dryRun) write(w io.Writer) error {
	report, err := d.report()
	if err != nil {
		return err
	}
	fmt.Fprint(w, d.plan)
	for _, step := range report.Evolved {
		fmt.Fprintf(w, "  ~ follows its writers: %s\n", step)
	}
	fmt.Fprintf(w, "\n%d records %s: %d rows, %d filtered out, %d dead letters", report.Records,
		d.opts.describesRecords(), len(report.Rows), len(report.Filtered), len(report.DeadLetters))
	if report.Tombstones > 0 {
		fmt.Fprintf(w, ", %d without a value", report.Tombstones)
	}
	fmt.Fprintln(w)
	if err := d.writeTable(w); err != nil {
		return err
	}
	if len(report.Filtered) > 0 {
		fmt.Fprintln(w, "\nfiltered out:")
	}
	for _, r := range report.Filtered {
		fmt.Fprintf(w, "  offset %d: %s\n", r.Offset, r.Value)
	}
	if len(report.DeadLetters) > 0 {
		fmt.Fprintln(w, "\ndead letters:")
	}
	for _, l := range report.DeadLetters {
		fmt.Fprintf(w, "  offset %d: %s (%s): %s\n", l.Offset, l.Class, l.Policy, l.Message)
		if l.Remedy != "" {
			fmt.Fprintf(w, "      %s\n", l.Remedy)
		}
		fmt.Fprintf(w, "      %s\n", l.Value)
	}
	return nil
}

// writeTable writes the rows in columns, behind what each does in keyed tables.
func (d *dryRun) writeTable(w io.Writer) error {
	var batches []arrow.RecordBatch
	for _, t := range d.tried {
		if t.Rows == nil {
			continue
		}
		batch := t.Rows
		if t.Deletes != nil {
			batch = withOps(t)
			defer batch.Release()
		}
		batches = append(batches, batch)
	}
	if len(batches) == 0 {
		return nil
	}
	fmt.Fprintln(w)
	buffer := bufio.NewWriter(w)
	if err := writeBatches(newRowWriter("table", buffer), batches...); err != nil {
		return err
	}
	return buffer.Flush()
}

// withOps puts a column in front of rows that says what each does.
func withOps(t ingest.Tried) arrow.RecordBatch {
	ops := make([]string, len(t.Deletes))
	for i := range ops {
		ops[i] = opOf(t, i)
	}
	b := array.NewStringBuilder(memory.DefaultAllocator)
	defer b.Release()
	b.AppendValues(ops, nil)
	column := b.NewArray()
	defer column.Release()
	fields := append([]arrow.Field{{Name: "does", Type: arrow.BinaryTypes.String}}, t.Rows.Schema().Fields()...)
	columns := append([]arrow.Array{column}, t.Rows.Columns()...)
	return array.NewRecordBatch(arrow.NewSchema(fields, nil), columns, t.Rows.NumRows())
}

// shownMax bounds what is shown of a value.
const shownMax = 160

// shownValue is a value as text, or in hexadecimal where it is none, cut where it is long.
func shownValue(value []byte) string {
	text := string(value)
	if !utf8.Valid(value) || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' && r != '\t' }) {
		text = fmt.Sprintf("%x", value)
	}
	if runes := []rune(text); len(runes) > shownMax {
		return string(runes[:shownMax]) + "…"
	}
	return text
}

// remedyOfClass says what to do about records of a class.
func remedyOfClass(class decode.Class) string {
	switch class {
	case decode.ClassSyntax:
		return "the value is no document of the source's format: check format: and what the writer sends"
	case decode.ClassType, decode.ClassRange:
		return "give the column a type that holds the value, or correct the writer"
	case decode.ClassRequired:
		return "take required: true from the column, correct its path:, or the writer"
	case decode.ClassUTF8:
		return "give the column the type binary, or let the writer send UTF-8"
	case decode.ClassTooDeep:
		return "raise the source's option depth_max"
	case decode.ClassTooLarge:
		return "raise the source's option record_bytes_max"
	case decode.ClassDuplicateKey:
		return "write options: {duplicate_keys: last} to take the last one"
	case decode.ClassUnknownField:
		return "add a column, or write evolution: {unknown_fields: evolve} or ignore"
	case decode.ClassSchemaID:
		return "let the writer register its schema, and check registry.urls"
	case decode.ClassSchemaChanged:
		return "let evolution: apply what the writer changed, or write the change into the spec"
	case decode.ClassOperation:
		return "the event changes no row: write dead_letters: {classes: {operation: skip}} if such events are usual"
	case decode.ClassTransform:
		return "let the transform answer for such values (try_cast, coalesce), or correct the writer"
	case decode.ClassUnavailable:
		return "let the source send whole rows (REPLICA IDENTITY FULL), or make the table merge: partial"
	}
	return ""
}
