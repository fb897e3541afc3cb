package table

import (
	"github.com/apache/iceberg-go"
	"github.com/prometheus/client_golang/prometheus"
)

// Metrics count what writers write, over all tables of a process. A nil *Metrics counts nothing.
type Metrics struct {
	files      prometheus.Counter
	rows       prometheus.Counter
	bytes      prometheus.Counter
	spills     prometheus.Counter
	spillBytes prometheus.Counter
	partitions prometheus.Gauge
}

// NewMetrics registers the metrics of the package with registerer.
func NewMetrics(registerer prometheus.Registerer) *Metrics {
	m := &Metrics{
		files: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "firth_table_files_written_total", Help: "Data files completed."}),
		rows: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "firth_table_rows_written_total", Help: "Rows in completed data files."}),
		bytes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "firth_table_bytes_written_total", Help: "Bytes of completed data files."}),
		spills: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "firth_table_spills_total", Help: "Sorted runs put on local disk for want of memory."}),
		spillBytes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "firth_table_spill_bytes_total", Help: "Bytes of sorted runs put on local disk."}),
		partitions: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "firth_table_open_partitions", Help: "Partitions with rows in writers that are open."}),
	}
	registerer.MustRegister(m.files, m.rows, m.bytes, m.spills, m.spillBytes, m.partitions)
	return m
}

func (m *Metrics) wroteFile(file iceberg.DataFile) {
	if m == nil {
		return
	}
	m.files.Inc()
	m.rows.Add(float64(file.Count()))
	m.bytes.Add(float64(file.FileSizeBytes()))
}

func (m *Metrics) spilled(bytes int64) {
	if m == nil {
		return
	}
	m.spills.Inc()
	m.spillBytes.Add(float64(bytes))
}

func (m *Metrics) partitionsOpen(delta int) {
	if m != nil {
		m.partitions.Add(float64(delta))
	}
}
