package spec

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/firthlake/firth/ingest/spec/document"
)

// Parse reads one spec from the text of file (the name is for messages) and returns it with every
// default filled in, or *document.Error with all faults it found.
func Parse(file string, text []byte) (*Spec, error) {
	s := Default()
	lines, err := document.Decode(file, text, &s, nil)
	if lines == nil {
		return nil, err
	}
	s.file, s.lines = file, lines
	s.fill()
	if err := document.Also(err, s.Validate()); err != nil {
		return nil, err
	}
	return &s, nil
}

// Marshal writes the spec as a file that Parse reads back.
func Marshal(s *Spec) ([]byte, error) {
	var buf bytes.Buffer
	enc := yaml.NewEncoder(&buf)
	enc.SetIndent(2)
	if err := enc.Encode(s); err != nil {
		return nil, fmt.Errorf("write spec %s: %w", s.Name, err)
	}
	return buf.Bytes(), nil
}

// fill puts in defaults that depend on other values.
func (s *Spec) fill() {
	if s.Freshness.IntervalMax == 0 {
		s.Freshness.IntervalMax = intervalStretch * s.Freshness.Interval
	}
	for i := range s.Sources {
		src := &s.Sources[i]
		src.Cluster = orElse(src.Cluster, "default")
		src.Format = orElse(src.Format, "json")
		src.Envelope = orElse(src.Envelope, "none")
		src.Start = orElse(src.Start, "earliest")
	}
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// ParseSpan reads a span of time as Go writes it, or whole days as 7d.
func ParseSpan(text string) (time.Duration, error) {
	const day = 24 * time.Hour
	if days, found := strings.CutSuffix(text, "d"); found {
		n, err := strconv.Atoi(days)
		if err != nil || n < 0 || n > int(math.MaxInt64/day) {
			return 0, errors.New("it is no number of days")
		}
		return time.Duration(n) * day, nil
	}
	return time.ParseDuration(text)
}

// UnmarshalYAML reads a span as ParseSpan does.
func (d *Duration) UnmarshalYAML(n *yaml.Node) error {
	span, err := ParseSpan(n.Value)
	if err != nil || n.Kind != yaml.ScalarNode {
		return document.Unreadable(n, "%q is not a time span; write it as 10s, 5m, 1h or 30d", n.Value)
	}
	*d = Duration(span)
	return nil
}

// MarshalYAML writes a span as UnmarshalYAML reads it.
func (d Duration) MarshalYAML() (any, error) { return d.String(), nil }

// UnmarshalYAML reads a size with a unit or in bytes.
func (s *Size) UnmarshalYAML(n *yaml.Node) error {
	size, err := ParseSize(n.Value)
	if err != nil || n.Kind != yaml.ScalarNode {
		return document.Unreadable(n, "%q is not a size; write it as 128MiB, 1GB or a number of bytes", n.Value)
	}
	*s = size
	return nil
}

// MarshalYAML writes a size as UnmarshalYAML reads it.
func (s Size) MarshalYAML() (any, error) { return s.String(), nil }

// UnmarshalYAML reads auto, 2 or 3.
func (v *FormatVersion) UnmarshalYAML(n *yaml.Node) error {
	switch n.Value {
	case "auto":
		*v = 0
	case "2", "3":
		*v = FormatVersion(n.Value[0] - '0')
	default:
		return document.Unreadable(n, "format version %q is not written by firth; write auto, 2 or 3", n.Value)
	}
	return nil
}

// MarshalYAML writes a version as UnmarshalYAML reads it.
func (v FormatVersion) MarshalYAML() (any, error) {
	if v == 0 {
		return "auto", nil
	}
	return int(v), nil
}

// ParseSize reads a number of bytes with an optional unit: KiB, MiB, GiB, TiB, KB, MB, GB, TB.
func ParseSize(text string) (Size, error) {
	digits := strings.TrimRight(text, "KMGTiB ")
	unit := strings.TrimSpace(text[len(digits):])
	scale, ok := map[string]int64{"": 1, "B": 1, "KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12,
		"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}[unit]
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || !ok || n < 0 || n > math.MaxInt64/scale {
		return 0, fmt.Errorf("%q is not a size: write it as 128MiB, 1GB or a number of bytes", text)
	}
	return Size(n * scale), nil
}
