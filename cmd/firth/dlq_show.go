package main

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/ingest/decode"
	"github.com/firthlake/firth/ingest/letters"
)

// showBytesMax is how much of a payload people are shown; --json has all of it.
const showBytesMax = 2000

func (p *program) dlqShowCommand() *cobra.Command {
	var o lettersOptions
	var limit int64
	cmd := &cobra.Command{
		Use:   "show TABLE",
		Short: "Print open dead letters: payload, reason, hint",
		Long: "Prints the dead letters of a table that no replay has resolved: where the record stood, why it is no\n" +
			"row, what may help, key, headers and payload. Bytes that are no text are shown in base64. --where\n" +
			"takes a predicate in the language of filters over the columns of TABLE__dead_letters." +
			exitCodes("printed", "never", "no such table, or could not read"),
		Example: example("firth dlq show db.events --limit 3",
			"firth dlq show db.events --where \"error_class = 'type'\" --json | jq -r '.[].payload'"),
		RunE: func(cmd *cobra.Command, _ []string) error { return p.dlqShow(cmd.Context(), o, limit) },
	}
	o.add(cmd)
	cmd.Flags().Int64Var(&limit, "limit", 20, "at most so many letters (0: all)")
	return cmd
}

// shownLetter is what 'firth dlq show --json' prints of a letter. Bytes that are no text are in the other field.
type shownLetter struct {
	letters.Place
	Offset        commit.Offset `json:"offset"`
	Timestamp     time.Time     `json:"timestamp"`
	IngestedAt    time.Time     `json:"ingested_at"`
	Class         decode.Class  `json:"class"`
	Message       string        `json:"message"`
	Column        string        `json:"column,omitempty"`
	SchemaID      int32         `json:"schema_id,omitempty"`
	Hint          string        `json:"hint,omitempty"`
	Key           *string       `json:"key,omitempty"`
	Headers       []shownHeader `json:"headers,omitempty"`
	Payload       *string       `json:"payload,omitempty"`
	PayloadBase64 []byte        `json:"payload_base64,omitempty"`
}

// shownHeader is a header of a record, which may have several of one name.
type shownHeader struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

func (p *program) dlqShow(ctx context.Context, o lettersOptions, limit int64) error {
	return p.withLetters(ctx, o, func(box *letters.Box, want wantedLetters) error {
		shown := []shownLetter{}
		for l, err := range box.Letters(ctx, want.query) {
			if err != nil {
				return err
			}
			if box.IsResolved(&l) || !want.takes(&l) {
				continue
			}
			if shown = append(shown, showLetter(&l)); int64(len(shown)) == limit {
				break
			}
		}
		return p.print(shown, func(w io.Writer) error { return writeLetters(w, o.table, shown) })
	})
}

func showLetter(l *letters.Letter) shownLetter {
	s := shownLetter{Place: l.Place, Offset: l.Record.Offset, Timestamp: time.UnixMilli(l.Record.Timestamp).UTC(),
		IngestedAt: l.IngestedAt, Class: l.Class, Message: l.Message, Column: l.Column, SchemaID: l.SchemaID,
		Hint: hintOf(l.Class, l.Column)}
	if l.Record.Key != nil {
		key := readable(l.Record.Key)
		s.Key = &key
	}
	for _, h := range l.Record.Headers {
		s.Headers = append(s.Headers, shownHeader{h.Key, readable(h.Value)})
	}
	switch {
	case l.Record.Value == nil:
	case utf8.Valid(l.Record.Value):
		payload := string(l.Record.Value)
		s.Payload = &payload
	default:
		s.PayloadBase64 = l.Record.Value
	}
	return s
}

// readable is bytes as text, in base64 when they are none.
func readable(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	return "base64:" + base64.StdEncoding.EncodeToString(b)
}

// hintOf says what may make a row of a letter.
func hintOf(class decode.Class, column string) string {
	switch class {
	case decode.ClassType, decode.ClassRange:
		return "give the column " + column + " another type and 'firth apply', or have the producer send the right one"
	case decode.ClassRequired:
		return "give the column " + column + " a value, or make it optional in the spec and 'firth apply'"
	case decode.ClassSyntax, decode.ClassUTF8:
		return "the payload is not in the format of the spec: check source.format and who writes to the topic"
	case decode.ClassUnknownField:
		return "add the column, or let evolution.unknown_fields ignore it, and 'firth apply'"
	case decode.ClassSchemaID:
		return "register the schema, or check registry.url"
	}
	return ""
}

func writeLetters(w io.Writer, name string, shown []shownLetter) error {
	if len(shown) == 0 {
		_, err := fmt.Fprintf(w, "%s has no such open dead letters\n", name)
		return err
	}
	for i, s := range shown {
		if i > 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintf(w, "%s-%d offset %d  %s\n", s.Topic, s.Partition, s.Offset, s.Timestamp.Format(time.RFC3339))
		reason := string(s.Class)
		if s.Column != "" {
			reason += ", column " + s.Column
		}
		if s.SchemaID != 0 {
			reason += ", schema " + strconv.Itoa(int(s.SchemaID))
		}
		writeField(w, "error", reason+": "+s.Message)
		writeField(w, "hint", s.Hint)
		if s.Key != nil {
			writeField(w, "key", *s.Key)
		}
		for _, h := range s.Headers {
			writeField(w, "header", h.Key+": "+h.Value)
		}
		if s.Payload != nil {
			writeField(w, "payload", *s.Payload)
		} else if s.PayloadBase64 != nil {
			writeField(w, "payload", readable(s.PayloadBase64))
		}
	}
	return nil
}

// writeField writes a field on one line, so that what a producer sent cannot look like another one.
func writeField(w io.Writer, name, value string) {
	if value == "" {
		return
	}
	value = strconv.Quote(value)
	value = strings.ReplaceAll(value[1:len(value)-1], `\"`, `"`)
	if len(value) > showBytesMax {
		value = strings.ToValidUTF8(value[:showBytesMax], "") + "… (--json has all)"
	}
	fmt.Fprintf(w, "  %-8s%s\n", name, value)
}
