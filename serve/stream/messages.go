package stream

import (
	"bytes"
	"context"
	"encoding/binary"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// Message is a part of a stream as Arrow Flight has it: a message of Arrow IPC without what frames it there. The bytes
// are those of all Arrow streams of the same rows, over HTTP too, so nobody changes them.
type Message struct {
	Header, Body []byte
	// Token stands behind the rows; it is empty for the columns, which come first.
	Token string
}

// Send hands the stream out as messages: the columns, then rows as they come, and a token alone when there is nothing
// more or nothing has come for long. It ends without an error where the table gets other columns, which the client gets
// when it goes on.
func (s *Subscription) Send(ctx context.Context, to func(Message) error) error {
	schema, err := s.Schema()
	if err != nil {
		return err
	}
	out := &messages{schema: schema, to: to}
	if err := out.open(); err != nil {
		return err
	}
	nothing := func() error { return nil } // is gathered
	return (&sender{format: out, now: s.streams.opts.Now, flush: nothing}).send(ctx, s)
}

// messages is the format of Flight.
type messages struct {
	arrowForm
	schema *arrow.Schema
	to     func(Message) error
}

func (f *messages) open() error {
	payload := ipc.GetSchemaPayload(f.schema, memory.DefaultAllocator)
	defer payload.Release()
	var body bytes.Buffer
	if _, err := payload.WritePayload(&body); err != nil {
		return err
	}
	return f.to(unframed(body.Bytes(), ""))
}

func (f *messages) rows(body []byte, schema *arrow.Schema, token string) error {
	if !schema.Equal(f.schema) {
		return errSchema
	}
	return f.to(unframed(body, token))
}

func (f *messages) quiet(token string) error {
	batch := tokenAlone(f.schema, token)
	defer batch.Release()
	body, err := f.encode(batch, token)
	if err != nil {
		return err
	}
	return f.to(unframed(body, token))
}

// The frame of a message: a mark, the length of the header, the header, the body.
const (
	frameMark  = 0xFFFFFFFF
	frameBytes = 8
)

// unframed takes a message out of its frame.
func unframed(framed []byte, token string) Message {
	if binary.LittleEndian.Uint32(framed) != frameMark {
		panic("BUG: a message of Arrow IPC has another frame")
	}
	end := frameBytes + int(binary.LittleEndian.Uint32(framed[frameBytes/2:]))
	return Message{Header: framed[frameBytes:end], Body: framed[end:], Token: token}
}
