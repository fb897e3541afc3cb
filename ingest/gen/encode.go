package gen

import (
	"encoding/binary"
	"math"
	"strconv"
	"unicode/utf8"
)

// appendJSON appends an object and returns the values that are left. Nulls are left out.
func appendJSON(dst []byte, fields []field, values []value) ([]byte, []value) {
	dst = append(dst, '{')
	first := true
	for i := range fields {
		f := &fields[i]
		if f.kind != kindRecord && values[0].null {
			values = values[1:]
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = append(dst, f.jsonKey...)
		dst, values = appendJSONValue(dst, f, values)
	}
	return append(dst, '}'), values
}

func appendJSONValue(dst []byte, f *field, values []value) ([]byte, []value) {
	if f.kind == kindRecord {
		return appendJSON(dst, f.fields, values)
	}
	v := values[0]
	values = values[1:]
	switch f.kind {
	case kindLong, kindInt, kindTimestamp:
		dst = strconv.AppendInt(dst, v.n, 10)
	case kindDouble:
		dst = appendHundredths(dst, v.n)
	case kindBool:
		dst = strconv.AppendBool(dst, v.n != 0)
	case kindText:
		dst = appendJSONText(dst, v.text)
	case kindList:
		dst = append(dst, '[')
		for i := range v.n {
			if i > 0 {
				dst = append(dst, ',')
			}
			if f.fields != nil {
				dst, values = appendJSON(dst, f.fields, values)
				continue
			}
			dst = appendJSONText(dst, values[0].text)
			values = values[1:]
		}
		dst = append(dst, ']')
	case kindMap:
		dst = append(dst, '{')
		for i := range v.n {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(appendJSONText(dst, values[0].text), ':')
			dst = appendJSONText(dst, values[1].text)
			values = values[2:]
		}
		dst = append(dst, '}')
	}
	return dst, values
}

func appendJSONText(dst, text []byte) []byte {
	dst = append(dst, '"')
	plain := true
	for _, c := range text {
		plain = plain && c >= ' ' && c != '"' && c != '\\'
	}
	if plain {
		return append(append(dst, text...), '"')
	}
	for _, c := range text {
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c == '\n':
			dst = append(dst, '\\', 'n')
		case c == '\t':
			dst = append(dst, '\\', 't')
		case c < ' ':
			dst = appendHex(append(dst, '\\', 'u'), uint64(c), 4)
		default:
			dst = append(dst, c)
		}
	}
	return append(dst, '"')
}

// appendHundredths writes n hundredths as the shortest decimal number.
func appendHundredths(dst []byte, n int64) []byte {
	dst = strconv.AppendInt(dst, n/100, 10)
	cents := n % 100
	if cents == 0 {
		return dst
	}
	dst = append(dst, '.', '0'+byte(cents/10))
	if cents%10 != 0 {
		dst = append(dst, '0'+byte(cents%10))
	}
	return dst
}

// hundredths is n/100 as the float that its decimal text reads as.
func hundredths(n int64) float64 { return float64(n) / 100 }

// appendAvro appends a record (Avro 1.12, "Binary Encoding") and returns the values that are left.
func appendAvro(dst []byte, fields []field, values []value) ([]byte, []value) {
	for i := range fields {
		f := &fields[i]
		if f.kind == kindRecord {
			dst, values = appendAvro(dst, f.fields, values)
			continue
		}
		v := values[0]
		values = values[1:]
		if f.optional {
			if v.null {
				dst = append(dst, 0) // branch 0 of the union: null
				continue
			}
			dst = append(dst, 2) // branch 1
		}
		switch f.kind {
		case kindLong, kindInt, kindTimestamp:
			dst = binary.AppendVarint(dst, v.n)
		case kindDouble:
			dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(hundredths(v.n)))
		case kindBool:
			dst = append(dst, byte(v.n))
		case kindText:
			dst = appendAvroText(dst, v.text)
		case kindList, kindMap:
			dst, values = appendAvroBlock(dst, f, v.n, values)
		}
	}
	return dst, values
}

func appendAvroText(dst, text []byte) []byte {
	return append(binary.AppendVarint(dst, int64(len(text))), text...)
}

func appendAvroBlock(dst []byte, f *field, n int64, values []value) ([]byte, []value) {
	if n > 0 {
		dst = binary.AppendVarint(dst, n)
	}
	for range n {
		switch {
		case f.fields != nil:
			dst, values = appendAvro(dst, f.fields, values)
		case f.kind == kindMap:
			dst = appendAvroText(appendAvroText(dst, values[0].text), values[1].text)
			values = values[2:]
		default:
			dst = appendAvroText(dst, values[0].text)
			values = values[1:]
		}
	}
	return append(dst, 0), values
}

// The wire types of Protobuf.
const (
	wireVarint  = 0
	wireFixed64 = 1
	wireBytes   = 2
)

// appendProtobuf appends a message and returns the values that are left. Field numbers count from 1;
// zero values are left out unless the field is optional, as proto3 asks.
func (g *Generator) appendProtobuf(dst []byte, fields []field, values []value, depth int) ([]byte, []value) {
	for i := range fields {
		f, number := &fields[i], uint64(i+1)
		if f.kind == kindRecord {
			dst, values = g.appendMessage(dst, f.fields, values, tagged{number, depth})
			continue
		}
		v := values[0]
		values = values[1:]
		if v.null {
			continue
		}
		switch f.kind {
		case kindLong, kindInt, kindTimestamp, kindBool:
			if v.n != 0 || f.optional {
				dst = binary.AppendUvarint(dst, number<<3|wireVarint)
				dst = binary.AppendUvarint(dst, uint64(v.n))
			}
		case kindDouble:
			if v.n != 0 || f.optional {
				dst = binary.AppendUvarint(dst, number<<3|wireFixed64)
				dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(hundredths(v.n)))
			}
		case kindText:
			if len(v.text) != 0 || f.optional {
				dst = appendProtobufText(dst, number, v.text)
			}
		case kindList, kindMap:
			dst, values = g.appendRepeated(dst, f, values, repeated{tagged{number, depth}, v.n})
		}
	}
	return dst, values
}

type tagged struct {
	number uint64
	depth  int
}

type repeated struct {
	tagged
	n int64
}

// appendMessage appends a nested message, which is written aside first since its length comes before
// it.
func (g *Generator) appendMessage(dst []byte, fields []field, values []value, at tagged) ([]byte, []value) {
	for len(g.scratch) <= at.depth {
		g.scratch = append(g.scratch, nil)
	}
	message, values := g.appendProtobuf(g.scratch[at.depth][:0], fields, values, at.depth+1)
	g.scratch[at.depth] = message
	return appendProtobufText(dst, at.number, message), values
}

func (g *Generator) appendRepeated(dst []byte, f *field, values []value, at repeated) ([]byte, []value) {
	for range at.n {
		switch {
		case f.fields != nil:
			dst, values = g.appendMessage(dst, f.fields, values, at.tagged)
		case f.kind == kindMap:
			k, v := values[0].text, values[1].text
			values = values[2:]
			dst = binary.AppendUvarint(dst, at.number<<3|wireBytes)
			size := 2 + uvarintLen(len(k)) + len(k) + uvarintLen(len(v)) + len(v)
			dst = binary.AppendUvarint(dst, uint64(size))
			dst = appendProtobufText(appendProtobufText(dst, 1, k), 2, v)
		default:
			dst = appendProtobufText(dst, at.number, values[0].text)
			values = values[1:]
		}
	}
	return dst, values
}

func uvarintLen(n int) int {
	size := 1
	for ; n >= 0x80; n >>= 7 {
		size++
	}
	return size
}

func appendProtobufText(dst []byte, number uint64, text []byte) []byte {
	dst = binary.AppendUvarint(dst, number<<3|wireBytes)
	dst = binary.AppendUvarint(dst, uint64(len(text)))
	return append(dst, text...)
}

// appendCSV appends one line without its end (RFC 4180). Nulls are empty, empty text is quoted.
func appendCSV(dst []byte, fields []field, values []value) []byte {
	for i := range fields {
		if i > 0 {
			dst = append(dst, ',')
		}
		v := values[i]
		if v.null {
			continue
		}
		switch fields[i].kind {
		case kindDouble:
			dst = appendHundredths(dst, v.n)
		case kindBool:
			dst = strconv.AppendBool(dst, v.n != 0)
		case kindText:
			dst = appendCSVText(dst, v.text)
		default:
			dst = strconv.AppendInt(dst, v.n, 10)
		}
	}
	return dst
}

func appendCSVText(dst, text []byte) []byte {
	plain := len(text) > 0
	for _, c := range text {
		if c == '"' || c == ',' || c == '\n' || c == '\r' || c >= utf8.RuneSelf {
			plain = false
			break
		}
	}
	if plain {
		return append(dst, text...)
	}
	dst = append(dst, '"')
	for _, c := range text {
		if c == '"' {
			dst = append(dst, '"')
		}
		dst = append(dst, c)
	}
	return append(dst, '"')
}
