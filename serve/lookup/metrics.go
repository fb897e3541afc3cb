package lookup

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics count look-ups.
type Metrics struct {
	keys   *prometheus.CounterVec
	took   *prometheus.HistogramVec
	faults *prometheus.CounterVec
}

// NewMetrics makes the metrics and registers them; with a nil registerer nobody sees them.
func NewMetrics(registerer prometheus.Registerer) *Metrics {
	m := &Metrics{
		keys: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "firth_lookup_keys_total",
			Help: "Keys that were looked up, by what was answered: found, absent."}, []string{"table", "outcome"}),
		took: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "firth_lookup_seconds",
			Help:    "Time to answer a request for one key or several.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 2, 16)}, []string{"table"}),
		faults: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "firth_lookup_faults_total",
			Help: "Requests that got no answer, by the kind of the error."}, []string{"kind"}),
	}
	if registerer != nil {
		registerer.MustRegister(m.keys, m.took, m.faults)
	}
	return m
}

// answered counts an answer. Only tables that there are come here.
func (m *Metrics) answered(table string, r reply, took time.Duration) {
	m.keys.WithLabelValues(table, "found").Add(float64(r.found))
	m.keys.WithLabelValues(table, "absent").Add(float64(r.absent))
	m.took.WithLabelValues(table).Observe(took.Seconds())
}

func (m *Metrics) failed(kind string) { m.faults.WithLabelValues(kind).Inc() }
