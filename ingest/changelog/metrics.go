package changelog

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/firthlake/firth/table/images"
)

// Metrics count what is written to changelogs. Their label is the table whose changes are followed.
type Metrics struct {
	rows    *prometheus.CounterVec
	commits *prometheus.CounterVec
	failed  *prometheus.CounterVec
	unread  *prometheus.GaugeVec
	age     *prometheus.GaugeVec
}

// NewMetrics makes the metrics and registers them; with a nil registerer nobody sees them.
func NewMetrics(registerer prometheus.Registerer) *Metrics {
	labels := []string{"table"}
	m := &Metrics{
		rows: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "firth_changelog_rows_total",
			Help: "Before and after images committed to the changelog."}, labels),
		commits: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "firth_changelog_commits_total",
			Help: "Commits of the changelog."}, labels),
		failed: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "firth_changelog_failures_total",
			Help: "Tries to write changes that went wrong."}, labels),
		unread: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "firth_changelog_unread_snapshots",
			Help: "Snapshots of the table that the changelog has not read. They do not expire."}, labels),
		age: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "firth_changelog_unread_seconds",
			Help: "Age of the oldest of these snapshots."}, labels),
	}
	if registerer != nil {
		registerer.MustRegister(m.rows, m.commits, m.failed, m.unread, m.age)
	}
	return m
}

// behind shows how much the changelog has not read.
func (m *Metrics) behind(table string, w images.Walk, now time.Time) {
	age := 0.0
	if len(w.Unread) > 0 {
		age = max(0, now.Sub(time.UnixMilli(w.Unread[0].TimestampMs)).Seconds())
	}
	m.unread.WithLabelValues(table).Set(float64(len(w.Unread)))
	m.age.WithLabelValues(table).Set(age)
}

func (m *Metrics) wrote(table string, p *pending) {
	m.rows.WithLabelValues(table).Add(float64(p.rows))
	m.commits.WithLabelValues(table).Inc()
	if m.unread.WithLabelValues(table).Set(float64(p.left)); p.left == 0 {
		m.age.WithLabelValues(table).Set(0)
	}
}
