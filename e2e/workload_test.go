//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/firthlake/firth/ingest/gen"
)

// partitions of every topic of these tests.
const partitions = 8

// events10 are the columns of the workload as a table spec writes them.
const events10 = `{columns: [{name: event_id, type: string}, {name: user_id, type: long},
  {name: event_type, type: string}, {name: ts, type: timestamptz}, {name: url, type: string},
  {name: amount, type: double}, {name: quantity, type: int}, {name: country, type: string},
  {name: is_mobile, type: boolean}, {name: session, type: string}]}`

// figures are, by partition and by the reader's columns, what a reader must find.
type figures map[string]map[string]int64

// workload is one run of 'firth gen'.
type workload struct {
	topic    string
	format   gen.Format
	schemaID int32
	seed     uint64
	rows     int64
	rate     int64
}

// produce runs 'firth gen' to its end and returns its totals.
func (w workload) produce(ctx context.Context, brokers string) (gen.Totals, error) {
	var totals gen.Totals
	out, err := firth(ctx, "gen", "--json", "--brokers", brokers, "--topic", w.topic,
		"--partitions", strconv.Itoa(partitions), "--format", string(w.format),
		"--schema-id", strconv.Itoa(int(w.schemaID)), "--seed", strconv.FormatUint(w.seed, 10),
		"--rows", strconv.FormatInt(w.rows, 10), "--rate", strconv.FormatInt(w.rate, 10))
	if err != nil {
		return totals, err
	}
	if out.code != 0 {
		return totals, fmt.Errorf("gen %s: exit %d: %s", w.topic, out.code, out.stderr)
	}
	err = json.Unmarshal([]byte(out.stdout), &totals)
	return totals, err
}

// figures draws the rows again, and counts on the offsets that bad records took.
func (w workload) figures(t *testing.T, bad []place) figures {
	t.Helper()
	g, err := gen.New(gen.Options{Workload: "events10", Format: gen.JSON, Seed: w.seed})
	require.NoError(t, err)
	sums := make([]map[string]int64, partitions)
	for i := range sums {
		sums[i] = map[string]int64{}
	}
	var value, key []byte
	for row := range w.rows {
		value = g.Append(value[:0], row)
		key = g.AppendKey(key[:0])
		addRow(t, sums[gen.Partition(key, partitions)], value)
	}
	for _, b := range bad {
		sums[b.partition]["offsets"] -= b.offset
		sums[b.partition]["records"]++
	}
	want := figures{}
	for i, s := range sums {
		records := s["rows"] + s["records"]
		s["offsets"] += records * (records - 1) / 2
		delete(s, "records")
		want[strconv.Itoa(i)] = s
	}
	return want
}

func addRow(t *testing.T, s map[string]int64, value []byte) {
	t.Helper()
	var row struct {
		EventID  string  `json:"event_id"`
		UserID   int64   `json:"user_id"`
		TS       int64   `json:"ts"`
		URL      string  `json:"url"`
		Amount   float64 `json:"amount"`
		Quantity int64   `json:"quantity"`
		Mobile   bool    `json:"is_mobile"`
		Session  string  `json:"session"`
	}
	require.NoError(t, json.Unmarshal(value, &row))
	s["rows"]++
	s["user_id"] += row.UserID
	s["quantity"] += row.Quantity
	s["cents"] += int64(math.Round(row.Amount * 100))
	s["ts_ms"] += row.TS
	if row.Mobile {
		s["mobile"]++
	}
	s["url_chars"] += int64(utf8.RuneCountInString(row.URL))
	for column, text := range map[string]string{"event_id": row.EventID, "session": row.Session} {
		n, err := strconv.ParseInt(text[:8], 16, 64)
		require.NoError(t, err)
		s[column] += n
	}
}

// place is where a record stands in its topic.
type place struct {
	partition int32
	offset    int64
}

// produceValues sends values to the partitions in turn and says where they stand.
func produceValues(ctx context.Context, brokers, topic string, values ...[]byte) ([]place, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers), kgo.DefaultProduceTopic(topic),
		kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	places := make([]place, 0, len(values))
	for i, value := range values {
		r := &kgo.Record{Value: value, Partition: int32(i % partitions)}
		if err := client.ProduceSync(ctx, r).FirstErr(); err != nil {
			return nil, fmt.Errorf("produce to %s: %w", topic, err)
		}
		places = append(places, place{r.Partition, r.Offset})
	}
	return places, nil
}

// admin returns a client that manages topics.
func admin(t *testing.T, brokers string) *kadm.Client {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers))
	require.NoError(t, err)
	t.Cleanup(client.Close)
	return kadm.NewClient(client)
}

// createTopic creates a topic, and waits for the end of one of the same name that is being deleted.
func createTopic(t *testing.T, brokers, topic string) {
	t.Helper()
	a := admin(t, brokers)
	var err error
	eventually(t, time.Minute, func() bool {
		_, err = a.CreateTopic(t.Context(), partitions, 1, nil, topic)
		return err == nil
	}, func() string { return fmt.Sprintf("create topic %s: %v", topic, err) })
}

// register puts a schema into the registry and returns its id.
func register(t *testing.T, registry, subject string, format gen.Format) int32 {
	t.Helper()
	g, err := gen.New(gen.Options{Workload: "events10", Format: format, Seed: 1})
	require.NoError(t, err)
	kind := map[gen.Format]string{gen.Avro: "AVRO", gen.Protobuf: "PROTOBUF"}[format]
	body, err := json.Marshal(map[string]string{"schema": g.SchemaText(), "schemaType": kind})
	require.NoError(t, err)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost,
		registry+"/subjects/"+subject+"/versions", bytes.NewReader(body))
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/vnd.schemaregistry.v1+json")
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	var answer struct {
		ID int32 `json:"id"`
	}
	require.NoError(t, json.Unmarshal(text, &answer), "%s", text)
	require.Positive(t, answer.ID, "%s", text)
	return answer.ID
}
