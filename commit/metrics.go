package commit

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/firthlake/firth/table/metafile"
)

// Metrics counts what commits do. Its label table is one of the tables configured.
type Metrics struct {
	commits   *prometheus.CounterVec
	conflicts *prometheus.CounterVec
	unknown   *prometheus.CounterVec
	seconds   *prometheus.HistogramVec
	rows      *prometheus.CounterVec
	files     *prometheus.CounterVec
	snapshots *prometheus.GaugeVec
	manifests *prometheus.GaugeVec
	pending   *prometheus.GaugeVec
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
		commits: counter("firth_commits_total",
			"Commits by outcome: committed, fenced, conflict, unknown, refused.", "table", "outcome"),
		conflicts: counter("firth_commit_conflicts_total", "Swaps lost to another writer.", "table"),
		unknown:   counter("firth_commit_unknown_total", "Swaps without an answer, read back.", "table"),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "firth_commit_duration_seconds",
			Help:    "Time from a change's turn to its outcome.",
			Buckets: prometheus.ExponentialBuckets(0.002, 2, 14)}, []string{"table"}),
		rows:      counter("firth_committed_rows_total", "Rows committed.", "table"),
		files:     counter("firth_committed_files_total", "Data files committed.", "table"),
		snapshots: gauge("firth_table_snapshots", "Snapshots in the table's metadata."),
		manifests: gauge("firth_table_manifests", "Manifests in the head's manifest list."),
		pending:   gauge("firth_dead_letters_pending_rows", "Dead letters decided and not yet shown."),
	}
	if registerer != nil {
		registerer.MustRegister(m.commits, m.conflicts, m.unknown, m.seconds, m.rows, m.files,
			m.snapshots, m.manifests, m.pending)
	}
	return m
}

// observe records the outcome of one change.
func (m *Metrics) observe(table string, took time.Duration, err error) {
	outcome := "refused"
	switch {
	case err == nil:
		outcome = "committed"
	case errors.Is(err, ErrFenced):
		outcome = "fenced"
	case errors.Is(err, ErrStateUnknown):
		outcome = "unknown"
	case errors.Is(err, ErrConflict), errors.Is(err, ErrStale):
		outcome = "conflict"
	}
	m.commits.WithLabelValues(table, outcome).Inc()
	m.seconds.WithLabelValues(table).Observe(took.Seconds())
}

func (m *Metrics) show(table string, h *head) {
	m.snapshots.WithLabelValues(table).Set(float64(metafile.SnapshotCount(h.meta)))
	m.manifests.WithLabelValues(table).Set(float64(len(h.manifests)))
	var pending int64
	for _, p := range h.ledger.Pending {
		pending += p.Rows()
	}
	m.pending.WithLabelValues(table).Set(float64(pending))
}
