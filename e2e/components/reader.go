package components

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Reader says where a program of e2e/readers finds the tables that it reads.
type Reader struct {
	// Programs is the folder of the programs.
	Programs string
	// Catalog is the address of the REST catalog, Token its bearer token when it wants one.
	Catalog, Token string
	// Warehouse is the one of the catalog's that is read; empty is its first.
	Warehouse string
	// Planning is who plans scans, "client" or "server"; empty is the client's default.
	Planning string
	// Committed is another warehouse that a session has beside the first, as catalog committed; empty is none.
	Committed string
	// S3 is the store's endpoint; empty for a local warehouse.
	S3 string
	// Vended says that the engine has no keys of the store but those that the catalog gives it.
	Vended bool
	// Trino is the port of a server with the same catalog.
	Trino int
	// Flight is the address of the server of Arrow Flight.
	Flight string
}

// Question is what a program is asked.
type Question struct {
	// Program is the name of the program: "spark_reader", "duckdb_rows".
	Program string
	Tables  []string
	// Select and Where are for the programs that read rows.
	Select, Where string
	// Before are statements that Spark runs first, separated by semicolons.
	Before string
	// Queries are for the programs that read values.
	Queries []Query
}

// Query asks for the rows of a table, or for their count when no columns are named.
type Query struct {
	Table   string      `json:"table"`
	Columns [][2]string `json:"columns"` // name and Iceberg type
	Where   Condition   `json:"where"`
}

// Condition compares a column with a value. The zero Condition holds for every row.
type Condition struct {
	Column string `json:"column"`
	Type   string `json:"type"`  // Iceberg's name of the column's type
	Op     string `json:"op"`    // "=", "<", "<=", ">", ">=", "is null", "is not null"
	Value  string `json:"value"` // as SQL writes it, without quotes; binary in hexadecimal
}

// Ask runs a program and decodes what it prints into answer.
func (l *Lab) Ask(ctx context.Context, r Reader, q Question, answer any) error {
	program := l.program(r, q.Program)
	cmd := exec.CommandContext(ctx, program.Path, program.Args...)
	cmd.Env = append(os.Environ(), program.Env...)
	cmd.Env = append(cmd.Env, "FIRTH_TABLE="+strings.Join(q.Tables, ","), "FIRTH_SELECT="+q.Select,
		"FIRTH_BEFORE="+q.Before)
	if len(q.Queries) > 0 {
		file, err := l.queries(q)
		if err != nil {
			return err
		}
		defer func() { _ = os.Remove(file) }() // it lies in the lab's folder
		cmd.Env = append(cmd.Env, "FIRTH_QUERIES="+file, "TZ=UTC")
	}
	if q.Where != "" {
		cmd.Env = append(cmd.Env, "FIRTH_WHERE="+q.Where)
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		text := withoutFrames(stderr.String())
		return fmt.Errorf("run %s: %w\n%s", q.Program, err, text[max(0, len(text)-4000):])
	}
	if err := json.Unmarshal(out, answer); err != nil {
		return fmt.Errorf("read the answer of %s: %w\n%.1000s", q.Program, err, out)
	}
	return nil
}

// withoutFrames leaves the frames out of Java's stacks: they are longer than what is shown of a text, and it is
// the exceptions that tell what happened.
func withoutFrames(text string) string {
	var kept strings.Builder
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(strings.TrimSpace(line), "at ") {
			kept.WriteString(line)
		}
	}
	return kept.String()
}

// program is the command that runs a program of the readers.
func (l *Lab) program(r Reader, name string) Command {
	venv := "py-iceberg" // which has Trino's client too
	switch engine, _, _ := strings.Cut(name, "_"); engine {
	case "spark", "duckdb", "adbc", "polars":
		venv = "py-" + engine
	case "clickhouse":
		venv = "py-chdb"
	case "flight":
		venv = "py-adbc"
	}
	c := Command{Name: name, Path: filepath.Join(l.Cache, venv, "bin", "python"),
		Args: []string{filepath.Join(r.Programs, name+".py")},
		Env: []string{"FIRTH_CATALOG=" + r.Catalog, "FIRTH_TOKEN=" + r.Token, "FIRTH_WAREHOUSE=" + r.Warehouse,
			"FIRTH_COMMITTED=" + r.Committed,
			"FIRTH_PLANNING=" + r.Planning,
			"FIRTH_SPARK_JARS=" + filepath.Join(l.Cache, "spark", "jars"), fmt.Sprintf("FIRTH_TRINO_PORT=%d", r.Trino),
			"FIRTH_FLIGHT=" + r.Flight, "PYTHONDONTWRITEBYTECODE=1", "SPARK_LOCAL_IP=127.0.0.1"}}
	if name == "jdbc_sql" {
		c.Path, c.Args = "java", []string{"-Xmx256m", "--add-opens=java.base/java.nio=ALL-UNNAMED",
			"-cp", filepath.Join(l.Cache, "jdbc", "*"), filepath.Join(r.Programs, "JdbcSql.java")}
	}
	switch {
	case r.Vended:
		c.Env = append(c.Env, "FIRTH_VENDED=1")
	case r.S3 != "":
		c.Env = append(c.Env, "FIRTH_S3_ENDPOINT="+r.S3, "FIRTH_S3_KEY="+AccessKey, "FIRTH_S3_SECRET="+SecretKey)
	}
	return c
}

// queries writes what is asked into a file: an environment variable holds 128 KiB at most.
func (l *Lab) queries(q Question) (string, error) {
	text, err := json.Marshal(q.Queries)
	if err != nil {
		return "", err
	}
	file, err := os.CreateTemp(l.Dir, q.Program+"-*.json")
	if err != nil {
		return "", err
	}
	_, err = file.Write(text)
	return file.Name(), errors.Join(err, file.Close())
}

// trinoProperties are those of a catalog of one warehouse.
func (r Reader) trinoProperties(warehouse string) map[string]string {
	properties := map[string]string{
		"connector.name": "iceberg", "iceberg.catalog.type": "rest", "iceberg.rest-catalog.uri": r.Catalog,
	}
	if warehouse != "" {
		properties["iceberg.rest-catalog.warehouse"] = warehouse
	}
	if r.Token != "" {
		properties["iceberg.rest-catalog.security"] = "OAUTH2"
		properties["iceberg.rest-catalog.oauth2.token"] = r.Token
	}
	if r.S3 != "" {
		for name, value := range map[string]string{
			"fs.s3.enabled": "true", "s3.endpoint": r.S3, "s3.region": "us-east-1", "s3.path-style-access": "true",
		} {
			properties[name] = value
		}
	}
	switch {
	case r.Vended:
		properties["iceberg.rest-catalog.vended-credentials-enabled"] = "true"
	case r.S3 != "":
		properties["s3.aws-access-key"], properties["s3.aws-secret-key"] = AccessKey, SecretKey
	}
	return properties
}
