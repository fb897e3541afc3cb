//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/firthlake/firth/e2e/components"
	"github.com/firthlake/firth/ingest/gen"
)

// fortress is a broker that asks everyone who they are, with a topic of 10,000 rows.
type fortress struct {
	lab       *components.Lab
	authority *components.Authority
	kafka     *components.SecureKafka
	events    workload
}

func newFortress(t *testing.T) *fortress {
	t.Helper()
	f := &fortress{lab: newLab(t), events: workload{topic: "events", format: gen.JSON, seed: 1, rows: 10_000}}
	var err error
	f.authority, err = components.NewAuthority(t.TempDir())
	require.NoError(t, err)
	f.kafka, err = f.lab.SecureKafka(t.Context(), f.authority)
	require.NoError(t, err)
	_, err = f.events.produce(t.Context(), f.kafka.Brokers)
	require.NoError(t, err)
	return f
}

// access is one way to come in: a listener, and what stands beside it in the configuration.
type access struct{ listener, text string }

// lake has the table db.events in a folder of its own.
func (f *fortress) lake(t *testing.T, a access) *lake {
	t.Helper()
	l := newLake(t, f.lab, settings{brokers: a.listener, sasl: a.text, warehouse: "warehouse",
		group: "reads-" + slug(t)})
	l.spec(t, f.events.topic, tableSpec(f.events.topic, events10, "json"))
	l.apply(t)
	return l
}

// slug is the name of the subtest as a file name.
func slug(t *testing.T) string {
	return strings.ReplaceAll(filepath.Base(t.Name()), "_", "-")
}

// trust encrypts with the authority's certificate.
func (f *fortress) trust() string { return fmt.Sprintf(", tls: {ca_file: %q}", f.authority.CAFile) }

// password authenticates a user.
func password(mechanism, user, password string) string {
	return fmt.Sprintf(", sasl: {mechanism: %s, user: %s, password: %q}", mechanism, user, password)
}

// known is password with the right one.
func known(mechanism, user string) string {
	return password(mechanism, user, components.SecurePassword(user))
}

// tokenFile authenticates with the token in a file.
func tokenFile(file string) string {
	return fmt.Sprintf(", sasl: {mechanism: OAUTHBEARER, token_file: %q}", file)
}

// token writes a token into a file, in one step as those who renew tokens do.
func (f *fortress) token(t *testing.T, file string, age time.Duration) {
	t.Helper()
	text, err := f.authority.Token(components.SecureUser, time.Now().Add(age))
	require.NoError(t, err)
	write(t, file+".new", text+"\n")
	require.NoError(t, os.Rename(file+".new", file))
}

func TestSecureKafkaIsReadAndRefusesClearly(t *testing.T) {
	f := newFortress(t)
	t.Run("every way in gives a proven table", f.waysIn)
	t.Run("who is refused is told why", f.refusals)
	t.Run("a right that is missing loses nothing", f.missingRights)
	t.Run("a token that expires is read again", f.expiringToken)
}

func (f *fortress) waysIn(t *testing.T) {
	client, err := f.authority.Issue(components.SecureUser)
	require.NoError(t, err)
	tokens := filepath.Join(t.TempDir(), "token")
	f.token(t, tokens, time.Hour)
	text, err := os.ReadFile(tokens)
	require.NoError(t, err)
	const user = components.SecureUser
	for name, a := range map[string]access{
		"PLAIN":         {f.kafka.SASLSSL, f.trust() + known("PLAIN", user)},
		"SCRAM-SHA-256": {f.kafka.SASLSSL, f.trust() + known("SCRAM-SHA-256", user)},
		"SCRAM-SHA-512": {f.kafka.SASLSSL, f.trust() + known("SCRAM-SHA-512", user)},
		"token": {f.kafka.SASLSSL, f.trust() + fmt.Sprintf(", sasl: {mechanism: OAUTHBEARER, token: %q}",
			strings.TrimSpace(string(text)))},
		"token file":  {f.kafka.SASLSSL, f.trust() + tokenFile(tokens)},
		"without TLS": {f.kafka.SASLPlain, known("SCRAM-SHA-512", user)},
		"client certificate": {f.kafka.Mutual, fmt.Sprintf(", tls: {ca_file: %q, cert_file: %q, key_file: %q}",
			f.authority.CAFile, client.CertFile, client.KeyFile)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := f.lake(t, a)
			out := l.firth(t, "topics", "--json")
			require.Zero(t, out.code, out.stderr)
			require.Contains(t, out.stdout, `"records": 10000`)
			p := l.run(t, slug(t))
			l.reaches(t, f.events.table(), f.events.rows, time.Minute)
			p.Stop()
			require.Zero(t, p.ExitCode(), p.Tail())
			f.recounted(t, l)
		})
	}
}

// recounted verifies the table and that the topic was read for that.
func (f *fortress) recounted(t *testing.T, l *lake) {
	t.Helper()
	report := l.proven(t, f.events.table())
	require.Equal(t, f.events.rows, report.Files.Rows)
	var retained int64
	for _, p := range report.Partitions {
		retained += p.Retained
	}
	require.Equal(t, f.events.rows, retained)
}

// toldWithin is how soon a user learns why the door stays shut.
const toldWithin = 15 * time.Second

func (f *fortress) refusals(t *testing.T) {
	stranger, err := components.NewAuthority(t.TempDir())
	require.NoError(t, err)
	expired := filepath.Join(t.TempDir(), "token")
	f.token(t, expired, -time.Hour)
	const user, refused = components.SecureUser, "credentials refused"
	for name, c := range map[string]struct {
		access
		words []string
	}{
		"wrong password": {access{f.kafka.SASLSSL, f.trust() + password("PLAIN", user, "wrong")},
			[]string{refused, "check user, password and mechanism"}},
		"wrong SCRAM password": {access{f.kafka.SASLSSL, f.trust() + password("SCRAM-SHA-512", user, "wrong")},
			[]string{refused, "check user, password and mechanism"}},
		"user without SCRAM": {access{f.kafka.SASLPlain, known("SCRAM-SHA-256", components.SecureGuest)},
			[]string{refused, "check user, password and mechanism"}},
		"mechanism that is off": {access{f.kafka.Brokers, known("PLAIN", user)},
			[]string{refused, "clusters.*.sasl"}},
		"wrong CA": {access{f.kafka.SASLSSL, fmt.Sprintf(", tls: {ca_file: %q}", stranger.CAFile) +
			known("PLAIN", user)}, []string{"TLS refused", "certificate", "ca_file"}},
		"expired token": {access{f.kafka.SASLSSL, f.trust() + tokenFile(expired)},
			[]string{refused, "token", "expired"}},
		"missing token file": {access{f.kafka.SASLSSL, f.trust() + tokenFile("/nowhere/token")},
			[]string{"read token_file", "/nowhere/token"}},
		"TLS to a plain port": {access{f.kafka.SASLPlain, f.trust() + known("PLAIN", user)},
			[]string{"TLS", "closed the connection"}},
		"no TLS to a TLS port": {access{f.kafka.SASLSSL, known("PLAIN", user)},
			[]string{"TLS refused", "wants TLS", "clusters.*.tls"}},
		"no client certificate": {access{f.kafka.Mutual, f.trust()}, []string{"certificate", "cert_file"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := f.lake(t, c.access)
			for _, command := range []string{"run", "topics"} {
				begun := time.Now()
				l.refuses(t, command, 2, append(c.words, "cluster default", c.listener)...)
				require.Less(t, time.Since(begun), toldWithin, command)
			}
		})
	}
}

func (f *fortress) missingRights(t *testing.T) {
	for name, c := range map[string]struct {
		user   string
		right  *kadm.ACLBuilder
		wanted string
	}{
		"topic": {components.SecureGuest, kadm.NewACLs().Topics("events"), "READ"},
		"group": {components.SecureLoner, kadm.NewACLs().Groups("*"), "READ"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := f.lake(t, access{f.kafka.SASLSSL, f.trust() + known("PLAIN", c.user)})
			p := l.run(t, "without-"+slug(t))
			begun := time.Now()
			says(t, p, "credentials refused", c.wanted, "cluster=default", "Kafka at "+f.kafka.SASLSSL)
			require.Less(t, time.Since(begun), toldWithin)
			l.notReady(t, "credentials refused", c.wanted)
			require.NoError(t, pause(t.Context(), 3*time.Second))
			log, err := os.ReadFile(p.Log)
			require.NoError(t, err)
			require.Equal(t, 1, strings.Count(string(log), "goes on trying"), "it is told once:\n%s", log)
			rights := c.right.Operations(kadm.OpRead, kadm.OpDescribe)
			require.NoError(t, f.kafka.Allow(t.Context(), c.user, rights))
			l.reaches(t, f.events.table(), f.events.rows, time.Minute)
			l.ready(t)
			p.Stop()
			require.Zero(t, p.ExitCode(), p.Tail())
			f.recounted(t, l)
		})
	}
}

func (f *fortress) expiringToken(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	f.token(t, file, 6*time.Second)
	l := f.lake(t, access{f.kafka.SASLSSL, f.trust() + tokenFile(file)})
	p := l.run(t, "expiring")
	l.reaches(t, f.events.table(), f.events.rows, time.Minute)
	says(t, p, "Kafka at "+f.kafka.SASLSSL, "cluster=default")
	log, err := os.ReadFile(p.Log)
	require.NoError(t, err)
	require.Regexp(t, "err=\"Kafka at .*token", string(log))
	more := workload{topic: f.events.topic, format: gen.JSON, seed: 2, rows: 1000}
	_, err = more.produce(t.Context(), f.kafka.Brokers)
	require.NoError(t, err)
	f.token(t, file, time.Hour)
	l.reaches(t, f.events.table(), f.events.rows+more.rows, time.Minute)
	p.Stop()
	require.Zero(t, p.ExitCode(), p.Tail())
	require.Equal(t, f.events.rows+more.rows, l.proven(t, f.events.table()).Files.Rows)
}
