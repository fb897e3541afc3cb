package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/firthlake/firth/serve/flight"
	"github.com/firthlake/firth/serve/query"
)

// sqlOptions are the flags of sql.
type sqlOptions struct{ url, token, dir, output string }

func (p *program) sqlCommand() *cobra.Command {
	var o sqlOptions
	cmd := &cobra.Command{
		Use:   "sql [QUERY]",
		Short: "Ask the tables in SQL",
		Long: "Runs a query, or the statements of standard input, each ended by a semicolon; at a terminal it is a\n" +
			"shell. The server at --url is asked; without it the engine in this program reads the tables of the\n" +
			"configuration or of --dir. docs/sql.md has the language and what it may read." +
			exitCodes("answered", "never", "a statement was wrong, refused or broke off"),
		Example: example("firth sql \"SELECT country, count(*) FROM db.events GROUP BY ALL\"",
			"firth sql   # a shell, at a terminal",
			"firth sql --json \"FROM db.events AT (VERSION => 'before') LIMIT 3\"",
			"firth sql --url grpc://lake:8182 < report.sql"),
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return couldNot(fmt.Errorf("%q is one argument too many", args[1]), "quote the query")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return p.sql(cmd.Context(), o, args) },
	}
	flags := cmd.Flags()
	flags.StringVar(&o.url, "url", "", "server to ask: grpc://host:port, or grpc+tls://host:port")
	flags.StringVar(&o.token, "token", "", "bearer token for --url")
	flags.StringVar(&o.dir, "dir", "", "folder that a demo made, instead of a configuration")
	flags.StringVar(&o.output, "output", "table", "table, ndjson, json or csv; --json is json")
	return cmd
}

func (p *program) sql(ctx context.Context, o sqlOptions, args []string) error {
	if p.json {
		o.output = "json"
	}
	if !isOutput(o.output) {
		return couldNot(fmt.Errorf("there is no output %q", o.output), "write table, ndjson, json or csv")
	}
	engine, err := p.sqlTarget(ctx, o)
	if err != nil {
		return err
	}
	if tty := p.keyboardOf(); tty != nil && len(args) == 0 {
		err = p.converse(ctx, engine, o.output, tty)
	} else {
		err = p.runSQL(ctx, engine, o.output, args)
	}
	return errors.Join(err, engine.Close())
}

// isOutput says whether rows can be printed so.
func isOutput(name string) bool { return newRowWriter(name, bufio.NewWriter(io.Discard)) != nil }

// sqlTarget is the engine to ask: a server's, or that of this program.
func (p *program) sqlTarget(ctx context.Context, o sqlOptions) (query.Engine, error) {
	if o.url != "" {
		return dialSQL(o.url, o.token)
	}
	l, err := p.openLake(ctx, o.dir)
	if err != nil {
		return nil, err
	}
	engine, err := p.openSQL(l, nil, filepath.Join(os.TempDir(), "firth-sql"))
	if err != nil {
		l.close()
		return nil, couldNot(err, remedyOf(err))
	}
	return &lakeEngine{engine, l}, nil
}

func dialSQL(url, token string) (query.Engine, error) {
	client, err := flight.Dial(url, token)
	if err != nil {
		return nil, couldNot(err, "")
	}
	return client, nil
}

// lakeEngine closes what it reads with itself.
type lakeEngine struct {
	*sqlEngine
	lake *lake
}

func (e *lakeEngine) Close() error {
	defer e.lake.close()
	return e.sqlEngine.Close()
}

// runSQL runs the statement of the command line, or those of standard input, one after the other.
func (p *program) runSQL(ctx context.Context, engine query.Engine, output string, args []string) error {
	if len(args) > 0 {
		return p.runStatement(ctx, engine, output, args[0])
	}
	text, err := io.ReadAll(io.LimitReader(p.stdin, statementBytesMax+1))
	if err != nil {
		return fmt.Errorf("read statements: %w", err)
	}
	if len(text) > statementBytesMax {
		return couldNot(fmt.Errorf("standard input holds more than %s", size(statementBytesMax)), "send less at a time")
	}
	statements, rest := query.Split(string(text))
	if rest != "" {
		statements = append(statements, rest)
	}
	for _, sql := range statements {
		if err := p.runStatement(ctx, engine, output, sql); err != nil {
			return err
		}
	}
	return nil
}

// statementBytesMax bounds what is read from standard input.
const statementBytesMax = 4 << 20

// runStatement prints the answer of one statement, and for people how long it took.
func (p *program) runStatement(ctx context.Context, engine query.Engine, output, sql string) (err error) {
	began := p.now()
	reader, err := engine.Run(ctx, sql, nil)
	if err != nil {
		return couldNot(err, remedyOf(err))
	}
	defer reader.Release()
	out := bufio.NewWriter(p.stdout)
	writer := newRowWriter(output, out)
	names := make([]string, reader.Schema().NumFields())
	for i, field := range reader.Schema().Fields() {
		names[i] = field.Name
	}
	if err := writer.begin(names); err != nil {
		return fmt.Errorf("print rows: %w", err)
	}
	rows := int64(0)
	for reader.Next() {
		rows += reader.RecordBatch().NumRows()
		if err := writer.rows(reader.RecordBatch()); err != nil {
			return fmt.Errorf("print rows: %w", err)
		}
	}
	if err := reader.Err(); err != nil {
		return couldNot(errors.Join(err, out.Flush()), remedyOf(err))
	}
	if err := errors.Join(writer.end(), out.Flush()); err != nil {
		return fmt.Errorf("print rows: %w", err)
	}
	if !p.json {
		fmt.Fprintf(p.stderr, "%s rows in %s\n", count(rows), p.now().Sub(began).Round(time.Millisecond))
	}
	return nil
}
