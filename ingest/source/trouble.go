package source

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// connectionError adds to err which of the known troubles it is and what to do about it.
func connectionError(err error) error {
	var netErr net.Error
	var firstRead *kgo.ErrFirstReadEOF
	var opErr *net.OpError
	switch {
	case errors.Is(err, ErrCredentials), errors.Is(err, ErrTLS), errors.Is(err, ErrUnreachable),
		errors.Is(err, ErrSession):
		return err
	case errors.Is(err, kerr.SaslAuthenticationFailed), errors.Is(err, kerr.IllegalSaslState),
		errors.Is(err, kerr.UnsupportedSaslMechanism):
		return fmt.Errorf("%w: check user, password and mechanism of the cluster: %w", ErrCredentials, err)
	case errors.Is(err, kerr.TopicAuthorizationFailed), errors.Is(err, kerr.GroupAuthorizationFailed),
		errors.Is(err, kerr.ClusterAuthorizationFailed):
		return fmt.Errorf("%w: the user needs READ and DESCRIBE on topics and group: %w", ErrCredentials, err)
	case errors.Is(err, kerr.InvalidSessionTimeout):
		return fmt.Errorf("%w: let group.min.session.timeout.ms of the brokers be %d or less: %w",
			ErrSession, sessionTimeout.Milliseconds(), err)
	case tlsRemedy(err) != "":
		return fmt.Errorf("%w: %s: %w", ErrTLS, tlsRemedy(err), err)
	case errors.As(err, &firstRead), errors.Is(err, io.EOF):
		return fmt.Errorf("%w: the broker closed the connection at once: check TLS, user and password, or token: %w",
			ErrUnreachable, err)
	case errors.As(err, &opErr), errors.As(err, &netErr), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%w: check address, port, TLS and firewall: %w", ErrUnreachable, err)
	}
	return err
}

// tlsRemedy says what to do about an error of TLS; empty when err is none.
func tlsRemedy(err error) string {
	var unverified *tls.CertificateVerificationError
	var alert tls.AlertError
	var remote *net.OpError
	var notTLS tls.RecordHeaderError
	switch {
	case errors.As(err, &unverified):
		return "the broker's certificate is not trusted: check ca_file and the names in brokers"
	case errors.As(err, &alert), errors.As(err, &remote) && remote.Op == "remote error":
		return "the broker refuses the connection: it may want a client certificate, check cert_file and key_file"
	case errors.As(err, &notTLS):
		return "the broker does not speak TLS on this port: check the port, or leave tls out"
	case strings.Contains(err.Error(), "tls alert record"): // the client has no type for it
		return "the broker wants TLS on this port: check the port, or set tls"
	}
	return ""
}

// withoutPorts is an error that reads the same each time: a broker that does not answer is told once,
// whatever connection it was that broke.
func withoutPorts(err error) error {
	if errors.Is(err, ErrUnreachable) {
		return fmt.Errorf("%w: it does not answer", ErrUnreachable)
	}
	return err
}
