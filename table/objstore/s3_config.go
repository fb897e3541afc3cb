package objstore

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// Secret is a string that is masked when it is printed, logged or marshalled.
type Secret string

const masked = "***"

// String is the mask.
func (Secret) String() string { return masked }

// GoString is the mask.
func (Secret) GoString() string { return masked }

// LogValue is the mask.
func (Secret) LogValue() slog.Value { return slog.StringValue(masked) }

// MarshalText is the mask.
func (Secret) MarshalText() ([]byte, error) { return []byte(masked), nil }

// S3Config says how buckets are reached.
type S3Config struct {
	// Endpoint is a URL such as "http://127.0.0.1:9000"; http is without TLS. Empty is AWS.
	Endpoint string `yaml:"endpoint"`
	// Region signs requests. Stores other than AWS mostly take any.
	Region string `yaml:"region"`
	// AccessKey and SecretKey sign requests. When both are empty, the credentials of the
	// surroundings are used: environment, shared file, instance or pod role.
	AccessKey string `yaml:"access_key"`
	SecretKey Secret `yaml:"secret_key"`
	// SessionToken belongs to temporary keys.
	SessionToken Secret `yaml:"session_token"`
	// PathStyle puts the bucket into the path instead of the host name. It is the default for
	// endpoints other than AWS.
	PathStyle bool `yaml:"path_style"`
	// CAFile is a PEM file of certificates to trust besides the system's.
	CAFile string `yaml:"ca_file"`
	// Attempts bounds the tries of one operation.
	Attempts int `yaml:"attempts"`
}

// DefaultS3Config is AWS in us-east-1 with the credentials of the surroundings.
func DefaultS3Config() S3Config { return S3Config{Region: "us-east-1", Attempts: attemptsMax} }

// Validate says what is wrong with the configuration.
func (c S3Config) Validate() error {
	if c.Endpoint != "" {
		endpoint, err := url.Parse(c.Endpoint)
		if err != nil || endpoint.Host == "" || endpoint.Scheme != "http" && endpoint.Scheme != "https" {
			return fmt.Errorf("s3 endpoint %q: want a URL such as https://host:9000", c.Endpoint)
		}
		if endpoint.Path != "" && endpoint.Path != "/" {
			return fmt.Errorf("s3 endpoint %q: leave out the path; buckets come from locations", c.Endpoint)
		}
	}
	if (c.AccessKey == "") != (c.SecretKey == "") {
		return errors.New("s3 keys: give both access key and secret key, or neither")
	}
	if c.Attempts < 0 {
		return fmt.Errorf("s3 attempts: %d is negative", c.Attempts)
	}
	return nil
}

// connect makes the client. Its own retries are off: they are made in S3.try.
func (c S3Config) connect() (minio.Core, error) {
	if err := c.Validate(); err != nil {
		return minio.Core{}, err
	}
	host, secure := "s3.amazonaws.com", true
	if c.Endpoint != "" {
		endpoint, err := url.Parse(c.Endpoint)
		if err != nil {
			return minio.Core{}, fmt.Errorf("s3 endpoint %q: %w", c.Endpoint, err)
		}
		host, secure = endpoint.Host, endpoint.Scheme == "https"
	}
	transport, err := c.transport(secure)
	if err != nil {
		return minio.Core{}, err
	}
	region := c.Region
	if region == "" {
		region = DefaultS3Config().Region // an empty one would cost a request for each bucket
	}
	lookup := minio.BucketLookupAuto
	if c.PathStyle {
		lookup = minio.BucketLookupPath
	}
	client, err := minio.NewCore(host, &minio.Options{
		Creds: c.credentials(), Secure: secure, Transport: transport, Region: region,
		BucketLookup: lookup, MaxRetries: 1,
	})
	if err != nil {
		return minio.Core{}, fmt.Errorf("s3 client for %s: %w", host, err)
	}
	return *client, nil
}

func (c S3Config) credentials() *credentials.Credentials {
	if c.AccessKey != "" {
		return credentials.NewStaticV4(c.AccessKey, string(c.SecretKey), string(c.SessionToken))
	}
	return credentials.NewChainCredentials([]credentials.Provider{
		&credentials.EnvAWS{}, &credentials.FileAWSCredentials{}, &credentials.IAM{},
	})
}

func (c S3Config) transport(secure bool) (http.RoundTripper, error) {
	transport, err := minio.DefaultTransport(secure)
	if err != nil {
		return nil, fmt.Errorf("s3 transport: %w", err)
	}
	if c.CAFile == "" {
		return transport, nil
	}
	pem, err := os.ReadFile(c.CAFile)
	if err != nil {
		return nil, fmt.Errorf("s3 certificates: %w", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool() // a system without its own store still has the file's
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("s3 certificates: %s holds no PEM certificate", c.CAFile)
	}
	transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool}
	return transport, nil
}
