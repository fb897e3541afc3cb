package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/firthlake/firth/ingest/source"
	"github.com/firthlake/firth/table/objstore"
)

// readyMax is how long the service may take to answer.
const readyMax = time.Minute

// benchService is a 'firth run' of one table in a process of its own, which may be killed and started again. Its
// epoch is odd while it is down.
type benchService struct {
	program *program
	config  string
	url     string
	flight  string // address of Flight SQL; empty in a build without the engine
	s3      objstore.S3Config
	epoch   atomic.Int64
	process *exec.Cmd
	log     *os.File
}

// benchServiceOptions say what is run. The spec is that of the table, config what is added to the configuration.
type benchServiceOptions struct {
	dir, spec, config string
	brokers           []string
	flight            flightWish
}

// flightWish says whether a service has Flight SQL.
type flightWish int

const (
	flightNever flightWish = iota
	flightAtAll            // where the build has it
)

// benchBroker starts a broker with a topic in a bench's folder. The caller closes it.
func benchBroker(dir, topic string) (*source.Embedded, error) {
	return source.StartEmbedded(source.EmbeddedOptions{Dir: filepath.Join(dir, "broker"),
		Topics: map[string]int32{topic: demoPartitions}})
}

// benched is what was measured of a whole service.
type benched interface {
	write(w io.Writer) error
	// fault is what the service fell short of, or nil.
	fault() error
}

// measured prints what measure finds, which works in the folder, or in one of its own.
func (p *program) measured(dir string, measure func(dir string) (benched, error)) error {
	return inFolder(dir, func(dir string) error {
		result, err := measure(dir)
		if err != nil {
			return err
		}
		if err := p.print(result, result.write); err != nil {
			return err
		}
		return result.fault()
	})
}

// startBenchService makes the table and starts the service. The caller closes it.
func (p *program) startBenchService(ctx context.Context, o benchServiceOptions) (*benchService, error) {
	s, err := p.newBenchService(ctx, o)
	if err != nil {
		return nil, err
	}
	if s.log, err = os.Create(filepath.Join(o.dir, "firth.log")); err != nil {
		return nil, fmt.Errorf("make log: %w", err)
	}
	if err := s.start(ctx); err != nil {
		return nil, errors.Join(err, s.log.Close())
	}
	return s, nil
}

// newBenchService writes configuration and spec and makes the table.
func (p *program) newBenchService(ctx context.Context, o benchServiceOptions) (*benchService, error) {
	tables := filepath.Join(o.dir, "tables")
	if err := os.MkdirAll(tables, 0o755); err != nil {
		return nil, fmt.Errorf("make folder: %w", err)
	}
	if err := os.WriteFile(filepath.Join(tables, "table.yaml"), []byte(o.spec), 0o644); err != nil {
		return nil, fmt.Errorf("write spec: %w", err)
	}
	address, err := freeAddress(ctx)
	if err != nil {
		return nil, err
	}
	s := &benchService{program: p, config: filepath.Join(o.dir, "firth.yaml"), url: "http://" + address}
	s.epoch.Store(1)
	if o.flight == flightAtAll && hasSQL() {
		if s.flight, err = freeAddress(ctx); err != nil {
			return nil, err
		}
	}
	warehouse, err := p.benchWarehouse()
	if err != nil {
		return nil, err
	}
	text := fmt.Sprintf(demoConfig, s.config, strings.Join(o.brokers, ", "))
	text = strings.Replace(text, demoWarehouse, warehouse, 1) + "listen: {catalog: '" + address + "', admin: ''}\n" +
		o.config
	if err := os.WriteFile(s.config, []byte(text), 0o644); err != nil {
		return nil, fmt.Errorf("write configuration: %w", err)
	}
	own := *p
	own.configPath = s.config
	c, err := own.loadConfig()
	if err != nil {
		return nil, err
	}
	s.s3 = c.Warehouse.S3
	l, err := own.open(ctx, c)
	if err != nil {
		return nil, err
	}
	defer l.close()
	return s, own.applySpecs(ctx, l)
}

// objects is the store of the warehouse, for readers.
func (s *benchService) objects() (objstore.Store, error) {
	return objstore.Open(objstore.Config{S3: s.s3})
}

// freeAddress is one that nobody listens at, a moment ago.
func freeAddress(ctx context.Context) (string, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	return l.Addr().String(), l.Close()
}

// start starts the process and waits until its catalog answers.
func (s *benchService) start(ctx context.Context) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	s.process = exec.CommandContext(context.WithoutCancel(ctx), self, "run", "-c", s.config, "--flight", s.flight)
	s.process.Stdout, s.process.Stderr = s.log, s.log
	if err := s.process.Start(); err != nil {
		return fmt.Errorf("start firth run: %w", err)
	}
	ready, cancel := context.WithTimeout(ctx, readyMax)
	defer cancel()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		request, err := http.NewRequestWithContext(ready, http.MethodGet, s.url+"/v1/config", nil)
		if err != nil {
			return err
		}
		if answer, err := http.DefaultClient.Do(request); err == nil {
			_ = answer.Body.Close() // nothing is read from it
			if s.flight == "" || accepts(ready, s.flight) {
				s.epoch.Add(1)
				return nil
			}
		}
		select {
		case <-ready.Done():
			return errors.Join(fmt.Errorf("firth run does not answer, its log is %s: %w", s.log.Name(), ready.Err()),
				s.kill())
		case <-ticker.C:
		}
	}
}

func accepts(ctx context.Context, address string) bool {
	var dialer net.Dialer
	connection, err := dialer.DialContext(ctx, "tcp", address)
	return err == nil && connection.Close() == nil
}

// kill kills the process where it stands.
func (s *benchService) kill() error {
	if err := s.process.Process.Kill(); err != nil {
		return fmt.Errorf("kill firth run: %w", err)
	}
	_ = s.process.Wait() // it was killed
	return nil
}

// close ends the service.
func (s *benchService) close() {
	_ = s.kill()      // it may have ended by itself
	_ = s.log.Close() // it is for people
}
