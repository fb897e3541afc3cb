package components

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
)

// Session is a running engine that takes statements one by one, so that a test decides what comes next,
// and its start is in no figure.
type Session struct {
	*Process
	mu      sync.Mutex // one statement at a time
	in, out *os.File
	answers *bufio.Reader
}

// Answer is what a statement gave.
type Answer struct {
	// Rows are its values as texts.
	Rows [][]string `json:"rows"`
	// Fault is the engine's own error.
	Fault string `json:"fault"`
	// Seconds passed, and CPUSeconds of all cores were taken by the engine meanwhile.
	Seconds    float64 `json:"seconds"`
	CPUSeconds float64 `json:"cpu_seconds"`
}

// Spark starts a session whose catalog lake is the one that reader names. It ends with the lab.
func (l *Lab) Spark(ctx context.Context, reader Reader) (*Session, error) {
	return l.session(ctx, l.program(reader, "spark_statements"))
}

// TrinoClient starts a client of the server that reader names. Its CPU time is its own.
func (l *Lab) TrinoClient(ctx context.Context, reader Reader) (*Session, error) {
	return l.session(ctx, l.program(reader, "trino_statements"))
}

// Open starts a session of an engine by its name: spark, trino, duckdb, clickhouse, or pyiceberg, polars and flight,
// which take names of tables for statements.
func (l *Lab) Open(ctx context.Context, reader Reader, engine string) (*Session, error) {
	return l.session(ctx, l.program(reader, engine+"_statements"))
}

func (l *Lab) session(ctx context.Context, c Command) (_ *Session, err error) {
	stdin, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	out, stdout, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, stdin.Close(), in.Close())
	}
	s := &Session{in: in, out: out, answers: bufio.NewReader(out)}
	c.Stdin, c.Stdout = stdin, stdout
	s.Process, err = l.Start(ctx, c)
	if err = errors.Join(err, stdin.Close(), stdout.Close()); err != nil { // the process has its own
		return nil, errors.Join(err, in.Close(), out.Close())
	}
	return s, nil
}

// Run runs a statement. What the engine says against it is the answer's fault, and no error.
func (s *Session) Run(ctx context.Context, statement string) (Answer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var answer Answer
	if err := ctx.Err(); err != nil {
		return answer, err
	}
	defer context.AfterFunc(ctx, s.Kill)() // which ends the wait for an answer
	text, err := json.Marshal(statement)
	if err != nil {
		return answer, err
	}
	if _, err = s.in.Write(append(text, '\n')); err == nil {
		text, err = s.answers.ReadBytes('\n')
	}
	if err != nil {
		return answer, fmt.Errorf("run %.200s: %w\n%s", statement, errors.Join(err, ctx.Err()), s.Tail())
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return answer, fmt.Errorf("read the answer to %.200s: %w\n%.1000s", statement, err, text)
	}
	return answer, nil
}
