package stream

import "github.com/prometheus/client_golang/prometheus"

// Metrics count what streams do.
type Metrics struct {
	open   *prometheus.GaugeVec
	behind *prometheus.GaugeVec
	rows   *prometheus.CounterVec
}

// NewMetrics makes the metrics and registers them; with a nil registerer nobody sees them.
func NewMetrics(registerer prometheus.Registerer) *Metrics {
	m := &Metrics{
		open: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "firth_stream_subscribers",
			Help: "Open streams of a table."}, []string{"table"}),
		behind: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "firth_stream_lag_offsets",
			Help: "Offsets that the slowest stream of a table is behind, commits of a keyed one."}, []string{"table"}),
		rows: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "firth_stream_rows_total",
			Help: "Rows that streams have handed out."}, []string{"table"}),
	}
	if registerer != nil {
		registerer.MustRegister(m.open, m.behind, m.rows)
	}
	return m
}

func (m *Metrics) subscribers(table string, n float64) { m.open.WithLabelValues(table).Add(n) }

func (m *Metrics) lag(table string, offsets int64) {
	m.behind.WithLabelValues(table).Set(float64(offsets))
}

func (m *Metrics) handed(table string, rows int64) {
	m.rows.WithLabelValues(table).Add(float64(rows))
}

// forget drops the gauges of a table that nobody streams any more.
func (m *Metrics) forget(table string) {
	m.open.DeleteLabelValues(table)
	m.behind.DeleteLabelValues(table)
}
