package objstore

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"net"
	"net/http"
	"slices"
	"sync/atomic"

	"github.com/minio/minio-go/v7"
)

// proof is how a store learns that a body was damaged on its way, so that it refuses it. Over plain
// http nothing else would notice. S3 has two ways:
//
//   - A signature: the SHA-256 of every 64 KiB, in signatures of their own between the pieces. Every
//     store knows it. It takes as long as all the rest of sending a body.
//   - A checksum: the CRC-32C of the body in a header, which is signed like all headers. Processors
//     have an instruction for it, so it costs a sixth. Of the checksums of S3 it is the one that both
//     the standard library has and the oldest stores with checksums know; a faster one would gain
//     little, since reading the body is what takes the time. A body is in memory before it is sent,
//     so it needs no trailer, which fewer stores know.
//
// A store that does not know checksums takes the header in silence, so only its answer tells: one
// that has compared the checksum returns it. Bodies carry both until the first answer.
//
//	unknown ──checksum returned──► checksum ──checksum not returned: sent again──► signature
//	   └─────────checksum not returned, or the header refused────────────────────────┘
//
// Over https the signature is left out in any case, since TLS finds damage. A signature also stops
// somebody who changes bodies on purpose, which a checksum does not; TLS does, and hides them too.
type proof int32

const (
	proofUnknown proof = iota
	proofChecksum
	proofSignature
)

// proofLearned is what is known of a store. The zero value is proofUnknown.
type proofLearned struct{ state atomic.Int32 }

func (l *proofLearned) get() proof { return proof(l.state.Load()) }

// checksum says that an answer returned the checksum. It does not undo signature.
func (l *proofLearned) checksum() {
	l.state.CompareAndSwap(int32(proofUnknown), int32(proofChecksum))
}

// signature says that a body was taken without a word about its checksum.
func (l *proofLearned) signature() { l.state.Store(int32(proofSignature)) }

const (
	checksumHeader    = "X-Amz-Checksum-Crc32c"
	checksumAlgorithm = "X-Amz-Checksum-Algorithm"
	checksumName      = "CRC32C"
)

// errUnproven says that a store which had checked checksums took a body without checking its one.
var errUnproven = errors.New("the store did not confirm the checksum")

// s3Content is the body of a request. It lies in memory, so that it can be sent again.
type s3Content struct {
	chunks net.Buffers
	size   int64
	crc    string // as it is sent
	sent   int    // how often it was
}

func newContent(chunks ...[]byte) *s3Content {
	c := &s3Content{chunks: chunks}
	var sum uint32
	for _, chunk := range chunks {
		c.size += int64(len(chunk))
		sum = crc32.Update(sum, crc32.MakeTable(crc32.Castagnoli), chunk)
	}
	c.crc = base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, sum))
	return c
}

// heldContent is the content of a body that lies in memory already, such as what an Upload holds; nil
// for any other. The memory must stay as it is, even after a failure: the transport may still read
// it for a request that was given up.
func heldContent(body io.Reader, size int64) *s3Content {
	buffers, ok := body.(*net.Buffers)
	if !ok || size >= partBytes {
		return nil
	}
	content := newContent(*buffers...)
	if content.size != size {
		return nil
	}
	return content
}

// reader reads the content from its beginning.
func (c *s3Content) reader() io.Reader {
	chunks := slices.Clone(c.chunks) // reading takes them away
	return &chunks
}

// proven is what a request with a body carries.
type proven struct {
	crc      string // empty: no checksum
	unsigned bool   // the body has no signature
}

// bodyRequest is a request with a body.
type bodyRequest struct {
	// send makes the request and returns the checksum that the answer has.
	send func(context.Context, proven) (checksum string, err error)
	// signed is set for what cannot be sent again after it was taken.
	signed bool
}

// send sends content until it is taken, by a store that checked it.
func (s *S3) send(ctx context.Context, content *s3Content, r bodyRequest) error {
	return s.try(ctx, func(ctx context.Context) error {
		known := s.proof.get()
		err := s.sendOnce(ctx, content, r, known)
		if !errors.Is(err, errUnproven) && (known != proofUnknown || !refusesHeader(err)) {
			return err
		}
		if err = s.sendOnce(ctx, content, r, proofSignature); err == nil {
			s.proof.signature()
		}
		return err
	})
}

func (s *S3) sendOnce(
	ctx context.Context, content *s3Content, r bodyRequest, known proof,
) error {
	ctx, cancel := context.WithTimeout(ctx, bodyTime(content.size))
	defer cancel()
	content.sent++
	var with proven
	if known != proofSignature && content.size > 0 {
		with.crc = content.crc
		with.unsigned = known == proofChecksum && !r.signed
	}
	returned, err := r.send(ctx, with)
	switch {
	case err != nil:
		return err
	case with.crc == "":
	case returned == with.crc:
		s.proof.checksum()
	default:
		s.proof.signature()
		if with.unsigned {
			return errUnproven
		}
	}
	return nil
}

// refusesHeader says whether an answer may be due to the header of a checksum. One that found
// damage is not.
func refusesHeader(err error) bool {
	var answer minio.ErrorResponse
	if !errors.As(err, &answer) || answer.Code == "BadDigest" ||
		answer.Code == "XAmzContentChecksumMismatch" {
		return false
	}
	return answer.StatusCode == http.StatusBadRequest ||
		answer.StatusCode == http.StatusNotImplemented
}
