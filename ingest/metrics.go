package ingest

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/ingest/source"
)

// Metrics count what ingest does, per table or topic.
type Metrics struct {
	records     *prometheus.CounterVec
	rows        *prometheus.CounterVec
	files       *prometheus.CounterVec
	fencings    *prometheus.CounterVec
	warnings    prometheus.Counter
	lagRecords  *prometheus.GaugeVec
	freshness   *prometheus.GaugeVec
	tableStates *prometheus.GaugeVec
}

// NewMetrics makes the metrics and registers them; with a nil registerer nobody sees them.
func NewMetrics(registerer prometheus.Registerer) *Metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
	}
	m := &Metrics{
		freshness: gauge("firth_ingest_freshness_seconds",
			"Age of the oldest record that is read and not committed.", "table"),
		lagRecords: gauge("firth_ingest_lag_records",
			"Offsets between what was fetched last and the end of the log.", "topic", "partition"),
		records: counter("firth_ingest_records_total",
			"Records read, by what became of them.", "table", "outcome"),
		rows:     counter("firth_ingest_rows_committed_total", "Rows committed.", "table"),
		files:    counter("firth_ingest_files_committed_total", "Data files committed.", "table"),
		fencings: counter("firth_ingest_fenced_total", "Changes that the table refused.", "table"),
		warnings: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "firth_ingest_source_warnings_total", Help: "Troubles of the source that are retried."}),
		tableStates: gauge("firth_ingest_table_state",
			"1 for the state that a table is in: active, standby, stopped.", "table", "state"),
	}
	if registerer != nil {
		registerer.MustRegister(m.freshness, m.lagRecords, m.records, m.rows, m.files, m.fencings,
			m.warnings, m.tableStates)
	}
	return m
}

func (m *Metrics) read(table string, c commit.Counts) {
	for _, o := range []struct {
		name  string
		count int64
	}{
		{"row", c.Inserted}, {"filtered", c.Filtered}, {"tombstone", c.Tombstones},
		{"dead_letter", c.DeadLetters}, {"skipped", c.Skipped},
	} {
		if o.count > 0 {
			m.records.WithLabelValues(table, o.name).Add(float64(o.count))
		}
	}
}

func (m *Metrics) committed(table string, b *buffer) {
	m.rows.WithLabelValues(table).Add(float64(b.counts.Inserted + b.counts.Updated))
	m.files.WithLabelValues(table).Add(float64(len(b.files)))
}

func (m *Metrics) fenced(table string) { m.fencings.WithLabelValues(table).Inc() }

func (m *Metrics) warned() { m.warnings.Inc() }

func (m *Metrics) lag(chunk source.Chunk) {
	partition := strconv.Itoa(int(chunk.TopicPartition.Partition))
	m.lagRecords.WithLabelValues(chunk.TopicPartition.Topic, partition).
		Set(float64(max(0, chunk.End-chunk.Next)))
}

// tableGauges are the gauges of one table. To look them up by their labels costs more than to set them, and an idle
// process sets them every second for every table.
type tableGauges struct {
	freshness prometheus.Gauge
	states    map[State]prometheus.Gauge
}

func (m *Metrics) table(name string) tableGauges {
	g := tableGauges{freshness: m.freshness.WithLabelValues(name), states: map[State]prometheus.Gauge{}}
	for _, s := range []State{StateActive, StateStandby, StateStopped} {
		g.states[s] = m.tableStates.WithLabelValues(name, string(s))
	}
	return g
}

func (g *tableGauges) show(p *TableProgress) {
	g.freshness.Set(p.UncommittedAge.Seconds())
	for s, gauge := range g.states {
		value := 0.0
		if s == p.State {
			value = 1
		}
		gauge.Set(value)
	}
}
