package decode

import (
	"fmt"
	"strings"
)

// jsonObject says what the columns take from one object of a JSON record: the record itself, or one
// that a column's path leads through.
type jsonObject struct {
	index   int // of the objects of the plan
	fields  fieldTable
	targets []jsonTarget // of each field
	columns []int        // all that lie in the object, however deep
}

// jsonTarget is one field of an object that some column takes.
type jsonTarget struct {
	columns []int       // take the value
	inner   *jsonObject // what columns take from within the value, or nil
}

// jsonPaths is an object while paths are being added to it.
type jsonPaths struct {
	names   []string
	columns [][]int
	inner   []*jsonPaths
}

// compileJSON compiles what FormatJSON needs.
func (p *Plan) compileJSON() error {
	if p.options.Envelope.Unscaled {
		for _, n := range p.columns {
			n.unscale()
		}
	}
	var err error
	if p.object, err = newJSONObject(p); err != nil || p.envelope == nil {
		return err
	}
	p.events, err = newJSONEventObjects(p)
	return err
}

// newJSONObject compiles the paths of the plan's columns into the object that a record is.
func newJSONObject(plan *Plan) (*jsonObject, error) {
	root := &jsonPaths{}
	for i, n := range plan.columns {
		if plan.metadata[i] != "" {
			continue
		}
		path := n.options.Path
		if len(path) == 0 {
			path = []string{n.name}
		}
		if len(path) > plan.options.DepthMax {
			return nil, fmt.Errorf("column %s: path %s is deeper than the limit of %d",
				n.path, strings.Join(path, "."), plan.options.DepthMax)
		}
		root.add(path, i)
	}
	plan.objects = 0
	for _, n := range plan.columns {
		n.prepareJSON(plan)
	}
	return root.compile(&plan.objects)
}

// prepareJSON chooses how the node's values are read and numbers the objects among them.
func (n *node) prepareJSON(plan *Plan) {
	n.straight, n.strictNumbers = straightOf(n), plan.options.StrictNumbers
	if n.written.form != formPlain {
		n.straight = straightFormed
	}
	n.unscaledMax = unscaledMax(n.precision)
	if n.kind == kindStruct {
		n.object = plan.objects
		plan.objects++
	}
	for _, child := range n.children {
		child.prepareJSON(plan)
	}
}

func (t *jsonPaths) add(path []string, column int) {
	at := -1
	for i, name := range t.names {
		if name == path[0] {
			at = i
		}
	}
	if at < 0 {
		at = len(t.names)
		t.names = append(t.names, path[0])
		t.columns, t.inner = append(t.columns, nil), append(t.inner, nil)
	}
	if len(path) == 1 {
		t.columns[at] = append(t.columns[at], column)
		return
	}
	if t.inner[at] == nil {
		t.inner[at] = &jsonPaths{}
	}
	t.inner[at].add(path[1:], column)
}

// compile numbers the objects by objects.
func (t *jsonPaths) compile(objects *int) (*jsonObject, error) {
	fields, err := newFieldTable(t.names)
	if err != nil {
		return nil, err
	}
	o := &jsonObject{index: *objects, fields: fields}
	*objects++
	for i := range t.names {
		target := jsonTarget{columns: t.columns[i]}
		o.columns = append(o.columns, t.columns[i]...)
		if t.inner[i] != nil {
			if target.inner, err = t.inner[i].compile(objects); err != nil {
				return nil, err
			}
			o.columns = append(o.columns, target.inner.columns...)
		}
		o.targets = append(o.targets, target)
	}
	return o, nil
}
