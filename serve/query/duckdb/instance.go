//go:build duckdb_arrow

package duckdb

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	bindings "github.com/duckdb/duckdb-go-bindings"

	"github.com/firthlake/firth/serve/query"
)

// instance is a database in memory with one connection. It belongs to one goroutine at a time, but for interrupt.
type instance struct {
	database   bindings.Database
	connection bindings.Connection
	arrow      bindings.ArrowOptions

	mu     sync.Mutex // guards closed, so that nobody interrupts a connection that is gone
	closed bool
}

// catalogName is the name of the database that holds the relations.
const catalogName = "firth"

// openInstance opens a database with settings.
func openInstance(settings map[string]string) (*instance, error) {
	var config bindings.Config
	if bindings.CreateConfig(&config) == bindings.StateError {
		return nil, errors.New("sql engine: no memory for settings")
	}
	defer bindings.DestroyConfig(&config)
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		if bindings.SetConfig(config, name, settings[name]) == bindings.StateError {
			return nil, fmt.Errorf("sql engine: setting %s cannot be %q", name, settings[name])
		}
	}
	i := &instance{}
	var fault string
	if bindings.OpenExt(":memory:", &i.database, config, &fault) == bindings.StateError {
		return nil, fmt.Errorf("open sql engine: %s", fault)
	}
	if bindings.Connect(i.database, &i.connection) == bindings.StateError {
		bindings.Close(&i.database)
		return nil, errors.New("open sql engine: no connection")
	}
	bindings.ConnectionGetArrowOptions(i.connection, &i.arrow)
	return i, nil
}

func (i *instance) close() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.closed = true
	bindings.DestroyArrowOptions(&i.arrow)
	bindings.Disconnect(&i.connection)
	bindings.Close(&i.database)
}

// interrupt ends what the connection is doing.
func (i *instance) interrupt() {
	i.mu.Lock()
	defer i.mu.Unlock()
	if !i.closed {
		bindings.Interrupt(i.connection)
	}
}

// exec runs statements of our own, in order.
func (i *instance) exec(statements ...string) error {
	for _, sql := range statements {
		var result bindings.Result
		state := bindings.Query(i.connection, sql, &result)
		fault := bindings.ResultError(&result)
		bindings.DestroyResult(&result)
		if state == bindings.StateError {
			return faultOf(fault)
		}
	}
	return nil
}

// prepare prepares one statement. The caller destroys it.
func (i *instance) prepare(sql string) (bindings.PreparedStatement, error) {
	var extracted bindings.ExtractedStatements
	count := bindings.ExtractStatements(i.connection, sql, &extracted)
	defer bindings.DestroyExtracted(&extracted)
	var prepared bindings.PreparedStatement
	switch {
	case count == 0:
		if fault := bindings.ExtractStatementsError(extracted); fault != "" {
			return prepared, faultOf(fault)
		}
		return prepared, fmt.Errorf("%w: there is no statement", query.ErrInvalid)
	case count > 1:
		return prepared, fmt.Errorf("%w: these are %d statements: send one at a time", query.ErrInvalid, count)
	}
	if bindings.PrepareExtractedStatement(i.connection, extracted, 0, &prepared) == bindings.StateError {
		defer bindings.DestroyPrepare(&prepared)
		return prepared, faultOf(bindings.PrepareError(prepared))
	}
	return prepared, nil
}

// schemaOf is the schema of columns of DuckDB types, which it takes over.
func (i *instance) schemaOf(names []string, types []bindings.LogicalType) (*arrow.Schema, error) {
	defer func() {
		for n := range types {
			bindings.DestroyLogicalType(&types[n])
		}
	}()
	if len(names) == 0 {
		return arrow.NewSchema(nil, nil), nil
	}
	schema, fault := bindings.NewArrowSchema(i.arrow, types, names)
	if err := takeFault(fault); err != nil {
		return nil, err
	}
	return schema, nil
}

// takeFault is the error of fault, which is given back.
func takeFault(fault bindings.ErrorData) error {
	defer bindings.DestroyErrorData(&fault)
	if bindings.ErrorDataHasError(fault) {
		return faultOf(bindings.ErrorDataMessage(fault))
	}
	return nil
}

// faultOf sorts what DuckDB says by the class that it begins with.
func faultOf(text string) error {
	class, rest, found := strings.Cut(text, " Error: ")
	if !found {
		return errors.New("sql engine: " + text)
	}
	switch class {
	case "Parser", "Binder", "Catalog", "Conversion", "Invalid Input", "Out of Range", "Syntax", "Mismatch Type",
		"Invalid type", "Not implemented", "Decimal", "Divide by Zero", "Constraint":
		return fmt.Errorf("%w: %s", query.ErrInvalid, rest)
	case "Permission":
		return fmt.Errorf("%w: %s", query.ErrRefused, rest)
	case "Out of Memory":
		line, _, _ := strings.Cut(rest, "\n")
		return fmt.Errorf("%w: the statement needs more memory than one may take (%s): group, join or sort fewer "+
			"rows", query.ErrLimit, line)
	case "INTERRUPT":
		return errInterrupted
	}
	return errors.New("sql engine: " + text)
}

// errInterrupted says that interrupt was called.
var errInterrupted = errors.New("statement interrupted")

// interruptEvery is how often a connection is interrupted that goes on.
const interruptEvery = 10 * time.Millisecond

// interruptWith interrupts the connection from the end of ctx on, until the function that it returns is called, once.
// DuckDB forgets an interruption that comes while it does nothing, so one alone may be lost between two calls.
func (i *instance) interruptWith(ctx context.Context) (stop func()) {
	over := make(chan struct{})
	var watch sync.WaitGroup
	watch.Go(func() {
		select {
		case <-ctx.Done():
		case <-over:
			return
		}
		ticker := time.NewTicker(interruptEvery)
		defer ticker.Stop()
		for {
			i.interrupt()
			select {
			case <-ticker.C:
			case <-over:
				return
			}
		}
	})
	return func() {
		close(over)
		watch.Wait()
	}
}
