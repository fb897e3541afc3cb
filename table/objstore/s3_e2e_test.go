//go:build e2e

package objstore_test

import (
	"fmt"
	"net/url"
	"os"
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
