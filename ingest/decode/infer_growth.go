package decode

import (
	"slices"
	"strings"
)

// growth collects the fields of a chunk that no column takes, under UnknownEvolve, and proposes
// columns for them.
type growth struct {
	columns []*node // of the plan
	parents []*node // nil is the record itself
	shapes  []*shape
	fields  int
}

// growthMax bounds the fields that one chunk can propose: keys that are data must not become columns
// without end.
const growthMax = 100

func newGrowth(plan *Plan) *growth { return &growth{columns: plan.columns} }

// observe adds the value of a field of parent.
func (g *growth) observe(parent *node, name string, value []byte) {
	at := slices.Index(g.parents, parent)
	if at < 0 {
		at = len(g.parents)
		g.parents, g.shapes = append(g.parents, parent), append(g.shapes, newShape())
	}
	s := g.shapes[at]
	if _, known := s.fields[name]; !known {
		if g.fields == growthMax || !g.nameable(parent, name) {
			return
		}
		g.fields++
	}
	s.field(name).observe(value)
}

// nameable tells whether a field can become a column beside those that there are: engines do not
// tell names apart by case.
func (g *growth) nameable(parent *node, name string) bool {
	columns := g.columns
	if parent != nil {
		columns = parent.children
	}
	clash := func(n *node) bool { return strings.EqualFold(n.name, name) }
	reserved := parent == nil && strings.HasPrefix(name, reservedPrefix)
	return name != "" && !reserved && !slices.ContainsFunc(columns, clash)
}

// take returns what was observed as an *EvolutionError, or nil when there is nothing to add, and
// starts afresh. Values that give no type (null, empty) propose nothing: the next chunk may tell.
func (g *growth) take() error {
	var proposals []Proposal
	for i, parent := range g.parents {
		var path []string
		if parent != nil {
			path = parent.names
		}
		for _, name := range g.shapes[i].names {
			at := append(path[:len(path):len(path)], name)
			if columnType := newTyping().typeOf(at, g.shapes[i].fields[name]); columnType != nil {
				proposals = append(proposals, Proposal{Kind: AddColumn, Path: at, Type: columnType})
			}
		}
	}
	*g = growth{columns: g.columns}
	if len(proposals) == 0 {
		return nil
	}
	return &EvolutionError{Proposals: proposals}
}
