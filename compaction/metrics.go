package compaction

import "github.com/prometheus/client_golang/prometheus"

// Metrics counts what compaction does. Its label table is one of the tables configured.
type Metrics struct {
	groups  *prometheus.CounterVec
	rows    *prometheus.CounterVec
	bytes   *prometheus.CounterVec
	moved   *prometheus.CounterVec
	seconds *prometheus.CounterVec
	debt    *prometheus.GaugeVec
	owed    *prometheus.GaugeVec
	stretch *prometheus.GaugeVec
	share   prometheus.Gauge
	// overhead is told whether anything is rewritten or not.
	overhead *prometheus.GaugeVec
}

// NewMetrics makes the metrics and registers them; with a nil registerer nobody sees them.
func NewMetrics(registerer prometheus.Registerer) *Metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	gauge := func(name, help string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, []string{"table"})
	}
	m := &Metrics{
		groups: counter("firth_compaction_groups_total",
			"Groups of files by outcome: copied, decoded, stale, failed.", "table", "outcome"),
		rows: counter("firth_compaction_rows_total", "Rows written anew.", "table"),
		bytes: counter("firth_compaction_bytes_total",
			"Bytes of files by direction: removed, added.", "table", "direction"),
		moved: counter("firth_compaction_rows_moved_total",
			"Rows deleted while their files were rewritten, carried over to the new files.", "table"),
		seconds: counter("firth_compaction_seconds_total", "Time spent on rewriting, with rests.", "table"),
		debt:    gauge("firth_compaction_debt_files", "Files that are due to be rewritten."),
		owed:    gauge("firth_compaction_debt_bytes", "Bytes of the files that are due to be rewritten."),
		stretch: gauge("firth_compaction_freshness_stretch",
			"By how much commits are spaced out since files pile up, before the bound of the table; 1 is not."),
		overhead: gauge("firth_compaction_read_overhead",
			"Estimate of what a scan costs beyond that of a freshly compacted copy, as a share of it."),
		share: prometheus.NewGauge(prometheus.GaugeOpts{Name: "firth_compaction_share",
			Help: "Share of one core's time that rewriting may take; it grows with the debt."}),
	}
	if registerer != nil {
		registerer.MustRegister(m.groups, m.rows, m.bytes, m.moved, m.seconds, m.debt, m.owed, m.stretch, m.share,
			m.overhead)
	}
	return m
}

// count adds what was done for a table.
func (m *Metrics) count(table string, r Report) {
	m.groups.WithLabelValues(table, "copied").Add(float64(r.Copied))
	m.groups.WithLabelValues(table, "decoded").Add(float64(r.Groups - r.Copied))
	m.groups.WithLabelValues(table, "stale").Add(float64(r.Stale))
	m.rows.WithLabelValues(table).Add(float64(r.Rows))
	m.bytes.WithLabelValues(table, "removed").Add(float64(r.BytesRemoved))
	m.bytes.WithLabelValues(table, "added").Add(float64(r.BytesAdded))
	m.moved.WithLabelValues(table).Add(float64(r.RowsMoved))
}
