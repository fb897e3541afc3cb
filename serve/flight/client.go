package flight

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/flight"
	"github.com/apache/arrow-go/v18/arrow/flight/flightsql"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/firthlake/firth/serve/query"
	"github.com/firthlake/firth/table"
)

// Client is an engine somewhere else.
type Client struct {
	sql   *flightsql.Client
	token string
}

var _ query.Engine = (*Client)(nil)

// ErrUnreachable says that no server answers, ErrToken that it wants another token, ErrNoEngine that it has no SQL.
var (
	ErrUnreachable = errors.New("no Flight SQL server answers")
	ErrToken       = errors.New("the server wants another token")
	ErrNoEngine    = errors.New("the server has no SQL engine")
)

// Dial returns the engine behind an address: host:port, grpc://host:port, or grpc+tls://host:port. It does not
// connect before it is asked something.
func Dial(address, token string) (*Client, error) {
	secret := insecure.NewCredentials()
	if scheme, _, found := strings.Cut(address, "://"); found {
		parsed, err := url.Parse(address)
		if err != nil || parsed.Host == "" {
			return nil, fmt.Errorf("flight address %q: write it as host:port or grpc://host:port", address)
		}
		switch scheme {
		case "grpc", "grpc+tcp", "http":
		case "grpc+tls", "grpcs", "https":
			secret = credentials.NewTLS(nil)
		default:
			return nil, fmt.Errorf("flight address %q: there is no scheme %s: write grpc:// or grpc+tls://", address,
				scheme)
		}
		address = parsed.Host
	}
	client, err := flightsql.NewClient(address, nil, nil, grpc.WithTransportCredentials(secret),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(messageBytesMax)))
	if err != nil {
		return nil, fmt.Errorf("flight address %s: %w", address, err)
	}
	return &Client{sql: client, token: token}, nil
}

func (c *Client) context(ctx context.Context) context.Context {
	if c.token == "" {
		return ctx
	}
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+c.token)
}

// Describe tells what a statement would answer.
func (c *Client) Describe(ctx context.Context, sql string) (query.Description, error) {
	prepared, err := c.sql.Prepare(c.context(ctx), sql)
	if err != nil {
		return query.Description{}, heard(ctx, err)
	}
	out := query.Description{Columns: prepared.DatasetSchema(), Parameters: prepared.ParameterSchema()}
	return out, heard(ctx, prepared.Close(c.context(ctx)))
}

// Run starts a statement.
func (c *Client) Run(ctx context.Context, sql string, parameters arrow.RecordBatch) (array.RecordReader, error) {
	ctx, cancel := context.WithCancel(c.context(ctx))
	info, err := c.info(ctx, sql, parameters)
	if err == nil && len(info.Endpoint) != 1 {
		err = fmt.Errorf("the answer lies in %d places: firth gives one", len(info.Endpoint))
	}
	if err != nil {
		defer cancel()
		return nil, heard(ctx, err)
	}
	reader, err := c.sql.DoGet(ctx, info.Endpoint[0].Ticket)
	if err != nil {
		defer cancel()
		return nil, heard(ctx, err)
	}
	return &remote{Reader: reader, context: func() context.Context { return ctx }, cancel: cancel}, nil
}

func (c *Client) info(ctx context.Context, sql string, parameters arrow.RecordBatch) (*flight.FlightInfo, error) {
	if parameters == nil {
		return c.sql.Execute(ctx, sql)
	}
	prepared, err := c.sql.Prepare(ctx, sql)
	if err != nil {
		return nil, err
	}
	prepared.SetParameters(parameters)
	info, err := prepared.Execute(ctx)
	return info, errors.Join(err, prepared.Close(ctx))
}

// Close closes the connection.
func (c *Client) Close() error { return c.sql.Close() }

// remote is an answer that comes from a server.
type remote struct {
	*flight.Reader
	context func() context.Context
	cancel  context.CancelFunc
}

// Err is why the answer broke off.
func (r *remote) Err() error { return heard(r.context(), r.Reader.Err()) }

// Release ends the statement. The reader has one holder.
func (r *remote) Release() {
	r.cancel()
	r.Reader.Release()
}

// heard turns what a server says into the error that it said it for.
func heard(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	said := status.Convert(err)
	for code, kind := range map[codes.Code]error{
		codes.InvalidArgument: query.ErrInvalid, codes.PermissionDenied: query.ErrRefused,
		codes.ResourceExhausted: query.ErrLimit, codes.NotFound: table.ErrNotFound,
		codes.Unavailable: ErrUnreachable, codes.Unauthenticated: ErrToken,
		codes.Unimplemented: ErrNoEngine,
	} {
		if said.Code() == code {
			return &saidError{text: said.Message(), kind: kind}
		}
	}
	return err
}

// saidError has the server's text, which names the kind already.
type saidError struct {
	text string
	kind error
}

func (e *saidError) Error() string { return e.text }

func (e *saidError) Unwrap() error { return e.kind }
