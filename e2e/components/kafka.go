package components

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Kafka is a single broker in KRaft mode whose data survive a restart.
type Kafka struct {
	*Process
	// Brokers is the bootstrap address.
	Brokers string
	lab     *Lab
	dir     string
	command Command
}

const kafkaProperties = `process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:%[2]d
listeners=PLAINTEXT://127.0.0.1:%[1]d,CONTROLLER://127.0.0.1:%[2]d
advertised.listeners=PLAINTEXT://127.0.0.1:%[1]d
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs=%[3]s
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
message.max.bytes=67108864
`

// Kafka starts a broker. Properties given replace those that tests have by default.
func (l *Lab) Kafka(ctx context.Context, properties ...string) (*Kafka, error) {
	port, err := FreePort()
	if err != nil {
		return nil, err
	}
	controller, err := FreePort()
	if err != nil {
		return nil, err
	}
	k := &Kafka{Brokers: fmt.Sprintf("127.0.0.1:%d", port), lab: l, dir: filepath.Join(l.Dir, "kafka")}
	if err := os.MkdirAll(k.dir, 0o755); err != nil {
		return nil, err
	}
	text := fmt.Sprintf(kafkaProperties, port, controller, filepath.Join(k.dir, "data"))
	return k, k.format(ctx, text+strings.Join(properties, "\n"))
}

// format prepares the folder for a broker with these properties and starts it; options are the
// virtual machine's.
func (k *Kafka) format(ctx context.Context, text string, options ...string) error {
	properties := filepath.Join(k.dir, "server.properties")
	if err := os.WriteFile(properties, []byte(text), 0o644); err != nil {
		return err
	}
	jars := filepath.Join(k.lab.Cache, "kafka", "libs", "*")
	format := exec.CommandContext(ctx, "java", "-Xmx128m", "-cp", jars,
		"kafka.tools.StorageTool", "format", "-t", "MkU3OEVBNTcwNTJENDM2Qk", "-c", properties)
	if out, err := format.CombinedOutput(); err != nil {
		return fmt.Errorf("format the broker's folder: %w\n%s", err, out)
	}
	k.command = Command{
		Name: "kafka", Dir: k.dir, Path: "java",
		Args:  append(options, "-Xms512m", "-Xmx512m", "-cp", jars, "kafka.Kafka", properties),
		Ready: Accepts(k.Brokers),
	}
	var err error
	k.Process, err = k.lab.Start(ctx, k.command)
	return err
}

// Restart stops the broker and starts it again on the same data and port.
func (k *Kafka) Restart(ctx context.Context) error {
	k.Stop()
	p, err := k.lab.Start(ctx, k.command)
	if err != nil {
		return err
	}
	k.Process = p
	return nil
}

// CreateTopic creates a topic with Kafka's own tool.
func (k *Kafka) CreateTopic(ctx context.Context, topic string, partitions int) error {
	cmd := exec.CommandContext(ctx, "java", "-Xmx128m", "-cp", filepath.Join(k.lab.Cache, "kafka", "libs", "*"),
		"org.apache.kafka.tools.TopicCommand", "--bootstrap-server", k.Brokers, "--create", "--topic", topic,
		"--partitions", fmt.Sprint(partitions), "--replication-factor", "1")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("create topic %s: %w\n%s", topic, err, out)
	}
	return nil
}
