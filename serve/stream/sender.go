package stream

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// sender sends a stream in a format.
type sender struct {
	format format
	now    func() time.Time
	flush  func() error // sends what the format has written
	token  string       // that was sent last
	sent   time.Time    // when
}

// errWrite says that the client is gone, or reads nothing.
var errWrite = errors.New("client does not read")

// send sends the rows of a stream until the client has enough, or the table has other columns.
func (s *sender) send(ctx context.Context, sub *Subscription) error {
	if err := s.take(nil, sub.Token()); err != nil {
		return err
	}
	for rows, err := range sub.portions(ctx) {
		if err == nil {
			err = s.take(rows, sub.Token())
		}
		if errors.Is(err, errSchema) {
			return s.flush() // the client goes on with its token, and gets the new columns
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// take sends rows, or a token alone when it is another or the client has not heard anything for long.
func (s *sender) take(rows *portion, token string) error {
	var err error
	now := s.now()
	switch {
	case rows != nil:
		body, schema, broken := rows.encoded(s.format, token)
		if broken != nil {
			return broken
		}
		err = s.format.rows(body, schema, token)
	case token != s.token || now.Sub(s.sent) >= quietMax/2:
		err = s.format.quiet(token)
	default:
		return nil
	}
	if errors.Is(err, errSchema) {
		return err
	}
	if s.token, s.sent = token, now; err == nil {
		err = s.flush()
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errWrite, err)
	}
	return nil
}
