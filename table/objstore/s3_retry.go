package objstore

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/minio/minio-go/v7"
)

// try runs op until it succeeds, fails for good, or the attempts are used up. It is the only place
// that retries operations on objects.
func (s *S3) try(ctx context.Context, op func(context.Context) error) error {
	for attempt := 1; ; attempt++ {
		err := op(ctx)
		if err == nil || !retryable(err) || ctx.Err() != nil || attempt >= s.attempts {
			return err
		}
		if err := pause(ctx, attempt); err != nil {
			return err
		}
	}
}

// pause waits before the try after attempt, with jitter so that many clients do not return as one.
func pause(ctx context.Context, attempt int) error {
	longest := min(pauseMin<<(attempt-1), pauseMax)
	timer := time.NewTimer(longest/2 + rand.N(longest/2))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// retryable says whether another try may end otherwise. Errors without an answer of the server
// (broken or refused connection, time-out of one attempt) may.
func retryable(err error) bool {
	var answer minio.ErrorResponse
	if !errors.As(err, &answer) {
		return !fatal(err)
	}
	switch answer.Code {
	case "RequestError", "RequestTimeout", "RequestTimeTooSkewed", "Throttling",
		"ThrottlingException", "RequestLimitExceeded", "RequestThrottled", "InternalError",
		"ExpiredToken", "ExpiredTokenException", "SlowDown", "SlowDownWrite", "SlowDownRead",
		"ServiceUnavailable", "OperationAborted", "ConditionalRequestConflict",
		"XMinioServerNotInitialized", "XMinioReadQuorum", "XMinioWriteQuorum":
		return true
	case "XMinioStorageFull":
		return false
	}
	switch answer.StatusCode {
	case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusInternalServerError,
		http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// fatal says that an error before any answer will come back the same.
func fatal(err error) bool {
	var unknown x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	return errors.As(err, &unknown) || errors.As(err, &host) || errors.As(err, &invalid) ||
		errors.Is(err, http.ErrSchemeMismatch) || errors.Is(err, errBody)
}

// explain adds the sentinel that an answer of the server stands for.
func (s *S3) explain(err error) error {
	var answer minio.ErrorResponse
	if !errors.As(err, &answer) {
		return err
	}
	endpoint := s.client.EndpointURL()
	switch {
	case answer.Code == "NoSuchBucket":
		return fmt.Errorf("%w: %s on %s: %w", ErrNoBucket, answer.BucketName, endpoint, err)
	case answer.Code == "NoSuchKey", answer.Code == "NotFound", answer.Code == "NoSuchVersion":
		return fmt.Errorf("%w: %w", ErrNotFound, err)
	case answer.Code == "PreconditionFailed", answer.StatusCode == http.StatusPreconditionFailed:
		return fmt.Errorf("%w: %w", ErrPrecondition, err)
	case answer.Code == "XMinioStorageFull", answer.Code == "QuotaExceeded",
		answer.Code == "XMinioAdminBucketQuotaExceeded",
		answer.StatusCode == http.StatusInsufficientStorage:
		return fmt.Errorf("%w: %w", ErrFull, err)
	case answer.Code == "AccessDenied", answer.Code == "InvalidAccessKeyId",
		answer.Code == "SignatureDoesNotMatch", answer.Code == "AllAccessDisabled",
		answer.StatusCode == http.StatusForbidden, answer.StatusCode == http.StatusUnauthorized:
		return fmt.Errorf("%w: check the keys and the policy of the bucket: %w", ErrPermission, err)
	case answer.Code == "XMinioInvalidObjectName", answer.Code == "InvalidBucketName",
		answer.Code == "KeyTooLongError":
		return fmt.Errorf("%w: %w", ErrBadLocation, err)
	}
	return err
}
