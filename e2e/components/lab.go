package components

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Lab owns the folder and the processes of one run.
type Lab struct {
	// Cache is where e2e/install.sh put the components.
	Cache string
	// Dir holds data and logs of this run.
	Dir string

	mu        sync.Mutex
	processes []*Process
}

// NewLab returns a lab that works in dir with the components installed in the cache folder that
// FIRTH_E2E_CACHE names, by default ~/.cache/firth-e2e.
func NewLab(dir string) (*Lab, error) {
	cache := os.Getenv("FIRTH_E2E_CACHE")
	if cache == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return nil, err
		}
		cache = filepath.Join(home, ".cache", "firth-e2e")
	}
	if _, err := os.Stat(filepath.Join(cache, "stamps")); err != nil {
		return nil, fmt.Errorf("components are not installed in %s: run e2e/install.sh: %w", cache, err)
	}
	return &Lab{Cache: cache, Dir: dir}, nil
}

// Stop ends every process that still runs, newest first.
func (l *Lab) Stop() {
	l.mu.Lock()
	processes := l.processes
	l.processes = nil
	l.mu.Unlock()
	for i := len(processes) - 1; i >= 0; i-- {
		processes[i].Stop()
	}
}

// Process is one running server.
type Process struct {
	Name string
	Log  string // file with its standard output and error
	cmd  *exec.Cmd
	done chan struct{}
}

// Command is what Start needs to know.
type Command struct {
	Name string
	Dir  string
	Env  []string // added to the environment
	Path string
	Args []string
	// Stdin and Stdout take the place of no input and of the log; Start closes neither.
	Stdin, Stdout *os.File
	// Ready is asked until it answers nil; nil means ready at once.
	Ready func(ctx context.Context) error
}

// readyMax bounds how long a server may take: Trino took more than 180 s on two cores with a load of 20.
const readyMax = 6 * time.Minute

// Start starts a server in its own process group and waits until it is ready.
func (l *Lab) Start(ctx context.Context, c Command) (*Process, error) {
	p := &Process{Name: c.Name, Log: filepath.Join(l.Dir, c.Name+".log"), done: make(chan struct{})}
	log, err := os.OpenFile(p.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()      // the process has its own
	p.cmd = exec.Command(c.Path, c.Args...) //nolint:noctx // Stop ends it, in order.
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = c.Dir, log, log
	if c.Stdin != nil {
		p.cmd.Stdin, p.cmd.Stdout = c.Stdin, c.Stdout
	}
	p.cmd.Env = append(os.Environ(), c.Env...)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", c.Name, err)
	}
	l.mu.Lock()
	l.processes = append(l.processes, p)
	l.mu.Unlock()
	go func() {
		_ = p.cmd.Wait() // how it ended is told by the log
		close(p.done)
	}()
	if err := p.wait(ctx, c.Ready); err != nil {
		return nil, fmt.Errorf("start %s: %w\n%s", c.Name, err, p.Tail())
	}
	return p, nil
}

func (p *Process) wait(ctx context.Context, ready func(context.Context) error) error {
	if ready == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, readyMax)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not ready: %w", err)
		case <-p.done:
			return errors.New("ended before it was ready")
		case <-tick.C:
		}
	}
}

// PID is the process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// ExitCode is the code the ended process left, -1 after a signal.
func (p *Process) ExitCode() int { return p.cmd.ProcessState.ExitCode() }

// CPUSeconds is the user and system time of the ended process.
func (p *Process) CPUSeconds() float64 {
	return (p.cmd.ProcessState.UserTime() + p.cmd.ProcessState.SystemTime()).Seconds()
}

// CPUSecondsNow is the user and system time so far of a process that runs, on Linux.
func (p *Process) CPUSecondsNow() (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.PID()))
	if err != nil {
		return 0, err
	}
	_, after, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(after)
	if len(fields) <= statSystem {
		return 0, fmt.Errorf("/proc/%d/stat: %q", p.PID(), text)
	}
	var ticks int64
	for _, field := range fields[statUser : statSystem+1] {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("/proc/%d/stat: %w", p.PID(), err)
		}
		ticks += n
	}
	return float64(ticks) / ticksPerSecond, nil
}

// Places of the times in /proc/PID/stat behind the name, and their unit, which Linux shows to all programs.
const (
	statUser       = 11
	statSystem     = 12
	ticksPerSecond = 100
)

// RSSBytesMax is the most resident memory that the ended process had.
func (p *Process) RSSBytesMax() int64 {
	return p.cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss << 10
}

// Signal sends a signal to the whole process group.
func (p *Process) Signal(s syscall.Signal) error { return syscall.Kill(-p.PID(), s) }

// Kill ends the process at once (SIGKILL) and waits for its end.
func (p *Process) Kill() {
	_ = p.Signal(syscall.SIGKILL) // it may have ended by itself
	<-p.done
}

// Stop asks the process to end (SIGTERM), and makes it after ten seconds.
func (p *Process) Stop() {
	_ = p.Signal(syscall.SIGCONT)
	_ = p.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(10 * time.Second):
		p.Kill()
	}
}

// Tail is the end of the log.
func (p *Process) Tail() string {
	text, err := os.ReadFile(p.Log)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-30):], "\n")
}

// FreePort asks the system for a port that nobody uses now.
func FreePort() (int, error) {
	var config net.ListenConfig
	l, err := config.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer func() { _ = l.Close() }() // it was open for its number only
	return l.Addr().(*net.TCPAddr).Port, nil
}

// Answers is a Ready check: a GET of the address answers with a status below 400.
func Answers(url string) func(context.Context) error {
	return func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode >= http.StatusBadRequest {
			return fmt.Errorf("GET %s: %s", url, resp.Status)
		}
		return nil
	}
}

// Accepts is a Ready check: the address takes a connection.
func Accepts(address string) func(context.Context) error {
	return func(ctx context.Context) error {
		var dialer net.Dialer
		conn, err := dialer.DialContext(ctx, "tcp", address)
		if err != nil {
			return err
		}
		return conn.Close()
	}
}
