package sample

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/apache/iceberg-go"

	"github.com/firthlake/firth/ingest/decode"
)

// keys is how many different keys there are.
const keys = 5

// value makes a value of a column as JSON writes it. at is how its times count.
func (m *Maker) value(name string, t iceberg.Type, at decode.TimeFormat) any {
	switch t := t.(type) {
	case iceberg.BooleanType:
		return m.below(2) == 0
	case iceberg.Int32Type, iceberg.Int64Type:
		return m.integer(name)
	case iceberg.Float32Type, iceberg.Float64Type:
		return json.Number(m.decimal(2, 4))
	case iceberg.DecimalType:
		return json.Number(m.decimal(t.Scale(), min(t.Precision()-t.Scale(), 4)))
	case iceberg.DateType, iceberg.TimeType, iceberg.TimestampType, iceberg.TimestampTzType,
		iceberg.TimestampNsType, iceberg.TimestampTzNsType:
		return m.moment(t, at)
	case iceberg.StringType:
		return m.text(name)
	case iceberg.UUIDType:
		return m.uuid()
	case iceberg.BinaryType:
		return base64.StdEncoding.EncodeToString(m.bytes(8))
	case iceberg.FixedType:
		return base64.StdEncoding.EncodeToString(m.bytes(t.Len()))
	case *iceberg.StructType:
		return m.object(t.FieldList, at)
	case *iceberg.ListType:
		list := []any{}
		for range m.below(4) {
			list = append(list, m.value(name, t.Element, at))
		}
		return list
	case *iceberg.MapType:
		entries := map[string]any{}
		for range m.below(3) {
			entries[fmt.Sprint(m.value(name, t.KeyType, at))] = m.value(name, t.ValueType, at)
		}
		return entries
	}
	return nil
}

// object makes a struct.
func (m *Maker) object(fields []iceberg.NestedField, at decode.TimeFormat) map[string]any {
	out := map[string]any{}
	for _, f := range fields {
		if !m.null(f.Name, f.Required) {
			out[f.Name] = m.value(f.Name, f.Type, at)
		}
	}
	return out
}

// integer makes a number that suits the column's name.
func (m *Maker) integer(name string) int64 {
	lower := strings.ToLower(name)
	switch {
	case m.isKey(name):
		return 1 + m.below(keys)
	case slices.Contains(m.opts.Sequence, name):
		return 1000 + 10*m.number
	case lower == "status" || lower == "code":
		return 200 + 100*m.below(4)
	case strings.HasSuffix(lower, "id"):
		return 1 + m.below(1000)
	}
	return m.below(100)
}

// decimal makes a number with so many digits behind the point and before it, at most.
func (m *Maker) decimal(scale, digits int) string {
	limit := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(min(max(digits, 0)+scale, 17))), nil)
	text := fmt.Sprintf("%0*d", scale+1, m.below(limit.Int64()))
	if scale == 0 {
		return text
	}
	return text[:len(text)-scale] + "." + text[len(text)-scale:]
}

// moment makes a date or time as the column's format wants it.
func (m *Maker) moment(t iceberg.Type, at decode.TimeFormat) any {
	millis := m.millis()
	when := time.UnixMilli(millis).UTC()
	switch t.(type) {
	case iceberg.DateType:
		return when.Format(time.DateOnly)
	case iceberg.TimeType:
		millis %= 24 * 60 * 60 * 1000
	}
	switch at {
	case decode.TimeSeconds:
		return millis / 1000
	case decode.TimeMillis:
		return millis
	case decode.TimeMicros:
		return millis * 1000
	case decode.TimeNanos:
		return millis * 1_000_000
	}
	switch t.(type) {
	case iceberg.TimeType:
		return when.Format(time.TimeOnly)
	case iceberg.TimestampTzType, iceberg.TimestampTzNsType:
		return when.Format(time.RFC3339)
	}
	return when.Format("2006-01-02T15:04:05")
}

// words are values of text columns by a part of their names. The first that fits counts.
func words() []struct {
	part string
	some []string
} {
	return []struct {
		part string
		some []string
	}{
		{"country", []string{"CH", "DE", "FR", "JP", "NO", "PT"}},
		{"city", []string{"Bern", "Cádiz", "Delft", "Kyoto", "Malmö", "Tromsø"}},
		{"street", []string{"Elm Street 1", "Hauptstraße 7", "Rue du Port 3"}},
		{"name", []string{"Ada", "Boris", "Chloé", "Dagny", "Emil", "Fatma"}},
		{"mail", []string{"ada@example.org", "boris@example.org", "emil@example.org"}},
		{"type", []string{"view", "click", "search", "purchase"}},
		{"url", []string{"/shop/p/17", "/shop/p/23", "/search?q=tea"}},
		{"path", []string{"/shop/p/17", "/shop/p/23", "/search?q=tea"}},
		{"currency", []string{"CHF", "EUR", "JPY", "USD"}},
		{"level", []string{"info", "warn", "error"}},
		{"message", []string{"request took 12 ms", "cart is empty", "payment accepted"}},
	}
}

// text makes a text that suits the column's name.
func (m *Maker) text(name string) string {
	lower := strings.ToLower(name)
	if own := m.opts.Texts[name]; len(own) > 0 && m.below(4) == 0 {
		return own[m.below(int64(len(own)))]
	}
	switch {
	case m.isKey(name):
		return fmt.Sprintf("%s-%d", lower, 1+m.below(keys))
	case strings.HasSuffix(lower, "id"):
		return fmt.Sprintf("%x", m.bytes(4))
	}
	some := []string{"alpha", "beta", "gamma", "delta"}
	for _, each := range words() {
		if strings.Contains(lower, each.part) {
			some = each.some
			break
		}
	}
	return some[m.below(int64(len(some)))]
}

func (m *Maker) uuid() string {
	b := m.bytes(16)
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80 // version 4
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

func (m *Maker) bytes(n int) []byte {
	out := make([]byte, n)
	for i := range out {
		out[i] = byte(m.random.Uint32())
	}
	return out
}
