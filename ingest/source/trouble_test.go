package source

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
)

func TestTroublesOfTheConnectionNameTheirRemedy(t *testing.T) {
	for want, err := range map[string]error{
		"check ca_file":                    &tls.CertificateVerificationError{Err: errors.New("unknown authority")},
		"check cert_file and key_file":     &net.OpError{Op: "remote error", Err: errors.New("tls: bad certificate")},
		"leave tls out":                    tls.RecordHeaderError{Msg: "not TLS"},
		"or set tls":                       errors.New("invalid size: appears to be a tls alert record for TLS v1.2"),
		"check address, port":              &net.OpError{Op: "dial", Err: errors.New("refused")},
		"needs READ":                       kerr.TopicAuthorizationFailed,
		"let group.min.session.timeout.ms": kerr.InvalidSessionTimeout,
		"check user, password and mechani": kerr.SaslAuthenticationFailed,
	} {
		told := connectionError(fmt.Errorf("dial: %w", err))
		require.ErrorContains(t, told, want)
		require.ErrorIs(t, told, err)
		require.Equal(t, told, connectionError(told), "a remedy is given once")
	}
}

func TestARefusedTokenIsNoTroubleOfTheNetwork(t *testing.T) {
	auth := SASL{Mechanism: "OAUTHBEARER", Token: func(context.Context) (string, error) { return "token", nil }}
	mechanism, err := auth.mechanism()
	require.NoError(t, err)
	session, first, err := mechanism.Authenticate(t.Context(), "broker")
	require.NoError(t, err)
	require.Contains(t, string(first), "token")
	_, _, err = session.Challenge([]byte(`{"status":"invalid_token"}`))
	require.ErrorIs(t, err, ErrCredentials)
	require.ErrorContains(t, err, "invalid_token")
	done, _, err := session.Challenge(nil)
	require.NoError(t, err)
	require.True(t, done)

	auth.Token = func(context.Context) (string, error) {
		return "", &fs.PathError{Op: "open", Path: "t", Err: fs.ErrNotExist}
	}
	mechanism, err = auth.mechanism()
	require.NoError(t, err)
	_, _, err = mechanism.Authenticate(t.Context(), "broker")
	require.ErrorIs(t, connectionError(err), ErrCredentials)
	require.NotErrorIs(t, connectionError(err), ErrUnreachable)
}
