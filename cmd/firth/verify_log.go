package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/firthlake/firth/ingest"
	"github.com/firthlake/firth/ingest/source"
	"github.com/firthlake/firth/ingest/spec"
	"github.com/firthlake/firth/table"
)

// topicLog is the topics of a table as verify reads them again. What cannot be read is told in notes.
type topicLog struct {
	recounter *ingest.Recounter
	readers   map[string]*source.Reader // by the cluster's name in the configuration
	notes     []string
	closers   []func()
}

func (l *topicLog) close() {
	for _, closer := range slices.Backward(l.closers) {
		closer()
	}
}

// openTopicLog connects to the clusters that the table's spec reads. It changes nothing anywhere; the
// caller closes it.
func (p *program) openTopicLog(ctx context.Context, l *lake, o verifyOptions, t *table.Table,
) (_ *topicLog, err error) {
	out := &topicLog{recounter: ingest.NewRecounter(t, nil), readers: map[string]*source.Reader{}}
	defer func() {
		if err != nil {
			out.close()
		}
	}()
	trouble := func(err error, remedy string) error {
		if o.requireLog {
			return couldNot(err, remedy)
		}
		out.notes = append(out.notes, fmt.Sprintf("topics are left out: %v", err))
		return nil
	}
	letters, err := l.deadLetters(ctx, t)
	if err != nil {
		return out, err
	}
	config := l.config
	if o.dir != "" {
		if config.Clusters, err = out.folderClusters(p, o.dir); err != nil {
			return out, trouble(err, "")
		}
	}
	f, err := p.newFeeder(l, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		return out, err
	}
	out.closers = append(out.closers, f.close)
	s, err := f.specOf(ctx, t)
	if err != nil {
		return out, trouble(err, "write the table's spec, or leave the topics out with --files-only")
	}
	for i, src := range s.Sources {
		reader, err := out.reader(ctx, config, src.Cluster)
		if err != nil {
			if err = trouble(fmt.Errorf("cluster %s: %w", src.Cluster, err),
				"start it, or leave the topics out with --files-only"); err != nil {
				return out, err
			}
			continue
		}
		options, err := rowOptions(s, i, rowParts{f.schemas, &f.transforms})
		if err != nil {
			return out, err
		}
		options.Ident, options.Topics, options.DeadLetterTable = t.Ident(), src.Topics, letters
		if src.Pattern != "" {
			options.Patterns = []string{src.Pattern}
		}
		if err := out.recounter.Add(reader, options); err != nil {
			return out, err
		}
	}
	return out, nil
}

// specOf finds the spec of a table, with the columns of its subject.
func (f *feeder) specOf(ctx context.Context, t *table.Table) (*spec.Spec, error) {
	specs, err := readSpecs(f.lake.config.Tables, nil)
	if err != nil {
		return nil, err
	}
	at := slices.IndexFunc(specs, func(s *spec.Spec) bool { return s.Name == t.String() })
	if at < 0 {
		return nil, fmt.Errorf("no spec in %s is of table %s", f.lake.config.Tables, t)
	}
	return withColumns(ctx, f.registry, specs[at])
}

// reader connects to a cluster, once.
func (l *topicLog) reader(ctx context.Context, c config, name string) (*source.Reader, error) {
	if r := l.readers[name]; r != nil {
		return r, nil
	}
	connection, err := c.connection(name)
	if err != nil {
		return nil, err
	}
	r, err := source.OpenReader(ctx, connection)
	if err != nil {
		return nil, err
	}
	l.readers[name] = r
	l.closers = append(l.closers, r.Close)
	return r, nil
}

// folderClusters are the clusters of a demo's folder: the broker of the demo that runs on it, else one
// that is started on the folder's data for as long as the log is open.
func (l *topicLog) folderClusters(p *program, dir string) (map[string]clusterConfig, error) {
	data := (&demoFolder{path: dir}).broker()
	if _, err := os.Stat(data); err != nil {
		return nil, fmt.Errorf("folder %s holds no broker: %w", dir, err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("lock folder: %w", err)
	}
	if err := hold(lock); err != nil {
		running := *p
		running.configPath = filepath.Join(dir, "firth.yaml")
		c, err := running.loadConfig()
		return c.Clusters, err
	}
	l.closers = append(l.closers, func() { _ = lock.Close() }) // nothing was written to it
	broker, err := source.StartEmbedded(source.EmbeddedOptions{Dir: data})
	if err != nil {
		return nil, err
	}
	l.closers = append(l.closers, broker.Close)
	return map[string]clusterConfig{"default": {Brokers: broker.Connection().Brokers}}, nil
}
