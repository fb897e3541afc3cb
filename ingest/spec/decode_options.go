package spec

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/firthlake/firth/ingest/decode"
)

// DecodeOptions are the decoder's options for a source of the spec: its format and format options,
// the paths and time formats of the columns, and what becomes of unknown fields.
func (s *Spec) DecodeOptions(src Source) (decode.Options, error) {
	out := decode.Options{Format: decode.Format(src.Format), Columns: map[string]decode.ColumnOptions{}}
	switch s.Evolution.UnknownFields {
	case Evolve:
		out.UnknownFields = decode.UnknownEvolve
	case DeadLetter:
		out.UnknownFields = decode.UnknownDeadLetter
	}
	for _, c := range append(slices.Clone(s.Schema.Columns), src.Input...) {
		column, err := c.decodeOptions()
		if err != nil {
			return out, err
		}
		if column.Path != nil || column.Time != "" || column.JSONText {
			out.Columns[c.Name] = column
		}
	}
	var err error
	if out.Envelope, err = s.envelope(src); err != nil {
		return out, err
	}
	for _, name := range slices.Sorted(maps.Keys(src.Options)) {
		if src.Envelope != envelopeNone && slices.Contains(envelopeOptions(src.Envelope), name) {
			continue
		}
		if err := setOption(&out, name, src.Options[name]); err != nil {
			return out, fmt.Errorf("option %s: %w", name, err)
		}
	}
	return out, nil
}

func (c Column) decodeOptions() (decode.ColumnOptions, error) {
	out := decode.ColumnOptions{JSONText: c.JSONText}
	var err error
	if c.Path != "" {
		if out.Path, err = decode.ParsePath(c.Path); err != nil {
			return out, fmt.Errorf("column %s: %w", c.Name, err)
		}
	}
	if out.Time, err = decode.ParseTimeFormat(c.Format); err != nil {
		return out, fmt.Errorf("column %s: %w", c.Name, err)
	}
	return out, nil
}

// setOption sets one format option. The names are part of the spec's language.
func setOption(out *decode.Options, name, value string) error {
	var err error
	switch name {
	case "strict_numbers":
		out.StrictNumbers, err = strconv.ParseBool(value)
	case "duplicate_keys":
		return setDuplicateKeys(out, value)
	case "depth_max":
		out.DepthMax, err = strconv.Atoi(value)
	case "record_bytes_max":
		var size Size
		size, err = ParseSize(value)
		out.RecordBytesMax = int(size)
	case "columns":
		out.CSV.Columns = strings.Split(value, ",")
		for i := range out.CSV.Columns {
			out.CSV.Columns[i] = strings.TrimSpace(out.CSV.Columns[i])
		}
	case "delimiter":
		out.CSV.Delimiter, err = oneByte(value)
	case "quote":
		out.CSV.Quote, err = oneByte(value)
	case "null":
		out.CSV.Null = value
	default:
		return fmt.Errorf("is unknown: there are %s", strings.Join(optionNames(), ", "))
	}
	if err != nil {
		return fmt.Errorf("%q does not fit: %w", value, err)
	}
	return nil
}

func optionNames() []string {
	return []string{"strict_numbers", "duplicate_keys", "depth_max", "record_bytes_max",
		"columns", "delimiter", "quote", "null"}
}

func setDuplicateKeys(out *decode.Options, value string) error {
	switch value {
	case "deadletter":
		out.DuplicateKeys = decode.DuplicateDeadLetter
	case "last":
		out.DuplicateKeys = decode.DuplicateLast
	default:
		return fmt.Errorf("%q is unknown: write deadletter or last", value)
	}
	return nil
}

func oneByte(value string) (byte, error) {
	if value == `\t` {
		return '\t', nil
	}
	if len(value) != 1 {
		return 0, fmt.Errorf("it must be one ASCII character")
	}
	return value[0], nil
}
