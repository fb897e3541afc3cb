package decode

import (
	"bytes"
	"context"
	"fmt"
)

// csvDecoder reads one line of RFC 4180 a record. A quoted field may hold line breaks; a line break
// at the end of the record is allowed.
type csvDecoder struct {
	plan  *Plan
	field csvReader
}

// csvColumns maps the places of a line to columns.
func csvColumns(plan *Plan) ([]int, error) {
	var fields []int
	if len(plan.options.CSV.Columns) == 0 {
		for i := range plan.columns {
			if plan.metadata[i] == "" {
				fields = append(fields, i)
			}
		}
		return fields, csvScalars(plan, fields)
	}
	places := map[string]int{}
	for i, n := range plan.columns {
		places[n.sourceName()] = i
	}
	taken := map[int]bool{}
	for _, name := range plan.options.CSV.Columns {
		if name == "" {
			fields = append(fields, skipColumn)
			continue
		}
		column, ok := places[name]
		if !ok {
			return nil, fmt.Errorf("csv column %s: the schema does not have it; leave the name empty to skip", name)
		}
		if plan.metadata[column] != "" || taken[column] {
			return nil, fmt.Errorf("csv column %s: %w", name, errAmbiguous)
		}
		taken[column] = true
		fields = append(fields, column)
	}
	return fields, csvScalars(plan, fields)
}

// csvScalars refuses columns whose values do not fit in a field.
func csvScalars(plan *Plan, fields []int) error {
	for _, column := range fields {
		if column == skipColumn {
			continue
		}
		if n := plan.columns[column]; n.kind == kindStruct || n.kind == kindList || n.kind == kindMap {
			return fmt.Errorf("column %s: csv has no values for %s", n.path, n.dataType)
		}
	}
	return nil
}

func newCSVDecoder(plan *Plan) *csvDecoder {
	return &csvDecoder{plan: plan, field: csvReader{options: plan.options.CSV}}
}

func (d *csvDecoder) decodeValue(_ context.Context, value []byte, out *rows) error {
	r := &d.field
	r.reset(value)
	if r.pos >= len(r.line) && len(d.plan.csv) > 1 {
		out.failRow(ClassSyntax, "record is empty")
		return nil
	}
	place := 0
	for ; r.next(); place++ {
		if place < len(d.plan.csv) && d.plan.csv[place] != skipColumn {
			d.take(d.plan.csv[place], out)
		}
	}
	switch {
	case r.fault != "":
		out.failRow(ClassSyntax, fmt.Sprintf("%s at byte %d: %s", r.fault, r.pos, shorten(value)))
	case place != len(d.plan.csv):
		out.failRow(ClassSyntax, fmt.Sprintf("%d fields, and %d columns: %s", place, len(d.plan.csv), shorten(value)))
	}
	return nil
}

// take appends the field that was read to a column.
func (d *csvDecoder) take(column int, out *rows) {
	n, r := d.plan.columns[column], &d.field
	if r.isNull() {
		if n.required {
			out.failColumn(column, ClassRequired, n.path+": required and null")
		} else {
			out.columns[column].AppendNull()
		}
		return
	}
	if class := appendText(out.columns[column], n, r.text, numbersTaken); class != "" {
		out.failColumn(column, class, refusal{class: class, node: n}.message(r.text))
	}
}

func (d *csvDecoder) endChunk() error { return nil }

// csvReader takes a line apart into fields.
type csvReader struct {
	options CSVOptions
	line    []byte
	pos     int
	more    bool   // a field comes at pos, be it empty
	text    []byte // the field; valid until the next
	quoted  bool
	fault   string
	scratch []byte
}

func (r *csvReader) reset(line []byte) {
	line = bytes.TrimSuffix(line, []byte("\n"))
	line = bytes.TrimSuffix(line, []byte("\r"))
	r.line, r.pos, r.more, r.fault = line, 0, true, ""
}

// isNull tells whether the field stands for null, which a quoted one never does.
func (r *csvReader) isNull() bool { return !r.quoted && string(r.text) == r.options.Null }

// next reads a field and tells whether there was one.
func (r *csvReader) next() bool {
	if !r.more || r.fault != "" {
		return false
	}
	r.quoted = r.pos < len(r.line) && r.line[r.pos] == r.options.Quote
	if r.quoted {
		return r.nextQuoted()
	}
	rest := r.line[r.pos:]
	end := bytes.IndexByte(rest, r.options.Delimiter)
	r.more = end >= 0
	if !r.more {
		end = len(rest)
	}
	r.text = rest[:end]
	if at := bytes.IndexAny(r.text, "\r\n"); at >= 0 {
		return r.fail(r.pos+at, "line break outside quotes")
	}
	if at := bytes.IndexByte(r.text, r.options.Quote); at >= 0 {
		return r.fail(r.pos+at, "quote inside a field that is not quoted")
	}
	r.pos += end + 1
	return true
}

func (r *csvReader) nextQuoted() bool {
	start := r.pos + 1
	r.scratch = r.scratch[:0]
	doubled := false
	for pos := start; ; {
		at := bytes.IndexByte(r.line[pos:], r.options.Quote)
		if at < 0 {
			return r.fail(len(r.line), "quoted field without its closing quote")
		}
		end := pos + at
		if end+1 < len(r.line) && r.line[end+1] == r.options.Quote {
			r.scratch = append(r.scratch, r.line[pos:end+1]...)
			doubled, pos = true, end+2
			continue
		}
		r.text = r.line[pos:end]
		if doubled {
			r.scratch = append(r.scratch, r.text...)
			r.text = r.scratch
		}
		return r.endQuoted(end + 1)
	}
}

// endQuoted moves behind the delimiter that must follow a closing quote.
func (r *csvReader) endQuoted(pos int) bool {
	r.more = pos < len(r.line)
	if r.more && r.line[pos] != r.options.Delimiter {
		return r.fail(pos, "text behind a closing quote")
	}
	r.pos = pos + 1
	return true
}

func (r *csvReader) fail(pos int, fault string) bool {
	r.pos, r.fault = pos, fault
	return false
}

// observeLine adds a line to the shape of its records, for Infer. Columns without a name are called
// c1, c2, ...
func observeLine(root *shape, line []byte, options CSVOptions) bool {
	r := csvReader{options: options}
	for r.reset(line); r.next(); {
	}
	if r.fault != "" || len(line) == 0 {
		return false
	}
	root.objects++
	place := 0
	for r.reset(line); r.next(); place++ {
		name := fmt.Sprintf("c%d", place+1)
		if place < len(options.Columns) {
			name = options.Columns[place]
		}
		if name != "" {
			root.observeCSV(name, &r)
		}
	}
	return true
}

func (s *shape) observeCSV(name string, r *csvReader) {
	if r.isNull() {
		s.field(name).observeText(nil)
		return
	}
	s.field(name).observeText(r.text)
}
