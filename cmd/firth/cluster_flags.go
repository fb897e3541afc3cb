package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/firthlake/firth/ingest/source"
	"github.com/firthlake/firth/ingest/spec/document"
	"github.com/firthlake/firth/table/objstore"
)

// clusterFlags name a cluster on the command line: one of the configuration, or one that is described
// by the same settings as there.
type clusterFlags struct {
	name, brokers              string
	tls                        tlsConfig
	mechanism, user            string
	password, token, tokenFile string
}

func (c *clusterFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&c.name, "cluster", "", "cluster of the configuration (-c)")
	flags.StringVar(&c.brokers, "brokers", "", "brokers as host:port, separated by commas")
	flags.BoolVar(&c.tls.Enabled, "tls", false, "encrypt; on as soon as a file is given")
	flags.StringVar(&c.tls.CAFile, "tls-ca-file", "", "certificates to trust, PEM")
	flags.StringVar(&c.tls.CertFile, "tls-cert-file", "", "certificate of this client, PEM")
	flags.StringVar(&c.tls.KeyFile, "tls-key-file", "", "its key, PEM")
	flags.StringVar(&c.mechanism, "sasl-mechanism", "", "PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER")
	flags.StringVar(&c.user, "sasl-user", "", "user")
	flags.StringVar(&c.password, "sasl-password", "",
		"password: ${NAME} is of the environment, ${file:PATH} of a file; as it stands others may see it")
	flags.StringVar(&c.token, "sasl-token", "", "bearer token, in the same ways")
	flags.StringVar(&c.tokenFile, "sasl-token-file", "", "file that holds the bearer token")
}

// given says whether a cluster is named.
func (c *clusterFlags) given() bool { return c.name != "" || c.brokers != "" }

// connectionOf says how to reach the cluster that the flags name.
func (p *program) connectionOf(c clusterFlags) (source.Connection, error) {
	if c.name != "" {
		if c.brokers != "" {
			return source.Connection{}, couldNot(errors.New("both --cluster and --brokers are given"),
				"give one of them")
		}
		configured, err := p.loadConfig()
		if err != nil {
			return source.Connection{}, err
		}
		return configured.connection(c.name)
	}
	cluster := clusterConfig{Brokers: strings.Split(c.brokers, ","), TLS: c.tls,
		SASL: saslConfig{Mechanism: c.mechanism, User: c.user, TokenFile: c.tokenFile}}
	password, err := document.Expand(c.password, p.reference)
	if err != nil {
		return source.Connection{}, couldNot(fmt.Errorf("--sasl-password: %w", err), "")
	}
	token, err := document.Expand(c.token, p.reference)
	if err != nil {
		return source.Connection{}, couldNot(fmt.Errorf("--sasl-token: %w", err), "")
	}
	cluster.SASL.Password, cluster.SASL.Token = objstore.Secret(password), objstore.Secret(token)
	var faults []error
	cluster.validate("", func(key, remedy, format string, args ...any) {
		flag := "--" + strings.NewReplacer(".", "-", "_", "-").Replace(strings.TrimPrefix(key, "."))
		faults = append(faults, fmt.Errorf("%s: %s; %s", flag, fmt.Sprintf(format, args...), remedy))
	})
	if len(faults) > 0 {
		return source.Connection{}, couldNot(errors.Join(faults...), "see 'firth gen --help'")
	}
	return config{Clusters: map[string]clusterConfig{"": cluster}}.connection("")
}
