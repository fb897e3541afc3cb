package decode

import (
	"fmt"
	"slices"
	"strings"
)

// envelopeRole is what a field of an event means.
type envelopeRole uint8

const (
	roleNone envelopeRole = iota
	roleAfter
	roleBefore
	roleOp
	roleDDL
	roleSchema
	rolePayload
	roleKeySchema
	roleKeyPayload
)

// eventObjects are the objects that events consist of.
type eventObjects struct {
	root      *eventObject
	recordKey *eventObject
	objects   []*eventObject
	// key is the plan with the columns of the key alone, for JSON.
	key *Plan
}

// eventObject is one object of an event, outside of its rows.
type eventObject struct {
	index   int
	fields  fieldTable
	targets []envelopeTarget
	payload *eventObject // of the root, where events may be wrapped
}

// envelopeTarget is one field of such an object in which there is something.
type envelopeTarget struct {
	name  string // the path, dotted
	role  envelopeRole
	outer []int // of the envelope's columns, those that lie here
	inner *eventObject
}

// The fields of an event that Kafka Connect's converter has wrapped.
const connectSchema, connectPayload = "schema", "payload"

// newJSONEventObjects compiles the envelope of a plan for JSON.
func newJSONEventObjects(plan *Plan) (*eventObjects, error) {
	events, err := newEventObjects(plan)
	if err != nil {
		return nil, err
	}
	return events, events.keyPlan(plan)
}

// newEventObjects compiles the paths of an envelope into the objects that events consist of.
func newEventObjects(plan *Plan) (*eventObjects, error) {
	events, options := &eventObjects{}, plan.options.Envelope
	var err error
	if events.root, err = events.event(plan); err != nil {
		return nil, err
	}
	events.recordKey = &eventObject{}
	if options.Connect {
		if events.root.find(connectSchema) != nil || events.root.find(connectPayload) != nil {
			return nil, fmt.Errorf("envelope paths must not begin with %s or %s where events may be wrapped",
				connectSchema, connectPayload)
		}
		if events.root.payload, err = events.event(plan); err != nil {
			return nil, err
		}
		events.root.targets = append(events.root.targets,
			envelopeTarget{name: connectSchema, role: roleSchema},
			envelopeTarget{name: connectPayload, role: rolePayload, inner: events.root.payload})
		events.recordKey.targets = []envelopeTarget{{name: connectSchema, role: roleKeySchema},
			{name: connectPayload, role: roleKeyPayload}}
	}
	events.number(events.root)
	events.number(events.recordKey)
	for _, o := range events.objects {
		names := make([]string, len(o.targets))
		for i, t := range o.targets {
			names[i] = t.name[strings.LastIndexByte(t.name, '\x00')+1:]
			o.targets[i].name = strings.ReplaceAll(t.name, "\x00", ".")
		}
		if o.fields, err = newFieldTable(names); err != nil {
			return nil, err
		}
	}
	return events, nil
}

// event compiles the paths of one event.
func (events *eventObjects) event(plan *Plan) (*eventObject, error) {
	o, options := &eventObject{}, plan.options.Envelope
	for _, path := range []struct {
		role  envelopeRole
		names []string
	}{{roleAfter, options.After}, {roleBefore, options.Before}, {roleOp, options.Op}, {roleDDL, options.DDL}} {
		if len(path.names) == 0 {
			continue
		}
		t := o.at(path.names)
		if t.role != roleNone {
			return nil, fmt.Errorf("envelope path %s has two meanings", strings.Join(path.names, "."))
		}
		t.role = path.role
	}
	for i, column := range plan.envelope.outer {
		t := o.at(options.Columns[plan.columns[column].name])
		t.outer = append(t.outer, i)
	}
	return o, o.check()
}

// check refuses paths that lead into a row.
func (o *eventObject) check() error {
	for i := range o.targets {
		t := &o.targets[i]
		if t.inner == nil {
			continue
		}
		if t.role != roleNone {
			return fmt.Errorf("an envelope path leads into %s", strings.ReplaceAll(t.name, "\x00", "."))
		}
		if err := t.inner.check(); err != nil {
			return err
		}
	}
	return nil
}

func (o *eventObject) find(path string) *envelopeTarget {
	i := slices.IndexFunc(o.targets, func(t envelopeTarget) bool { return t.name == path })
	if i < 0 {
		return nil
	}
	return &o.targets[i]
}

// at returns the target at a path.
func (o *eventObject) at(names []string) *envelopeTarget {
	for depth := 1; ; depth++ {
		path := strings.Join(names[:depth], "\x00")
		t := o.find(path)
		if t == nil {
			o.targets = append(o.targets, envelopeTarget{name: path})
			t = &o.targets[len(o.targets)-1]
		}
		if depth == len(names) {
			return t
		}
		if t.inner == nil {
			t.inner = &eventObject{}
		}
		o = t.inner
	}
}

func (events *eventObjects) number(o *eventObject) {
	o.index = len(events.objects)
	events.objects = append(events.objects, o)
	for _, t := range o.targets {
		if t.inner != nil {
			events.number(t.inner)
		}
	}
}

// keyPlan makes the plan that takes the columns of the key alone.
func (events *eventObjects) keyPlan(plan *Plan) error {
	var err error
	events.key = plan.keysOnly()
	events.key.object, err = newJSONObject(events.key)
	return err
}
