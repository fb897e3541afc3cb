package objstore_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/table/objstore"
)

// tokenService answers AssumeRole as stores do.
type tokenService struct {
	*httptest.Server
	asked  atomic.Int64
	broken atomic.Bool
	now    func() time.Time

	mu       sync.Mutex
	policies []string
	roles    []string
}

func newTokenService(t *testing.T, now func() time.Time) *tokenService {
	t.Helper()
	s := &tokenService{now: now}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *tokenService) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n := s.asked.Add(1)
	if s.broken.Load() || !strings.Contains(r.Header.Get("Authorization"), "/sts/aws4_request") {
		w.WriteHeader(http.StatusNotImplemented)
		fmt.Fprint(w, `<Error><Code>NotImplemented</Code><Message>no such service</Message></Error>`)
		return
	}
	s.mu.Lock()
	s.policies, s.roles = append(s.policies, r.FormValue("Policy")), append(s.roles, r.FormValue("RoleArn"))
	s.mu.Unlock()
	fmt.Fprintf(w, `<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult>
		<Credentials><AccessKeyId>access-%d</AccessKeyId><SecretAccessKey>secret</SecretAccessKey>
		<Expiration>%s</Expiration><SessionToken>token</SessionToken></Credentials></AssumeRoleResult>
		</AssumeRoleResponse>`, n, s.now().Add(time.Hour).UTC().Format(time.RFC3339))
}

// newVendor is one over a token service, at a time that the test moves.
func newVendor(t *testing.T, role string) (*objstore.Vendor, *tokenService, *atomic.Int64) {
	t.Helper()
	clock := new(atomic.Int64)
	clock.Store(1_700_000_000)
	now := func() time.Time { return time.Unix(clock.Load(), 0) }
	service := newTokenService(t, now)
	cfg := objstore.DefaultS3Config()
	cfg.Endpoint, cfg.AccessKey, cfg.SecretKey = service.URL, "own", "own-secret"
	v, err := objstore.NewVendor(objstore.VendorOptions{S3: cfg, Role: role, Now: now,
		Within: []string{"s3://bucket/lake"}})
	require.NoError(t, err)
	return v, service, clock
}

func TestKeysAllowOneLocationOnly(t *testing.T) {
	v, service, _ := newVendor(t, "")
	keys, err := v.Vend(t.Context(), "s3a://bucket/lake/db/events/", objstore.AccessRead)
	require.NoError(t, err)
	require.Equal(t, "access-1", keys.AccessKey)
	require.Equal(t, objstore.Secret("token"), keys.SessionToken)
	require.EqualValues(t, 1_700_003_600, keys.Expires.Unix())
	const bucket = `"Resource":"arn:aws:s3:::bucket`
	list := `{"Effect":"Allow","Action":["s3:ListBucket"],` + bucket +
		`","Condition":{"StringLike":{"s3:prefix":"lake/db/events/*"}}},` +
		`{"Effect":"Allow","Action":["s3:GetBucketLocation"],` + bucket + `"}`
	require.JSONEq(t, `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:GetObject"],`+
		bucket+`/lake/db/events/*"},`+list+`]}`, service.policies[0])

	_, err = v.Vend(t.Context(), "s3://bucket/lake/db/events", objstore.AccessWrite)
	require.NoError(t, err)
	require.JSONEq(t, `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:GetObject","s3:PutObject",
		"s3:DeleteObject","s3:AbortMultipartUpload","s3:ListMultipartUploadParts"],`+
		bucket+`/lake/db/events/*"},`+list+`]}`, service.policies[1])
}

func TestNoKeysReachBeyondTheWarehouse(t *testing.T) {
	v, service, _ := newVendor(t, "")
	for _, location := range []string{
		"s3://bucket", "s3://bucket/", "s3://bucket/lake", "s3://bucket/lake/", "s3://bucket/lakes/db",
		"s3://other/lake/db", "s3://bucket/lake/*", "s3://bucket/lake/d?", "s3://bucket/lake/${aws:username}",
		"file:///lake/db", "/lake/db", "",
	} {
		_, err := v.Vend(t.Context(), location, objstore.AccessRead)
		require.ErrorIs(t, err, objstore.ErrNoKeys, location)
		require.ErrorIs(t, err, objstore.ErrBadLocation, location)
	}
	require.Zero(t, service.asked.Load())
}

func TestKeysAreSharedForHalfOfTheirTime(t *testing.T) {
	v, service, clock := newVendor(t, "arn:aws-cn:iam::1:role/reader")
	vend := func(table string, access objstore.Access) string {
		t.Helper()
		keys, err := v.Vend(t.Context(), "s3://bucket/lake/"+table, access)
		require.NoError(t, err)
		return keys.AccessKey
	}
	first := vend("a", objstore.AccessRead)
	clock.Add(29 * 60)
	require.Equal(t, first, vend("a", objstore.AccessRead))
	require.NotEqual(t, first, vend("a", objstore.AccessWrite), "who may read gets no keys to write")
	require.NotEqual(t, first, vend("b", objstore.AccessRead))
	clock.Add(2 * 60)
	require.NotEqual(t, first, vend("a", objstore.AccessRead), "a client would have less than half an hour")
	require.EqualValues(t, 4, service.asked.Load())
	require.Equal(t, "arn:aws-cn:iam::1:role/reader", service.roles[0])
	require.Contains(t, service.policies[0], "arn:aws-cn:s3:::bucket/lake/a/*")
}

func TestAStoreWithoutKeysIsNotAskedAgainAndAgain(t *testing.T) {
	v, service, clock := newVendor(t, "")
	vend := func() (objstore.Keys, error) {
		return v.Vend(t.Context(), "s3://bucket/lake/a", objstore.AccessRead)
	}
	before, err := vend()
	require.NoError(t, err)
	service.broken.Store(true)
	clock.Add(31 * 60)
	for range 3 {
		again, err := vend()
		require.NoError(t, err, "the old keys are good for half an hour yet")
		require.Equal(t, before, again)
	}
	clock.Add(25 * 60)
	for range 3 {
		_, err = vend()
		require.ErrorIs(t, err, objstore.ErrNoKeys)
		require.ErrorContains(t, err, "no such service")
		require.NotErrorIs(t, err, objstore.ErrBadLocation)
	}
	require.EqualValues(t, 3, service.asked.Load())
	service.broken.Store(false)
	clock.Add(31)
	_, err = vend()
	require.NoError(t, err)
}

func TestManyWhoWantTheSameKeysAskOnce(t *testing.T) {
	v, service, _ := newVendor(t, "")
	var all sync.WaitGroup
	errs := make([]error, 50)
	for i := range errs {
		all.Go(func() { _, errs[i] = v.Vend(t.Context(), "s3://bucket/lake/a", objstore.AccessRead) })
	}
	all.Wait()
	require.NoError(t, errors.Join(errs...))
	require.LessOrEqual(t, service.asked.Load(), int64(2), "one, and one that came when it was just answered")
}

func TestAWSNeedsARoleForKeys(t *testing.T) {
	_, err := objstore.NewVendor(objstore.VendorOptions{S3: objstore.DefaultS3Config(), Now: time.Now})
	require.ErrorIs(t, err, objstore.ErrNoKeys)
	_, err = objstore.NewVendor(objstore.VendorOptions{S3: objstore.DefaultS3Config(), Now: time.Now,
		Role: "arn:aws:iam::1:role/reader"})
	require.NoError(t, err)
}
