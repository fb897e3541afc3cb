//go:build e2e

package objstore_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"
	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/table/objstore"
	"github.com/firthlake/firth/table/objstore/objstoretest"
)

// endpointVariable holds the URL of an S3 server with its keys: http://key:secret@host:port.
const endpointVariable = "FIRTH_TEST_S3"

func s3Config(t *testing.T) objstore.S3Config {
	t.Helper()
	endpoint, err := url.Parse(os.Getenv(endpointVariable))
	require.NoError(t, err)
	if endpoint.Host == "" || endpoint.User == nil {
		t.Fatalf("set %s to http://key:secret@host:port of a running S3 server", endpointVariable)
	}
	secret, _ := endpoint.User.Password()
	cfg := objstore.DefaultS3Config()
	cfg.Endpoint = endpoint.Scheme + "://" + endpoint.Host
	cfg.AccessKey, cfg.SecretKey = endpoint.User.Username(), objstore.Secret(secret)
	return cfg
}

func makeBucket(t *testing.T, cfg objstore.S3Config) string {
	t.Helper()
	endpoint, err := url.Parse(cfg.Endpoint)
	require.NoError(t, err)
	client, err := minio.New(endpoint.Host, &minio.Options{
		Creds: credentials.NewStaticV4(cfg.AccessKey, string(cfg.SecretKey), ""),
	})
	require.NoError(t, err)
	bucket := "firth-" + uuid.NewString()
	require.NoError(t, client.MakeBucket(t.Context(), bucket, minio.MakeBucketOptions{}))
	return bucket
}

func TestS3Conforms(t *testing.T) {
	cfg := s3Config(t)
	bucket := makeBucket(t, cfg)
	store, err := objstore.NewS3(cfg)
	require.NoError(t, err)
	runs := 0
	objstoretest.Run(t, func(*testing.T) objstoretest.Subject {
		runs++
		return objstoretest.Subject{
			Store: store, Root: fmt.Sprintf("s3://%s/run-%d", bucket, runs), LargeBytes: 40 << 20,
		}
	})
}

func TestS3TellsWhatIsWrong(t *testing.T) {
	cfg := s3Config(t)
	store, err := objstore.NewS3(cfg)
	require.NoError(t, err)
	missing := "s3://firth-" + uuid.NewString() + "/a"
	require.ErrorIs(t, putString(t.Context(), store, missing, "x"), objstore.ErrNoBucket)
	_, err = store.Get(t.Context(), missing, 0, -1)
	require.ErrorIs(t, err, objstore.ErrNoBucket)
	for _, err := range store.List(t.Context(), missing) {
		require.ErrorIs(t, err, objstore.ErrNoBucket)
	}

	bucket := makeBucket(t, cfg)
	cfg.SecretKey = "wrong"
	store, err = objstore.NewS3(cfg)
	require.NoError(t, err)
	err = putString(t.Context(), store, "s3://"+bucket+"/a", "x")
	require.ErrorIs(t, err, objstore.ErrPermission)
	_, err = store.Stat(t.Context(), "s3://"+bucket+"/a")
	require.ErrorIs(t, err, objstore.ErrPermission)
}

// lossyProxy forwards to the S3 server and lets the connection break where breaks says so: after the
// server has done the request, and after sending some bytes of the answer's body.
func lossyProxy(
	t *testing.T, cfg objstore.S3Config, breaks func(*http.Request) (sent int, broken bool),
) objstore.S3Config {
	t.Helper()
	target, err := url.Parse(cfg.Endpoint)
	require.NoError(t, err)
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Host = r.In.Host // it is signed
	}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sent, broken := breaks(r)
		if !broken {
			proxy.ServeHTTP(w, r)
			return
		}
		answer := httptest.NewRecorder()
		proxy.ServeHTTP(answer, r)
		if sent > 0 {
			for name, values := range answer.Header() {
				w.Header()[name] = values
			}
			w.WriteHeader(answer.Code)
			_, _ = w.Write(answer.Body.Bytes()[:min(sent, answer.Body.Len())])
			_ = http.NewResponseController(w).Flush()
		}
		panic(http.ErrAbortHandler)
	}))
	t.Cleanup(server.Close)
	cfg.Endpoint = server.URL
	return cfg
}

func TestS3PutRecognisesItsOwnObjectWhenTheAnswerWasLost(t *testing.T) {
	cfg := s3Config(t)
	bucket := makeBucket(t, cfg)
	for name, tc := range map[string]struct {
		size    int
		isFinal func(*http.Request) bool
	}{
		"single": {100, func(r *http.Request) bool { return r.Method == http.MethodPut }},
		"multipart": {20 << 20, func(r *http.Request) bool {
			return r.Method == http.MethodPost && r.URL.Query().Has("uploadId")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			var lost atomic.Int32
			store, err := objstore.NewS3(lossyProxy(t, cfg, func(r *http.Request) (int, bool) {
				return 0, tc.isFinal(r) && lost.Add(1) <= 2
			}))
			require.NoError(t, err)
			location := "s3://" + bucket + "/" + name
			body := bytes.Repeat([]byte("x"), tc.size)
			put := func(opts objstore.PutOptions) (objstore.Object, error) {
				return store.Put(t.Context(), location, bytes.NewReader(body), int64(len(body)), opts)
			}
			first, err := put(objstore.PutOptions{IfAbsent: true})
			require.NoError(t, err)
			require.Equal(t, int32(3), lost.Load())
			_, err = put(objstore.PutOptions{IfAbsent: true})
			require.ErrorIs(t, err, objstore.ErrPrecondition)

			lost.Store(0)
			body[0] = 'y'
			second, err := put(objstore.PutOptions{IfMatch: first.ETag})
			require.NoError(t, err)
			stat, err := store.Stat(t.Context(), location)
			require.NoError(t, err)
			require.Equal(t, stat.ETag, second.ETag)
		})
	}
}

func TestS3GetGoesOnWhereTheConnectionBroke(t *testing.T) {
	cfg := s3Config(t)
	bucket := makeBucket(t, cfg)
	var gets atomic.Int32
	store, err := objstore.NewS3(lossyProxy(t, cfg, func(r *http.Request) (int, bool) {
		return 1000, r.Method == http.MethodGet && gets.Add(1) <= 5
	}))
	require.NoError(t, err)
	content := strings.Repeat("0123456789", 1000)
	location := "s3://" + bucket + "/a"
	require.NoError(t, putString(t.Context(), store, location, content))
	for _, span := range [][2]int64{{0, -1}, {17, 9000}} {
		gets.Store(0)
		body, err := store.Get(t.Context(), location, span[0], span[1])
		require.NoError(t, err)
		got, err := io.ReadAll(body)
		require.NoError(t, err)
		require.NoError(t, body.Close())
		want := content[span[0]:]
		if span[1] >= 0 {
			want = want[:span[1]]
		}
		require.Equal(t, want, string(got))
		require.Equal(t, int32(6), gets.Load())
	}
}

func TestS3GivesUpWithinBounds(t *testing.T) {
	cfg := s3Config(t)
	cfg.Attempts = 3
	var requests atomic.Int32
	store, err := objstore.NewS3(lossyProxy(t, cfg, func(*http.Request) (int, bool) {
		requests.Add(1)
		return 0, true
	}))
	require.NoError(t, err)
	_, err = store.Stat(t.Context(), "s3://bucket/a")
	require.Error(t, err)
	require.Equal(t, int32(3), requests.Load())
}

// damage changes one byte of a body on its way.
type damage struct {
	io.ReadCloser
	left int // bytes before it
}

func (d *damage) Read(p []byte) (int, error) {
	n, err := d.ReadCloser.Read(p)
	if d.left >= 0 && d.left < n {
		p[d.left] ^= 1
	}
	d.left -= n
	return n, err
}

func TestS3StoreRefusesBodiesThatWereDamaged(t *testing.T) {
	cfg := s3Config(t)
	bucket := makeBucket(t, cfg)
	for _, size := range []int{100_000, 20 << 20} {
		for _, sound := range []int32{0, 1, 2} { // so many bodies before, from which proofs are learned
			t.Run(fmt.Sprintf("%d bytes after %d", size, sound), func(t *testing.T) {
				var bodies atomic.Int32
				store, err := objstore.NewS3(lossyProxy(t, cfg, func(r *http.Request) (int, bool) {
					if r.Method == http.MethodPut && bodies.Add(1) == sound+1 {
						r.Body = &damage{r.Body, 50_000}
					}
					return 0, false
				}))
				require.NoError(t, err)
				prefix := fmt.Sprintf("s3://%s/%d-%d/", bucket, size, sound)
				for i := range sound {
					require.NoError(t, putString(t.Context(), store, fmt.Sprint(prefix, i), "x"))
				}
				content := strings.Repeat("x", size)
				require.Error(t, putString(t.Context(), store, prefix+"a", content))
				_, err = store.Stat(t.Context(), prefix+"a")
				require.ErrorIs(t, err, objstore.ErrNotFound)
				require.NoError(t, putString(t.Context(), store, prefix+"a", content))
			})
		}
	}
}
