package source

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"regexp"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/oauth"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// Connection says how to reach a cluster.
type Connection struct {
	// Brokers are host:port of some brokers; the rest are found through them.
	Brokers []string
	// TLS, when not nil, encrypts every connection.
	TLS *tls.Config
	// SASL, when not nil, authenticates every connection.
	SASL *SASL
	// ClientID names this process in the brokers' logs and quotas.
	ClientID string
	// Dial, when not nil, opens connections: a virtual network in tests.
	Dial func(ctx context.Context, network, host string) (net.Conn, error)
}

// SASL is how a client proves who it is.
type SASL struct {
	// Mechanism is PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER.
	Mechanism      string
	User, Password string
	// Token returns a fresh bearer token, for OAUTHBEARER.
	Token func(ctx context.Context) (string, error)
}

// KafkaOptions are what OpenKafka needs to know.
type KafkaOptions struct {
	Connection
	// Topics are names; each must exist.
	Topics []string
	// Patterns are regular expressions matched against whole topic names, for ever: a topic
	// created later is found too.
	Patterns []string
	// Group is the consumer group that shares the partitions out.
	Group string
	// InstanceID, when set, makes this a static member (KIP-345): a restarted process takes its
	// partitions at once instead of waiting for the session of its dead self to end. It must name
	// what is read too: a member that comes back gets its old partitions, whatever it asks for.
	InstanceID string
	// SessionTimeout is how long the group waits for a silent member; 0 means 6 s.
	SessionTimeout time.Duration
	// MetadataInterval is how often new topics, new partitions and re-created topics are looked
	// for; 0 means 30 s.
	MetadataInterval time.Duration
	// FetchBytesMax bounds one answer of one broker, compressed; 0 means 1 MiB.
	FetchBytesMax int32
	Logger        *slog.Logger
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Random spreads what is tried again, from 0 up to 1; nil means Go's own.
	Random func() float64
}

// Bounds and periods. A fetch answer is at most fetchBytesMax; one is in hand and two at most wait for a
// broker. A million small records compress to 16 MiB and take 500 MB when they are unpacked, so it is
// kept small: the memory of one answer serves the next. 1 MiB is still what two cores ingest in 10 ms.
// A record of 50 MB must pass, so the largest answer is well above that.
const (
	fetchBytesMax      = 1 << 20
	partitionBytesMax  = 1 << 20
	answerBytesMax     = 256 << 20
	decompressBytesMax = 512 << 20
	sessionTimeout     = 6 * time.Second // the least that brokers allow, group.min.session.timeout.ms
	heartbeatInterval  = time.Second
	patience           = 2*heartbeatInterval + heartbeatInterval/2 // with a member that the group waits for
	groupTimeout       = time.Second                               // of what need not succeed
	metadataInterval   = 30 * time.Second
	fetchWaitMax       = 500 * time.Millisecond
	dialTimeout        = 10 * time.Second
	requestTimeout     = 15 * time.Second
	checkTimeout       = 5 * time.Second
	leaveTimeout       = 2 * time.Second
	missingInterval    = 5 * time.Second // how often a topic that is gone is looked for
)

func (o *KafkaOptions) fill() error {
	if len(o.Brokers) == 0 {
		return errors.New("no brokers: set brokers to host:port of at least one")
	}
	if o.Group == "" {
		return errors.New("no consumer group: set group")
	}
	if len(o.Topics)+len(o.Patterns) == 0 {
		return errors.New("no topics: give names or patterns")
	}
	for _, p := range o.Patterns {
		if _, err := regexp.Compile(p); err != nil {
			return fmt.Errorf("topic pattern %q: %w", p, err)
		}
	}
	if o.SessionTimeout == 0 {
		o.SessionTimeout = sessionTimeout
	}
	if o.MetadataInterval == 0 {
		o.MetadataInterval = metadataInterval
	}
	if o.FetchBytesMax == 0 {
		o.FetchBytesMax = fetchBytesMax
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Random == nil {
		o.Random = rand.Float64
	}
	return nil
}

// consumeTopics are the options that say which topics: names as they are, or, as soon as there is a
// pattern, everything as anchored expressions, for the client knows only one of the two.
func (o *KafkaOptions) consumeTopics() []kgo.Opt {
	if len(o.Patterns) == 0 {
		return []kgo.Opt{kgo.ConsumeTopics(o.Topics...)}
	}
	var exprs []string
	for _, t := range o.Topics {
		exprs = append(exprs, "^"+regexp.QuoteMeta(t)+"$")
	}
	for _, p := range o.Patterns {
		exprs = append(exprs, "^(?:"+p+")$")
	}
	return []kgo.Opt{kgo.ConsumeTopics(exprs...), kgo.ConsumeRegex(), kgo.ConsumeExcludeTopics("^__.*")}
}

// ClientOptions are the Kafka client's options for the connection.
func (c Connection) ClientOptions() ([]kgo.Opt, error) {
	opts := []kgo.Opt{
		kgo.SeedBrokers(c.Brokers...),
		kgo.DialTimeout(dialTimeout),
		kgo.SoftwareNameAndVersion("firth", "0"),
		kgo.DisableClientMetrics(),
	}
	if c.ClientID != "" {
		opts = append(opts, kgo.ClientID(c.ClientID))
	}
	switch {
	case c.Dial != nil:
		opts = append(opts, kgo.Dialer(c.Dial))
	case c.TLS != nil:
		opts = append(opts, kgo.DialTLSConfig(c.TLS))
	}
	if c.SASL != nil {
		mechanism, err := c.SASL.mechanism()
		if err != nil {
			return nil, err
		}
		opts = append(opts, kgo.SASL(mechanism))
	}
	return opts, nil
}

func (s *SASL) mechanism() (sasl.Mechanism, error) {
	switch s.Mechanism {
	case "PLAIN":
		return plain.Auth{User: s.User, Pass: s.Password}.AsMechanism(), nil
	case "SCRAM-SHA-256":
		return scram.Auth{User: s.User, Pass: s.Password}.AsSha256Mechanism(), nil
	case "SCRAM-SHA-512":
		return scram.Auth{User: s.User, Pass: s.Password}.AsSha512Mechanism(), nil
	case "OAUTHBEARER":
		if s.Token == nil {
			return nil, errors.New("OAUTHBEARER needs a token")
		}
		return bearer{oauth.Oauth(func(ctx context.Context) (oauth.Auth, error) {
			token, err := s.Token(ctx)
			return oauth.Auth{Token: token}, err
		})}, nil
	}
	return nil, fmt.Errorf("SASL mechanism %q is none of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER",
		s.Mechanism)
}
