package objstore_test

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/table/objstore"
)

// proofStore is as much of an S3 store as a Put needs. It notes how bodies are proven.
type proofStore struct {
	// answers says what becomes of the nth body with a checksum.
	answers func(n int) proofAnswer

	mu        sync.Mutex
	checksums int
	bodies    []string // "signed", "checksum" or both
	content   map[string][]byte
	completed string // the body that ended the last multipart upload
}

type proofAnswer int

const (
	checks proofAnswer = iota
	ignores
	refuses
)

func always(answer proofAnswer) func(int) proofAnswer {
	return func(int) proofAnswer { return answer }
}

func (s *proofStore) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	checksum := r.Header.Get("X-Amz-Checksum-Crc32c")
	signed := strings.HasPrefix(r.Header.Get("X-Amz-Content-Sha256"), "STREAMING-")
	body, err := readProven(r.Body, signed && r.Method == http.MethodPut)
	if err != nil {
		http.Error(w, err.Error(), http.StatusTeapot)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	answer := s.answers(s.checksums)
	switch query := r.URL.Query(); {
	case query.Has("uploads"):
		if answer == refuses && r.Header.Get("X-Amz-Checksum-Algorithm") != "" {
			w.WriteHeader(http.StatusNotImplemented)
			return
		}
		_, _ = fmt.Fprint(w, "<InitiateMultipartUploadResult><UploadId>1</UploadId>"+
			"</InitiateMultipartUploadResult>")
		return
	case r.Method == http.MethodPost:
		s.completed = string(body)
		_, _ = fmt.Fprint(w, "<CompleteMultipartUploadResult><Bucket>b</Bucket><ETag>1</ETag>"+
			"</CompleteMultipartUploadResult>")
		return
	}
	s.note(signed, checksum != "")
	if checksum != "" {
		s.checksums++
		sum := crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli))
		right := base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, sum))
		switch {
		case answer == refuses:
			w.WriteHeader(http.StatusNotImplemented)
			return
		case answer == checks && checksum != right:
			w.WriteHeader(http.StatusBadRequest)
			return
		case answer == checks:
			w.Header().Set("X-Amz-Checksum-Crc32c", right)
		}
	}
	s.content[r.URL.Path+r.URL.Query().Get("partNumber")] = body
	w.Header().Set("ETag", "1")
}

func (s *proofStore) note(signed, checksum bool) {
	var proofs []string
	if signed {
		proofs = append(proofs, "signed")
	}
	if checksum {
		proofs = append(proofs, "checksum")
	}
	s.bodies = append(s.bodies, strings.Join(proofs, "+"))
}

// readProven reads a body, out of its signed pieces if it has such.
func readProven(body io.Reader, signed bool) ([]byte, error) {
	if !signed {
		return io.ReadAll(body)
	}
	var content bytes.Buffer
	for lines := bufio.NewReader(body); ; {
		line, err := lines.ReadString('\n')
		if err != nil {
			return nil, err
		}
		var size int64
		if _, err := fmt.Sscanf(line, "%x;chunk-signature=", &size); err != nil {
			return nil, fmt.Errorf("%w: %q", err, line)
		}
		if size == 0 {
			return content.Bytes(), nil
		}
		if _, err := io.CopyN(&content, lines, size); err != nil {
			return nil, err
		}
		if _, err := lines.Discard(len("\r\n")); err != nil {
			return nil, err
		}
	}
}

// open makes a store that tries each request once, so that nothing is sent again but for its proof.
func (s *proofStore) open(t *testing.T) *objstore.S3 {
	t.Helper()
	s.content = map[string][]byte{}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	cfg := objstore.DefaultS3Config()
	cfg.Endpoint, cfg.AccessKey, cfg.SecretKey = server.URL, "key", "secret"
	cfg.Attempts, cfg.PathStyle = 1, true
	store, err := objstore.NewS3(cfg)
	require.NoError(t, err)
	return store
}

func randomBytes(size int) []byte {
	content := make([]byte, size)
	random := rand.NewChaCha8([32]byte{})
	_, _ = random.Read(content) // never fails
	return content
}

func TestS3BodiesAreProvenTheCheapestWayThatTheStoreChecks(t *testing.T) {
	for name, tc := range map[string]struct {
		answers func(int) proofAnswer
		want    []string
	}{
		"checks":  {always(checks), []string{"signed+checksum", "checksum", "checksum"}},
		"ignores": {always(ignores), []string{"signed+checksum", "signed", "signed"}},
		"refuses": {always(refuses), []string{"signed+checksum", "signed", "signed", "signed"}},
		"ignores at last": {
			func(n int) proofAnswer {
				if n < 2 {
					return checks
				}
				return ignores
			},
			[]string{"signed+checksum", "checksum", "checksum", "signed"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			server := &proofStore{answers: tc.answers}
			store := server.open(t)
			content := randomBytes(200_000)
			for i := range 3 {
				upload := objstore.Create(t.Context(), store, fmt.Sprintf("s3://lake/%d", i))
				_, err := upload.Write(content[:70_000])
				require.NoError(t, err)
				_, err = upload.Write(content[70_000:])
				require.NoError(t, err)
				require.NoError(t, upload.Close())
				require.Equal(t, content, server.content[fmt.Sprintf("/lake/%d", i)])
			}
			require.Equal(t, tc.want, server.bodies)
		})
	}
}

func TestS3PartsAreProvenAsTheFirstOneShows(t *testing.T) {
	const size = 33 << 20
	for name, tc := range map[string]struct {
		answer          proofAnswer
		first, all      []string
		completedHasSum bool
	}{
		"checks": {
			checks, []string{"signed+checksum", "checksum", "checksum"},
			[]string{"checksum", "checksum", "checksum"}, true,
		},
		"ignores": {
			ignores, []string{"signed+checksum", "signed", "signed"},
			[]string{"signed", "signed", "signed"}, false,
		},
		"refuses": {
			refuses, []string{"signed", "signed", "signed"},
			[]string{"signed", "signed", "signed"}, false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			server := &proofStore{answers: always(tc.answer)}
			store := server.open(t)
			content := randomBytes(size)
			for _, want := range [][]string{tc.first, tc.all} {
				server.bodies = nil
				_, err := store.Put(t.Context(), "s3://lake/a", bytes.NewReader(content), -1,
					objstore.PutOptions{})
				require.NoError(t, err)
				require.Equal(t, want, server.bodies)
				got := bytes.Join([][]byte{
					server.content["/lake/a1"], server.content["/lake/a2"], server.content["/lake/a3"],
				}, nil)
				require.True(t, bytes.Equal(content, got))
				require.Equal(t, tc.completedHasSum,
					strings.Count(server.completed, "<ChecksumCRC32C>") == 3)
			}
		})
	}
}

func TestS3ConditionalPutsStaySigned(t *testing.T) {
	server := &proofStore{answers: always(checks)}
	store := server.open(t)
	for range 2 {
		_, err := store.Put(t.Context(), "s3://lake/a", strings.NewReader("x"), 1,
			objstore.PutOptions{IfAbsent: true})
		require.NoError(t, err)
	}
	require.Equal(t, []string{"signed+checksum", "signed+checksum"}, server.bodies)
}
