package registry

import (
	"encoding/binary"
	"errors"
)

// The frame's faults, in the order in which they are looked for.
var (
	ErrNoFrame = errors.New("no schema id: the value does not begin with the byte 0 and 4 bytes of id")
	ErrIndexes = errors.New("the path of message indexes is broken")
)

const (
	magic       = 0
	headerBytes = 5
	// indexesMax bounds the nesting of a Protobuf message inside other messages' definitions.
	indexesMax = 64
)

// AppendHeader appends the frame of schema id.
func AppendHeader(dst []byte, id int32) []byte {
	return binary.BigEndian.AppendUint32(append(dst, magic), uint32(id))
}

// ParseHeader splits a framed value into schema id and the rest, or returns ErrNoFrame.
func ParseHeader(value []byte) (int32, []byte, error) {
	if len(value) < headerBytes || value[0] != magic {
		return 0, nil, ErrNoFrame
	}
	return int32(binary.BigEndian.Uint32(value[1:])), value[headerBytes:], nil
}

// AppendIndexes appends the path to a message definition: the index of a top-level message in its
// file, then of a message nested in it, and so on. It stands between header and payload.
func AppendIndexes(dst []byte, path ...int) []byte {
	if len(path) == 1 && path[0] == 0 { // short form of the most frequent path
		return append(dst, 0)
	}
	dst = binary.AppendVarint(dst, int64(len(path)))
	for _, index := range path {
		dst = binary.AppendVarint(dst, int64(index))
	}
	return dst
}

// ParseIndexes reads the path to a message definition, appends it to path, and returns what follows
// it, or ErrIndexes.
func ParseIndexes(path []int, value []byte) ([]int, []byte, error) {
	count, n := binary.Varint(value)
	if n <= 0 || count < 0 || count > indexesMax {
		return path, nil, ErrIndexes
	}
	value = value[n:]
	if count == 0 {
		return append(path, 0), value, nil
	}
	for range count {
		index, n := binary.Varint(value)
		if n <= 0 || index < 0 || index > 1<<16 {
			return path, nil, ErrIndexes
		}
		path, value = append(path, int(index)), value[n:]
	}
	return path, value, nil
}
