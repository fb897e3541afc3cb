//go:build duckdb_arrow

package duckdb

import (
	"errors"
	"fmt"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	bindings "github.com/duckdb/duckdb-go-bindings"

	"github.com/firthlake/firth/serve/query"
)

// analyst looks at statements without running them. Its database may open nothing at all. It belongs to one goroutine
// at a time.
type analyst struct{ instance *instance }

// analystMemory is plenty for syntax trees and tables without rows.
const analystMemory = "128MiB"

func newAnalyst() (*analyst, error) {
	settings := closedSettings()
	settings["threads"], settings["memory_limit"] = "1", analystMemory
	opened, err := openInstance(settings)
	if err != nil {
		return nil, err
	}
	if err := opened.exec(enclose("")...); err != nil {
		opened.close()
		return nil, err
	}
	return &analyst{opened}, nil
}

func (a *analyst) close() { a.instance.close() }

// closedSettings keep a database from fetching or loading extensions.
func closedSettings() map[string]string {
	return map[string]string{
		"autoinstall_known_extensions": "false", "autoload_known_extensions": "false",
		"allow_community_extensions": "false", "allow_unsigned_extensions": "false",
	}
}

// enclose are the statements after which a database reads the files in a folder and nothing else, for good; without a
// folder it reads nothing at all.
func enclose(folder string) []string {
	allowed := "SET allowed_directories = ["
	if folder != "" {
		allowed += quoteText(folder)
	}
	return []string{
		"ATTACH ':memory:' AS " + catalogName, "USE " + catalogName, "SET TimeZone = 'UTC'",
		allowed + "]", "SET enable_external_access = false", "SET lock_configuration = true",
	}
}

// tree is the syntax tree of a statement, as JSON.
func (a *analyst) tree(sql string) ([]byte, error) {
	text, err := a.ask("SELECT json_serialize_sql(CAST(? AS VARCHAR))", sql)
	return []byte(text), err
}

// ask is the one text that a statement of our own answers to texts.
func (a *analyst) ask(sql string, parameters ...string) (string, error) {
	prepared, err := a.instance.prepare(sql)
	if err != nil {
		return "", err
	}
	for i, value := range parameters {
		if bindings.BindVarchar(prepared, bindings.IdxT(i+1), value) == bindings.StateError {
			defer bindings.DestroyPrepare(&prepared)
			return "", faultOf(bindings.PrepareError(prepared))
		}
	}
	return a.text(prepared)
}

// text is the one text that a prepared statement answers. The statement is destroyed.
func (a *analyst) text(prepared bindings.PreparedStatement) (string, error) {
	defer bindings.DestroyPrepare(&prepared)
	schema, err := a.instance.schemaOf(columnsOfPrepared(prepared))
	if err != nil {
		return "", err
	}
	var result bindings.Result
	state := bindings.ExecutePrepared(prepared, &result)
	defer bindings.DestroyResult(&result)
	if state == bindings.StateError {
		return "", faultOf(bindings.ResultError(&result))
	}
	batch, err := a.instance.fetch(&result, schema)
	if err != nil {
		return "", err
	}
	if batch == nil {
		return "", errors.New("sql engine: no answer")
	}
	defer batch.Release()
	texts, ok := batch.Column(0).(*array.String)
	if !ok || texts.Len() != 1 || texts.IsNull(0) {
		return "", errors.New("sql engine: no text for an answer")
	}
	return strings.Clone(texts.Value(0)), nil
}

// describe says what a statement over relations would answer.
func (a *analyst) describe(sql string, relations []relation) (out query.Description, err error) {
	if err := a.instance.exec("BEGIN TRANSACTION"); err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, a.instance.exec("ROLLBACK")) }()
	for _, r := range relations {
		if err := a.instance.exec(r.sql()...); err != nil {
			return out, fmt.Errorf("table %s.%s: %w", r.namespace, r.name, err)
		}
	}
	prepared, err := a.instance.prepare(sql)
	if err != nil {
		return out, err
	}
	defer bindings.DestroyPrepare(&prepared)
	if err := checkKind(prepared); err != nil {
		return out, err
	}
	if out.Columns, err = a.instance.schemaOf(columnsOfPrepared(prepared)); err != nil {
		return out, err
	}
	out.Parameters, err = a.instance.schemaOf(parametersOf(prepared))
	return out, err
}

// checkKind refuses prepared statements that are no queries.
func checkKind(prepared bindings.PreparedStatement) error {
	if bindings.PreparedStatementType(prepared) != bindings.StatementTypeSelect {
		return fmt.Errorf("%w: only queries can be run", query.ErrRefused)
	}
	return nil
}

func columnsOfPrepared(prepared bindings.PreparedStatement) ([]string, []bindings.LogicalType) {
	count := bindings.PreparedStatementColumnCount(prepared)
	names, types := make([]string, count), make([]bindings.LogicalType, count)
	for i := range count {
		names[i] = bindings.PreparedStatementColumnName(prepared, i)
		types[i] = known(bindings.PreparedStatementColumnLogicalType(prepared, i))
	}
	return names, types
}

// parametersOf are names and types of the parameters, in order.
func parametersOf(prepared bindings.PreparedStatement) ([]string, []bindings.LogicalType) {
	count := bindings.NParams(prepared)
	names, types := make([]string, count), make([]bindings.LogicalType, count)
	for i := range count {
		names[i] = bindings.ParameterName(prepared, i+1)
		types[i] = known(bindings.ParamLogicalType(prepared, i+1))
	}
	return names, types
}

// known is a type, or that of null where a parameter leaves it open.
func known(typ bindings.LogicalType) bindings.LogicalType {
	if typ.Ptr != nil {
		if id := bindings.GetTypeId(typ); id != bindings.TypeInvalid && id != bindings.TypeAny {
			return typ
		}
	}
	bindings.DestroyLogicalType(&typ)
	return bindings.CreateLogicalType(bindings.TypeSQLNull)
}

// fetch returns the next rows of a result, or nil at its end.
func (i *instance) fetch(result *bindings.Result, schema *arrow.Schema) (arrow.RecordBatch, error) {
	chunk := bindings.FetchChunk(*result)
	if chunk.Ptr == nil {
		if fault := bindings.ResultError(result); fault != "" {
			return nil, faultOf(fault)
		}
		return nil, nil
	}
	defer bindings.DestroyDataChunk(&chunk)
	if bindings.DataChunkGetSize(chunk) == 0 {
		return nil, nil
	}
	batch, fault := bindings.DataChunkToArrowArray(i.arrow, schema, chunk)
	if err := takeFault(fault); err != nil {
		return nil, err
	}
	return batch, nil
}
