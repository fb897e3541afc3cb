package live

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics count what the live catalog does.
type Metrics struct {
	loads   *prometheus.CounterVec
	making  prometheus.Histogram
	removed prometheus.Counter
}

// NewMetrics makes the metrics and registers them; with a nil registerer nobody sees them.
func NewMetrics(registerer prometheus.Registerer) *Metrics {
	m := &Metrics{
		loads: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "firth_live_loads_total",
			Help: "Loads of tables, by what was answered: made, unchanged, shared, held."}, []string{"outcome"}),
		making: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "firth_live_make_seconds",
			Help: "Time to make a version of a table.", Buckets: prometheus.ExponentialBuckets(0.002, 2, 12)}),
		removed: prometheus.NewCounter(prometheus.CounterOpts{Name: "firth_live_files_removed_total",
			Help: "Files of tails and versions that were removed."}),
	}
	if registerer != nil {
		registerer.MustRegister(m.loads, m.making, m.removed)
	}
	return m
}

func (m *Metrics) loaded(outcome string) { m.loads.WithLabelValues(outcome).Inc() }

func (m *Metrics) made(took time.Duration) { m.making.Observe(took.Seconds()) }
