//go:build duckdb_arrow

package duckdb

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/apache/iceberg-go"

	"github.com/firthlake/firth/serve/query"
	"github.com/firthlake/firth/serve/query/filecache"
)

// relation is a table of a statement as DuckDB is told of it.
type relation struct {
	namespace, name string
	columns         []column
	selects         []string // of which the rows are the union; none is no rows
}

// openRelation makes the relation of a view, with local files that h holds.
// It has only the columns that a statement needs.
func (e *Engine) openRelation(ctx context.Context, h *held, at reference, view query.View, found references,
) (relation, error) {
	r, err := shapeRelation(at, view.Schema())
	if err != nil {
		return r, err
	}
	where := whereOf(found.root, at, r.columns, view.Schema())
	r.columns = found.needs.of(r.columns)
	tasks, err := view.Tasks(ctx, where)
	if err != nil {
		return r, err
	}
	parts, err := e.fetch(ctx, h, view.Schema(), r.columns, tasks)
	if err != nil {
		return r, err
	}
	for _, group := range groupParts(parts) {
		sql, err := e.selectFrom(ctx, h, group)
		if err != nil {
			return r, err
		}
		r.selects = append(r.selects, sql)
	}
	return r, nil
}

// shapeRelation is the relation of a table without rows.
func shapeRelation(at reference, schema *iceberg.Schema) (relation, error) {
	columns, err := columnsOf(schema)
	if err != nil {
		return relation{}, fmt.Errorf("table %s.%s: %w", at.namespace, at.name, err)
	}
	return relation{namespace: at.namespace, name: at.name, columns: columns}, nil
}

// groupParts puts parts together that one SELECT can read: those of one SELECT list, with deletes or without.
func groupParts(parts []part) [][]part {
	var groups [][]part
	places := map[string]int{}
	for _, p := range parts {
		key := fmt.Sprint(p.deleted != nil, p.selection.key)
		at, known := places[key]
		if !known {
			at = len(groups)
			places[key], groups = at, append(groups, nil)
		}
		groups[at] = append(groups[at], p)
	}
	return groups
}

// selectFrom writes the SELECT of a group.
func (e *Engine) selectFrom(ctx context.Context, h *held, group []part) (string, error) {
	paths := make([]string, len(group))
	for i, p := range group {
		paths[i] = quoteText(p.path)
	}
	sql := "SELECT " + group[0].selection.list + " FROM read_parquet([" + strings.Join(paths, ", ") +
		"], hive_partitioning = false) AS d"
	if group[0].deleted == nil {
		return sql, nil
	}
	deleted, err := e.deletedFile(ctx, group)
	if err != nil {
		return "", fmt.Errorf("deleted rows: %w", err)
	}
	h.files = append(h.files, deleted)
	return sql + " ANTI JOIN read_parquet(" + quoteText(deleted.Path()) +
		") AS x ON d.file_index = x.file AND d.file_row_number = x.pos", nil
}

// deletedFile has the deleted rows of a group. What is unseen in one statement is so in no other.
func (e *Engine) deletedFile(ctx context.Context, group []part) (*filecache.File, error) {
	write := func(ctx context.Context, to io.Writer) error { return writeDeleted(ctx, to, group) }
	if slices.ContainsFunc(group, func(p part) bool { return p.unseen }) {
		return e.files.Once(ctx, write)
	}
	return e.files.Get(ctx, deletedKey(group), write)
}

func deletedKey(group []part) string {
	hash := sha256.New()
	for _, p := range group {
		_, _ = io.WriteString(hash, p.deletes+"\x01") // a hash takes everything
	}
	return "deleted " + hex.EncodeToString(hash.Sum(nil))
}

// sql creates the relation.
func (r relation) sql() []string {
	names := make([]string, len(r.columns))
	for i, c := range r.columns {
		names[i] = quote(c.name) + " " + c.typ
	}
	target := quote(r.namespace) + "." + quote(r.name)
	schema := "CREATE SCHEMA IF NOT EXISTS " + quote(r.namespace)
	if len(r.selects) == 0 {
		return []string{schema, "CREATE TABLE " + target + " (" + strings.Join(names, ", ") + ")"}
	}
	return []string{schema, "CREATE VIEW " + target + " AS " + strings.Join(r.selects, " UNION ALL ")}
}
