package components

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

// Connect is a distributed Kafka Connect worker with Debezium's connector for Postgres, and Apicurio's
// converter to Avro.
type Connect struct {
	*Process
	// URL is the address of its REST interface.
	URL     string
	lab     *Lab
	command Command
}

// Values are JSON without schemas, and offsets are written often, so that a test need not wait for them.
const connectProperties = `bootstrap.servers=%[1]s
group.id=connect
listeners=%[2]s
key.converter=org.apache.kafka.connect.json.JsonConverter
key.converter.schemas.enable=false
value.converter=org.apache.kafka.connect.json.JsonConverter
value.converter.schemas.enable=false
config.storage.topic=connect-configs
config.storage.replication.factor=1
offset.storage.topic=connect-offsets
offset.storage.replication.factor=1
offset.storage.partitions=1
status.storage.topic=connect-status
status.storage.replication.factor=1
status.storage.partitions=1
offset.flush.interval.ms=500
scheduled.rebalance.max.delay.ms=0
plugin.discovery=only_scan
`

// Connect starts a worker that keeps its state in the broker.
func (l *Lab) Connect(ctx context.Context, brokers string) (*Connect, error) {
	port, err := FreePort()
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(l.Dir, "connect")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	c := &Connect{URL: fmt.Sprintf("http://127.0.0.1:%d", port), lab: l}
	properties := filepath.Join(dir, "worker.properties")
	text := fmt.Sprintf(connectProperties, brokers, c.URL)
	if err := os.WriteFile(properties, []byte(text), 0o644); err != nil {
		return nil, err
	}
	c.command = Command{
		Name: "connect", Dir: dir, Path: "java",
		Args: []string{"-Xmx384m", "-cp", filepath.Join(l.Cache, "debezium", "libs", "*"),
			"org.apache.kafka.connect.cli.ConnectDistributed", properties},
		Ready: Answers(c.URL + "/connectors"),
	}
	c.Process, err = l.Start(ctx, c.command)
	return c, err
}

// Restart kills the worker and starts it again; its connectors go on from the offsets in the broker.
func (c *Connect) Restart(ctx context.Context) error {
	c.Kill()
	p, err := c.lab.Start(ctx, c.command)
	if err != nil {
		return err
	}
	c.Process = p
	return nil
}

// Capture is what a connector follows.
type Capture struct {
	// Name is that of the connector, of its slot and publication, and the head of its topics' names.
	Name string
	// Tables are schema.table.
	Tables []string
	// Partitions is how many partitions its topics get.
	Partitions int
	// Settings are more settings of the connector.
	Settings map[string]string
}

// Capture creates a connector that sends a snapshot of the tables first, and then every change. Its
// options are Debezium's defaults but for what says where things are, and how often it asks.
func (c *Connect) Capture(ctx context.Context, p *Postgres, capture Capture) error {
	dsn, err := url.Parse(p.DSN)
	if err != nil {
		return fmt.Errorf("read the address of postgres: %w", err)
	}
	config := map[string]string{
		"connector.class":             "io.debezium.connector.postgresql.PostgresConnector",
		"plugin.name":                 "pgoutput",
		"database.hostname":           dsn.Hostname(),
		"database.port":               dsn.Port(),
		"database.user":               dsn.User.Username(),
		"database.password":           "trusted",
		"database.dbname":             strings.TrimPrefix(dsn.Path, "/"),
		"slot.name":                   capture.Name,
		"publication.name":            capture.Name,
		"publication.autocreate.mode": "filtered",
		"topic.prefix":                capture.Name,
		"table.include.list":          strings.Join(capture.Tables, ","),
		"topic.creation.default.replication.factor": "1",
		"topic.creation.default.partitions":         fmt.Sprint(capture.Partitions),
		"poll.interval.ms":                          "50",
	}
	maps.Copy(config, capture.Settings)
	body, err := json.Marshal(map[string]any{"name": capture.Name, "config": config})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.URL+"/connectors", bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusCreated {
		answer, _ := io.ReadAll(resp.Body) // the status says enough
		return fmt.Errorf("create connector %s: %s %s", capture.Name, resp.Status, answer)
	}
	return nil
}
