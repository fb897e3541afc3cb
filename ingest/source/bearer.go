package source

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/sasl"
)

// bearer tells a refused token, and one that cannot be had, from troubles of the network.
type bearer struct{ sasl.Mechanism }

// Authenticate implements sasl.Mechanism.
func (b bearer) Authenticate(ctx context.Context, host string) (sasl.Session, []byte, error) {
	session, first, err := b.Mechanism.Authenticate(ctx, host)
	if err != nil {
		return nil, nil, refusedError{fmt.Errorf("%w: no bearer token: %w", ErrCredentials, err)}
	}
	return bearerSession{session}, first, nil
}

// bearerSession reads what the broker says against a token: by RFC 7628 a refusal is data.
type bearerSession struct{ sasl.Session }

// Challenge implements sasl.Session.
func (s bearerSession) Challenge(answer []byte) (done bool, reply []byte, err error) {
	if len(answer) > 0 {
		return false, nil, refusedError{fmt.Errorf("%w: the bearer token is expired or not accepted, "+
			"renew it: the broker says %s", ErrCredentials, answer)}
	}
	return s.Session.Challenge(answer)
}

// refusedError hides that its cause may be a file's error, which the client takes for one of the
// network and retries.
type refusedError struct{ cause error }

func (e refusedError) Error() string { return e.cause.Error() }

func (e refusedError) Is(target error) bool { return errors.Is(e.cause, target) }
