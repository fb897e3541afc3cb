package components

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// SecureKafka is a broker with a listener for every way to prove who one is. Its plain listener
// belongs to the tests: whoever comes through it may do everything, as on any other broker here.
type SecureKafka struct {
	*Kafka
	// SASLSSL and SASLPlain take PLAIN, SCRAM and OAUTHBEARER, with and without TLS; Mutual takes
	// client certificates.
	SASLSSL, SASLPlain, Mutual string
}

// SecureUsers are the users that may come in with a password, which is right-NAME.
const (
	SecureUser   = "firth"   // may read every topic and join every group
	SecureGuest  = "guest"   // may see topics and join groups, but not read
	SecureLoner  = "loner"   // may read every topic, but join no group
	passwordHead = "right-"  // of every password
	sessionMax   = "3600000" // ms; tokens end sooner
	everyMethod  = "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER"
)

// SecurePassword is the password of a user.
func SecurePassword(user string) string { return passwordHead + user }

const secureProperties = `process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:%[5]d
listeners=PLAINTEXT://127.0.0.1:%[1]d,ENCRYPTED://127.0.0.1:%[2]d,OPEN://127.0.0.1:%[3]d,` +
	`MUTUAL://127.0.0.1:%[4]d,CONTROLLER://127.0.0.1:%[5]d
advertised.listeners=PLAINTEXT://127.0.0.1:%[1]d,ENCRYPTED://127.0.0.1:%[2]d,OPEN://127.0.0.1:%[3]d,` +
	`MUTUAL://127.0.0.1:%[4]d
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,ENCRYPTED:SASL_SSL,` +
	`OPEN:SASL_PLAINTEXT,MUTUAL:SSL
log.dirs=%[6]s
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
ssl.keystore.type=PEM
ssl.keystore.location=%[7]s
ssl.truststore.type=PEM
ssl.truststore.location=%[8]s
listener.name.mutual.ssl.client.auth=required
listener.name.mutual.ssl.principal.mapping.rules=RULE:^CN=(.*)$/$1/
connections.max.reauth.ms=` + sessionMax + `
sasl.enabled.mechanisms=` + everyMethod + `
sasl.oauthbearer.jwks.endpoint.url=%[9]s
`

const saslProperties = `listener.name.%[1]s.plain.sasl.jaas.config=` +
	`org.apache.kafka.common.security.plain.PlainLoginModule required%[2]s;
listener.name.%[1]s.scram-sha-256.sasl.jaas.config=` +
	`org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.%[1]s.scram-sha-512.sasl.jaas.config=` +
	`org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.%[1]s.oauthbearer.sasl.jaas.config=` +
	`org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required;
listener.name.%[1]s.oauthbearer.sasl.server.callback.handler.class=` +
	`org.apache.kafka.common.security.oauthbearer.OAuthBearerValidatorCallbackHandler
`

// SecureKafka starts a broker whose certificate and tokens are the authority's.
func (l *Lab) SecureKafka(ctx context.Context, authority *Authority) (*SecureKafka, error) {
	var ports [5]int
	var addresses [5]string
	for i := range ports {
		var err error
		if ports[i], err = FreePort(); err != nil {
			return nil, err
		}
		addresses[i] = fmt.Sprintf("127.0.0.1:%d", ports[i])
	}
	identity, err := authority.Issue("broker")
	if err != nil {
		return nil, err
	}
	k := &SecureKafka{SASLSSL: addresses[1], SASLPlain: addresses[2], Mutual: addresses[3],
		Kafka: &Kafka{Brokers: addresses[0], lab: l, dir: filepath.Join(l.Dir, "kafka-secure")}}
	if err := os.MkdirAll(k.dir, 0o755); err != nil {
		return nil, err
	}
	keys := "file://" + authority.JWKSFile
	text := fmt.Sprintf(secureProperties, ports[0], ports[1], ports[2], ports[3], ports[4],
		filepath.Join(k.dir, "data"), identity.BothFile, authority.CAFile, keys)
	var passwords strings.Builder
	for _, user := range []string{SecureUser, SecureGuest, SecureLoner} {
		fmt.Fprintf(&passwords, " user_%s=%q", user, SecurePassword(user))
	}
	for _, listener := range []string{"encrypted", "open"} {
		text += fmt.Sprintf(saslProperties, listener, passwords.String())
	}
	if err := k.format(ctx, text, "-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls="+keys); err != nil {
		return nil, err
	}
	return k, k.admit(ctx)
}

// Allow lets a user do what rights name.
func (k *SecureKafka) Allow(ctx context.Context, user string, rights *kadm.ACLBuilder) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(k.Brokers))
	if err != nil {
		return err
	}
	defer client.Close()
	return allow(ctx, kadm.NewClient(client), user, rights)
}

// admit makes the SCRAM users and says what each user may do.
func (k *SecureKafka) admit(ctx context.Context) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(k.Brokers))
	if err != nil {
		return err
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	// A broker takes one mechanism of a user at a time.
	for _, mechanism := range []kadm.ScramMechanism{kadm.ScramSha256, kadm.ScramSha512} {
		altered, err := admin.AlterUserSCRAMs(ctx, nil, []kadm.UpsertSCRAM{{User: SecureUser,
			Mechanism: mechanism, Iterations: 4096, Password: SecurePassword(SecureUser)}})
		if err == nil {
			err = altered.Error()
		}
		if err != nil {
			return fmt.Errorf("create SCRAM user: %w", err)
		}
	}
	for user, rights := range map[string]*kadm.ACLBuilder{
		SecureUser:  kadm.NewACLs().Topics("*").Groups("*").Operations(kadm.OpRead, kadm.OpDescribe),
		SecureGuest: kadm.NewACLs().Topics("*").Operations(kadm.OpDescribe),
		SecureLoner: kadm.NewACLs().Topics("*").Operations(kadm.OpRead, kadm.OpDescribe),
	} {
		if err := allow(ctx, admin, user, rights); err != nil {
			return err
		}
	}
	return allow(ctx, admin, SecureGuest, kadm.NewACLs().Groups("*").Operations(kadm.OpRead))
}

func allow(ctx context.Context, admin *kadm.Client, user string, rights *kadm.ACLBuilder) error {
	rights.Allow("User:" + user).ResourcePatternType(kadm.ACLPatternLiteral)
	created, err := admin.CreateACLs(ctx, rights)
	if err != nil {
		return fmt.Errorf("allow %s: %w", user, err)
	}
	for _, each := range created {
		if each.Err != nil {
			return fmt.Errorf("allow %s: %w", user, each.Err)
		}
	}
	return nil
}
