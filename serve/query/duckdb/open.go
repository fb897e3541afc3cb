//go:build duckdb_arrow

package duckdb

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/firthlake/firth/serve/query"
	"github.com/firthlake/firth/table"
)

// openedView is a table that a statement names.
type openedView struct {
	at    reference
	view  query.View
	ident table.Ident
	state query.At
	// listed says that its rows are not asked for, only its columns.
	listed bool
	shape  relation
}

// openedViews are the views of a statement.
type openedViews []openedView

func (o openedViews) close() {
	for _, each := range o {
		each.view.Close()
	}
}

func (o openedViews) shapes() []relation {
	shapes := make([]relation, len(o))
	for i := range o {
		shapes[i] = o[i].shape
	}
	return shapes
}

// viewsAtOnce is how many tables are opened at a time, against the latency of a catalog.
const viewsAtOnce = 8

// open opens what a statement names. The caller closes the views.
func (e *Engine) open(ctx context.Context, selected query.Selected, found references) (openedViews, error) {
	opened, err := distinct(selected, found.tables)
	if err != nil {
		return nil, err
	}
	if found.all {
		if opened, err = e.addAll(ctx, opened); err != nil {
			return nil, err
		}
	}
	group, working := errgroup.WithContext(ctx)
	group.SetLimit(viewsAtOnce)
	for i := range opened {
		if each := &opened[i]; (each.listed || found.columnsOnly) && each.state == (query.At{}) {
			each.state.Committed = true
		}
		group.Go(func() error { return e.openOne(working, &opened[i]) })
	}
	err = group.Wait()
	opened = slices.DeleteFunc(opened, func(each openedView) bool { return each.view == nil })
	if err != nil {
		opened.close()
		return nil, err
	}
	return opened, nil
}

// distinct are the tables of references, each once. Names that differ in case alone are one for DuckDB.
func distinct(selected query.Selected, tables []reference) (openedViews, error) {
	var out openedViews
	seen := map[string]reference{}
	for _, at := range tables {
		key := strings.ToLower(at.namespace + "\x00" + at.name)
		if before, known := seen[key]; known {
			if before != at {
				return nil, fmt.Errorf("%w: %s.%s and %s.%s are one name in SQL: write it in one way", query.ErrInvalid,
					before.namespace, before.name, at.namespace, at.name)
			}
			continue
		}
		seen[key] = at
		namespace, state := at.namespace, query.At{}
		for suffix, asked := range selected.Ats {
			if rest, ok := strings.CutSuffix(at.namespace, suffix); ok {
				namespace, state = rest, asked
			}
		}
		ident := append(strings.Split(namespace, "."), at.name)
		out = append(out, openedView{at: at, ident: ident, state: state})
	}
	return out, nil
}

// addAll adds the tables that are not named, without their rows.
func (e *Engine) addAll(ctx context.Context, opened openedViews) (openedViews, error) {
	idents, err := e.views.Tables(ctx)
	if err != nil {
		return nil, err
	}
	named := map[string]bool{}
	for _, each := range opened {
		named[strings.ToLower(each.at.namespace+"\x00"+each.at.name)] = true
	}
	for _, ident := range idents {
		last := len(ident) - 1
		at := reference{strings.Join(ident[:last], "."), ident[last]}
		key := strings.ToLower(at.namespace + "\x00" + at.name)
		if !named[key] {
			named[key] = true
			opened = append(opened, openedView{at: at, ident: ident, listed: true})
		}
	}
	return opened, nil
}

// openOne opens one view. A table that is listed only may be gone or have columns that SQL does not know.
func (e *Engine) openOne(ctx context.Context, each *openedView) error {
	view, err := e.views.Open(ctx, each.ident, each.state)
	if errors.Is(err, table.ErrNotFound) && !each.listed {
		if other := e.otherCase(ctx, each.ident); other != nil {
			view, err = e.views.Open(ctx, other, each.state)
		}
	}
	if err == nil {
		if each.shape, err = shapeRelation(each.at, view.Schema()); err != nil {
			view.Close()
		}
	}
	if err != nil {
		if each.listed && ctx.Err() == nil {
			return nil
		}
		return err
	}
	each.view = view
	return nil
}

// otherCase is the one table whose name differs from ident in case alone, or nil.
func (e *Engine) otherCase(ctx context.Context, ident table.Ident) table.Ident {
	idents, err := e.views.Tables(ctx)
	if err != nil {
		return nil // the table is not found, which is said
	}
	var found table.Ident
	for _, each := range idents {
		if strings.EqualFold(table.FormatIdent(each), table.FormatIdent(ident)) {
			if found != nil {
				return nil
			}
			found = each
		}
	}
	return found
}
