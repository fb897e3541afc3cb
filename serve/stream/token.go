package stream

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"slices"

	"github.com/google/uuid"

	"github.com/firthlake/firth/table"
)

// Token says where a stream stands. Its text is opaque to clients, and safe in URLs.
type Token struct {
	// Table is the UUID of the table.
	Table uuid.UUID
	// Cut is the next offset of each topic partition; of one that is missing, nothing was handed out.
	Cut table.Position
	// Expired is how many rows had left the table because of their age when the token was made.
	Expired int64
	// RolledBack is the newest rollback of the table when the stream began, 0 when there was none.
	RolledBack int64
	// Mark is where a stream of a keyed table stands, which has neither of these; nil for others.
	Mark *Mark
}

// ErrToken says that a text is no token, or one of another table.
var ErrToken = errors.New("wrong token")

// The form of a token: version, UUID, expired, number of topic partitions, the topic partitions in order, each with
// its topic when that is another than before, and a checksum. Of a table that was rolled back: another version, and
// the rollback behind the UUID. That of a keyed table: another version, UUID, mark and
// checksum.
const (
	tokenVersion  = 1
	tokenMarked   = 2
	tokenRolled   = 3
	tokenBytesMax = 8 << 20 // of 100,000 topic partitions, half of it
	tokenSumBytes = 4
	topicAgain    = 0
	topicNew      = 1
)

// String is the token's text.
func (t Token) String() string {
	if t.Mark != nil {
		return sealed(t.Mark.append(append([]byte{tokenMarked}, t.Table[:]...)))
	}
	b := append([]byte{tokenVersion}, t.Table[:]...)
	if t.RolledBack != 0 {
		b[0] = tokenRolled
		b = binary.AppendVarint(b, t.RolledBack)
	}
	b = binary.AppendVarint(b, t.Expired)
	b = binary.AppendUvarint(b, uint64(len(t.Cut)))
	var last table.TopicPartition
	for i, id := range slices.SortedFunc(maps.Keys(t.Cut), table.TopicPartition.Compare) {
		if i > 0 && sameTopic(id, last) {
			b = append(b, topicAgain)
		} else {
			b = append(b, topicNew)
			b = appendText(appendText(b, id.Cluster), id.Topic)
			b = append(b, id.TopicID[:]...)
		}
		b = binary.AppendVarint(b, int64(id.Partition))
		b = binary.AppendVarint(b, int64(t.Cut[id]))
		last = id
	}
	return sealed(b)
}

// sealed is the text of a token with its checksum.
func sealed(b []byte) string {
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli()))
	return base64.RawURLEncoding.EncodeToString(b)
}

func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

func sameTopic(a, b table.TopicPartition) bool {
	return a.Cluster == b.Cluster && a.Topic == b.Topic && a.TopicID == b.TopicID
}

func appendText(b []byte, text string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(text))), text...)
}

// ParseToken reads the text of a token. The error wraps ErrToken.
func ParseToken(text string) (Token, error) {
	if len(text) > tokenBytesMax {
		return Token{}, fmt.Errorf("%w: it is longer than %d bytes", ErrToken, tokenBytesMax)
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		return Token{}, fmt.Errorf("%w: it was not made by a stream", ErrToken)
	}
	if len(b) < tokenSumBytes+1 {
		return Token{}, fmt.Errorf("%w: it is cut off", ErrToken)
	}
	body := b[:len(b)-tokenSumBytes]
	if binary.BigEndian.Uint32(b[len(body):]) != crc32.Checksum(body, castagnoli()) {
		return Token{}, fmt.Errorf("%w: it is cut off or was changed: pass it on as it came", ErrToken)
	}
	d, token := tokenReader{rest: body[1:]}, Token{}
	switch body[0] {
	case tokenVersion, tokenRolled:
		token = d.token(body[0])
	case tokenMarked:
		copy(token.Table[:], d.take(len(token.Table)))
		mark := d.mark()
		token.Mark = &mark
	default:
		return Token{}, fmt.Errorf("%w: it is of version %d, this server knows %d to %d", ErrToken, body[0],
			tokenVersion, tokenRolled)
	}
	if d.broken || len(d.rest) > 0 {
		return Token{}, fmt.Errorf("%w: it was not made by a stream", ErrToken)
	}
	return token, nil
}

// tokenReader takes a token apart. Behind what is broken it yields zeros.
type tokenReader struct {
	rest   []byte
	broken bool
}

func (d *tokenReader) token(version byte) Token {
	t := Token{Cut: table.Position{}}
	copy(t.Table[:], d.take(len(t.Table)))
	if version == tokenRolled {
		if t.RolledBack = d.varint(); t.RolledBack <= 0 {
			d.broken = true
		}
	}
	t.Expired = d.varint()
	var id table.TopicPartition
	for n := d.uvarint(); n > 0 && !d.broken; n-- {
		switch kind := d.take(1); {
		case len(kind) == 0:
			return t
		case kind[0] == topicNew:
			id.Cluster, id.Topic = d.text(), d.text()
			copy(id.TopicID[:], d.take(len(id.TopicID)))
		case kind[0] != topicAgain || len(t.Cut) == 0:
			d.broken = true
			return t
		}
		partition, next := d.varint(), d.varint()
		if id.Partition = int32(partition); int64(id.Partition) != partition || partition < 0 || next < 0 {
			d.broken = true
			return t
		}
		if _, twice := t.Cut[id]; twice {
			d.broken = true
			return t
		}
		t.Cut[id] = table.Offset(next)
	}
	return t
}

func (d *tokenReader) take(n int) []byte {
	if n > len(d.rest) {
		d.broken, d.rest = true, nil
		return nil
	}
	out := d.rest[:n]
	d.rest = d.rest[n:]
	return out
}

func (d *tokenReader) uvarint() uint64 {
	v, n := binary.Uvarint(d.rest)
	if n <= 0 {
		d.broken, d.rest = true, nil
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

func (d *tokenReader) varint() int64 {
	v, n := binary.Varint(d.rest)
	if n <= 0 {
		d.broken, d.rest = true, nil
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

func (d *tokenReader) text() string {
	n := d.uvarint()
	if n > uint64(len(d.rest)) {
		d.broken, d.rest = true, nil
		return ""
	}
	return string(d.take(int(n)))
}
