package source

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/firthlake/firth/commit"
)

// Embedded is a Kafka broker in this process, for demos, tests and benchmarks: one node, its data in
// a folder, nothing replicated.
type Embedded struct {
	cluster *kfake.Cluster
	id      string
}

// EmbeddedOptions say what an embedded broker holds.
type EmbeddedOptions struct {
	// Dir keeps the data; empty means memory only.
	Dir string
	// ClusterID is used when Dir holds none yet; empty means a random one.
	ClusterID string
	// Topics are created when they are not there, with their number of partitions.
	Topics map[string]int32
	// Port is where to listen on 127.0.0.1; 0 means any free port.
	Port int
	// Users are accepted by SASL, by "mechanism/user"; none means no authentication.
	Users map[string]string
	// Listen, when not nil, opens the listener: a virtual network in tests.
	Listen func(network, address string) (net.Listener, error)
}

const clusterIDFile = "cluster-id"

// StartEmbedded starts a broker and reloads what its folder holds. The caller closes it.
func StartEmbedded(opts EmbeddedOptions) (*Embedded, error) {
	id, err := clusterID(opts)
	if err != nil {
		return nil, fmt.Errorf("start embedded broker: %w", err)
	}
	fakeOpts := []kfake.Opt{
		kfake.NumBrokers(1), kfake.ClusterID(id), kfake.Ports(opts.Port),
		kfake.BrokerConfigs(map[string]string{"message.max.bytes": "67108864"}),
	}
	if opts.Dir != "" {
		fakeOpts = append(fakeOpts, kfake.DataDir(opts.Dir))
	}
	if opts.Listen != nil {
		fakeOpts = append(fakeOpts, kfake.ListenFn(opts.Listen))
	}
	for topic, partitions := range opts.Topics {
		fakeOpts = append(fakeOpts, kfake.SeedTopics(partitions, topic))
	}
	if len(opts.Users) > 0 {
		fakeOpts = append(fakeOpts, kfake.EnableSASL())
		for key, password := range opts.Users {
			mechanism, user, _ := strings.Cut(key, "/")
			fakeOpts = append(fakeOpts, kfake.Superuser(mechanism, user, password))
		}
	}
	cluster, err := kfake.NewCluster(fakeOpts...)
	if err != nil {
		return nil, fmt.Errorf("start embedded broker: %w", err)
	}
	return &Embedded{cluster: cluster, id: id}, nil
}

// clusterID returns the id that the folder keeps, or a new one that it keeps from now on. The table's
// position is tied to it, so a broker that comes back must come back as the same cluster.
func clusterID(opts EmbeddedOptions) (string, error) {
	id := opts.ClusterID
	if id == "" {
		id = uuid.NewString()
	}
	if opts.Dir == "" {
		return id, nil
	}
	if err := os.MkdirAll(opts.Dir, 0o755); err != nil {
		return "", err
	}
	path := filepath.Join(opts.Dir, clusterIDFile)
	switch kept, err := os.ReadFile(path); {
	case err == nil:
		return strings.TrimSpace(string(kept)), nil
	case !errors.Is(err, os.ErrNotExist):
		return "", err
	}
	return id, os.WriteFile(path, []byte(id+"\n"), 0o644)
}

// ClusterID is the broker's cluster id, the same for one folder for ever.
func (e *Embedded) ClusterID() string { return e.id }

// Connection says how to reach the broker.
func (e *Embedded) Connection() Connection {
	return Connection{Brokers: e.cluster.ListenAddrs()}
}

// Close stops the broker and writes its state to its folder.
func (e *Embedded) Close() { e.cluster.Close() }

// Retain removes records below position less margin records of each partition, so that a broker
// that runs for long holds a bounded log. Only what a table has committed may be passed.
func Retain(ctx context.Context, admin *Admin, position commit.Position, margin int64) error {
	floor := commit.Position{}
	for id, next := range position {
		if int64(next) > margin {
			floor[id] = next - commit.Offset(margin)
		}
	}
	if len(floor) == 0 {
		return nil
	}
	return admin.Truncate(ctx, floor)
}
