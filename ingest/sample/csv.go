package sample

import (
	"fmt"
	"strings"
)

// csv makes a line of the columns that the source's options name, or of all.
func (m *Maker) csv() []byte {
	options := m.opts.Decode.CSV
	names := options.Columns
	if len(names) == 0 {
		for _, f := range m.opts.Schema.Fields() {
			names = append(names, f.Name)
		}
	}
	delimiter, quote := ",", `"`
	if options.Delimiter != 0 {
		delimiter = string(rune(options.Delimiter))
	}
	if options.Quote != 0 {
		quote = string(rune(options.Quote))
	}
	places := make([]string, len(names))
	for i, name := range names {
		f, ok := m.opts.Schema.FindFieldByName(name)
		if !ok || m.null(name, f.Required) {
			places[i] = options.Null
			continue
		}
		text := fmt.Sprint(m.value(name, f.Type, m.opts.Decode.Columns[name].Time))
		if text == options.Null || strings.ContainsAny(text, delimiter+quote+"\r\n") {
			text = quote + strings.ReplaceAll(text, quote, quote+quote) + quote
		}
		places[i] = text
	}
	return []byte(strings.Join(places, delimiter))
}
