package upkeep

import "github.com/prometheus/client_golang/prometheus"

// Metrics counts what upkeep does. Its label table is one of the tables configured.
type Metrics struct {
	rows      *prometheus.CounterVec
	snapshots *prometheus.CounterVec
	removed   *prometheus.CounterVec
	waiting   *prometheus.GaugeVec
	failed    *prometheus.CounterVec
}

// NewMetrics makes the metrics and registers them; with a nil registerer nobody sees them.
func NewMetrics(registerer prometheus.Registerer) *Metrics {
	labels := []string{"table"}
	m := &Metrics{
		rows: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "firth_upkeep_rows_expired_total",
			Help: "Rows taken out since they were too old."}, labels),
		snapshots: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "firth_upkeep_snapshots_expired_total",
			Help: "Snapshots taken out without a commit."}, labels),
		removed: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "firth_upkeep_orphans_removed_total",
			Help: "Objects removed that nothing needed."}, labels),
		waiting: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "firth_upkeep_orphans_waiting_bytes",
			Help: "Bytes of orphans whose grace is not over."}, labels),
		failed: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "firth_upkeep_failures_total",
			Help: "Turns of a table that went wrong."}, labels),
	}
	if registerer != nil {
		registerer.MustRegister(m.rows, m.snapshots, m.removed, m.waiting, m.failed)
	}
	return m
}
