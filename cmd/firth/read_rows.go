package main

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/firthlake/firth/table/cell"
)

// newRowWriter returns the writer of an output format, or nil when there is none of the name.
func newRowWriter(output string, out *bufio.Writer) rowWriter {
	switch output {
	case "table":
		return &tableWriter{out: tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)}
	case "csv":
		return &csvWriter{out: csv.NewWriter(out)}
	case "ndjson":
		return &jsonWriter{out: out}
	case "json":
		return &jsonWriter{out: out, list: true}
	}
	return nil
}

// tableWriter aligns columns. It holds all rows in memory, as only people read it.
type tableWriter struct{ out *tabwriter.Writer }

func (w *tableWriter) begin(columns []string) error {
	_, err := fmt.Fprintln(w.out, strings.Join(columns, "\t"))
	return err
}

func (w *tableWriter) rows(batch arrow.RecordBatch) error {
	cells := make([]string, batch.NumCols())
	for row := range int(batch.NumRows()) {
		for i, column := range batch.Columns() {
			cells[i] = strings.NewReplacer("\t", " ", "\n", " ").Replace(cell.Text(column, row))
		}
		if _, err := fmt.Fprintln(w.out, strings.Join(cells, "\t")); err != nil {
			return err
		}
	}
	return nil
}

func (w *tableWriter) end() error { return w.out.Flush() }

// csvWriter writes null as nothing, as RFC 4180 knows no null.
type csvWriter struct{ out *csv.Writer }

func (w *csvWriter) begin(columns []string) error { return w.out.Write(columns) }

func (w *csvWriter) rows(batch arrow.RecordBatch) error {
	cells := make([]string, batch.NumCols())
	for row := range int(batch.NumRows()) {
		for i, column := range batch.Columns() {
			cells[i] = cell.Text(column, row)
		}
		if err := w.out.Write(cells); err != nil {
			return err
		}
	}
	return nil
}

func (w *csvWriter) end() error {
	w.out.Flush()
	return w.out.Error()
}

// jsonWriter writes an object a line, or all of them as one list.
type jsonWriter struct {
	out     *bufio.Writer
	list    bool
	written int64
	keys    [][]byte
}

func (w *jsonWriter) begin(columns []string) error {
	for _, name := range columns {
		key, err := json.Marshal(name)
		if err != nil {
			return err
		}
		w.keys = append(w.keys, append(key, ':'))
	}
	if w.list {
		return w.out.WriteByte('[')
	}
	return nil
}

func (w *jsonWriter) rows(batch arrow.RecordBatch) error {
	for row := range int(batch.NumRows()) {
		if w.list && w.written > 0 {
			if err := w.out.WriteByte(','); err != nil {
				return err
			}
		}
		if w.list {
			if err := w.out.WriteByte('\n'); err != nil {
				return err
			}
		}
		if err := w.object(batch, row); err != nil {
			return err
		}
		w.written++
	}
	return nil
}

func (w *jsonWriter) object(batch arrow.RecordBatch, row int) error {
	line := []byte{'{'}
	for i, column := range batch.Columns() {
		if i > 0 {
			line = append(line, ',')
		}
		value, err := json.Marshal(cell.Value(column, row))
		if err != nil {
			return err
		}
		line = append(append(line, w.keys[i]...), value...)
	}
	line = append(line, '}')
	if !w.list {
		line = append(line, '\n')
	}
	_, err := w.out.Write(line)
	return err
}

func (w *jsonWriter) end() error {
	if !w.list {
		return nil
	}
	_, err := w.out.WriteString("\n]\n")
	return err
}
