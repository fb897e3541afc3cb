package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/serve/query/duckdb"
)

// typist is a person at a terminal that a program has.
type typist struct {
	t     *testing.T
	keys  *os.File
	done  chan int
	state string // folder of the history

	mu    sync.Mutex
	shown bytes.Buffer
	seen  int // what of shown was waited for
}

// newTypist runs a command line at a terminal.
func newTypist(t *testing.T, state string, args ...string) *typist {
	keys, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrPermission) {
		t.Skipf("there are no terminals here: %v", err)
	}
	require.NoError(t, err)
	var number, locked uint32
	control(t, keys, syscall.TIOCGPTN, &number)
	control(t, keys, syscall.TIOCSPTLCK, &locked)
	tty, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	require.NoError(t, err)
	h := &typist{t: t, keys: keys, done: make(chan int, 1), state: state}
	var all sync.WaitGroup
	all.Go(h.watch)
	t.Cleanup(func() {
		require.NoError(t, keys.Close())
		require.NoError(t, tty.Close())
		all.Wait()
	})
	p := &program{self: "firth", stdin: tty, stdout: tty, stderr: tty, terminal: true, now: time.Now,
		getenv: func(name string) (string, bool) {
			if name == "XDG_STATE_HOME" {
				return state, true
			}
			return os.LookupEnv(name)
		}}
	go func() { h.done <- p.run(t.Context(), append([]string{"sql"}, args...)) }()
	return h
}

func control(t *testing.T, file *os.File, request uintptr, value *uint32) {
	t.Helper()
	raw, err := file.SyscallConn()
	require.NoError(t, err)
	require.NoError(t, raw.Control(func(fd uintptr) {
		_, _, fault := syscall.Syscall(syscall.SYS_IOCTL, fd, request, uintptr(unsafe.Pointer(value)))
		require.Zero(t, fault)
	}))
}

// watch collects what appears.
func (h *typist) watch() {
	buffer := make([]byte, 4096)
	for {
		n, err := h.keys.Read(buffer)
		h.mu.Lock()
		h.shown.Write(buffer[:n])
		h.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (h *typist) types(text string) {
	h.t.Helper()
	_, err := h.keys.WriteString(text)
	require.NoError(h.t, err)
}

// sees waits for text behind what was waited for last.
func (h *typist) sees(text string) {
	h.t.Helper()
	ok := func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		at := strings.Index(h.shown.String()[h.seen:], text)
		if at >= 0 {
			h.seen += at + len(text)
		}
		return at >= 0
	}
	require.Eventually(h.t, ok, patience, 10*time.Millisecond, "%q in %q", text, &h.shown)
}

func (h *typist) ends() {
	h.t.Helper()
	require.Zero(h.t, <-h.done)
}

// TestSQLIsAShellAtATerminal needs no engine: no server answers.
func TestSQLIsAShellAtATerminal(t *testing.T) {
	state := t.TempDir()
	h := newTypist(t, state, "--url", "grpc://127.0.0.1:1")
	h.sees("Ctrl-D ends")
	h.sees(shellPrompt)
	h.types("select 1\r")
	h.sees(shellMore)
	h.types("+ 1;\r")
	h.sees("check --url, and that")
	h.sees(shellPrompt)
	h.types("nonsense\x03")
	h.sees("^C")
	h.sees(shellPrompt)
	h.types(".mode xml\r")
	h.sees("write .mode table")
	h.types(".mode csv\r.help\r")
	h.sees("Tab completes")
	h.types("SEL\t") // words are known without an engine
	h.sees("SELECT ")
	h.types("\x03")
	h.sees("^C")
	h.types("\x1b[A\r") // the statement before, on one line
	h.sees("select 1 + 1;")
	h.sees("check --url, and that")
	h.types("\x04")
	h.ends()

	text, err := os.ReadFile(filepath.Join(state, "firth", "sql_history"))
	require.NoError(t, err)
	require.Equal(t, "select 1 + 1;\n", string(text))
	h = newTypist(t, state, "--url", "grpc://127.0.0.1:1")
	h.sees(shellPrompt)
	h.types("\x1b[A")
	h.sees("select 1 + 1;")
	h.types("\x03.exit\r")
	h.ends()
}

func TestSQLShellAnswers(t *testing.T) {
	f := newIngestedFolder(t)
	if out := f.firth(t, "sql", "SELECT 1"); out.code != 0 {
		require.Contains(t, out.stderr, duckdb.ErrMissing.Error())
		return
	}
	h := newTypist(t, t.TempDir(), "-c", f.config)
	h.sees(shellPrompt)
	h.types("SELECT count(*) AS n FROM db.ev\t")
	h.sees("db.events")
	h.types(" WHERE user_id >= 0;\r")
	h.sees("1000\r\n")
	h.sees("1 rows in ")
	h.types("SELECT count(*) FROM range(1000000000) a, range(1000000) b WHERE (a.range * b.range) % 7 = 3;\r")
	h.sees("= 3;")
	h.types("\x03")
	h.sees("interrupted")
	h.sees(shellPrompt)
	h.types(".mode csv\rSELECT 1 AS a, 'x' AS b; SELECT nothing FROM db.events;\r")
	h.sees("a,b\r\n1,x\r\n")
	h.sees("invalid statement")
	h.types("\x04")
	h.ends()
}
