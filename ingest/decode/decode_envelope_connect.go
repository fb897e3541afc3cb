package decode

import (
	"errors"
	"fmt"
	"maps"

	"github.com/firthlake/firth/ingest/messageschema"
)

// connectPart tells the schema of a value from that of a record's key.
type connectPart uint8

const (
	connectValue connectPart = iota
	connectKey
)

// connectShapes are the shapes of rows by the schemas that events have brought.
type connectShapes struct {
	plan   *Plan
	rows   *rows
	byText [2]map[string]*jsonShape
}

// connectShapesMax bounds the schemas that a decoder keeps; beyond it all are dropped and compiled again
// as they are met.
const connectShapesMax = 64

func newConnectShapes(plan *Plan, rows *rows) connectShapes {
	return connectShapes{plan: plan, rows: rows,
		byText: [2]map[string]*jsonShape{connectValue: {}, connectKey: {}}}
}

func (s *connectShapes) endChunk() error {
	for _, shapes := range s.byText {
		for _, shape := range shapes {
			if err := shape.endChunk(); err != nil {
				return err
			}
		}
	}
	return nil
}

// of returns the shape that a schema gives. The error is an *EvolutionError.
func (s *connectShapes) of(text []byte, part connectPart) (*jsonShape, error) {
	shapes := s.byText[part]
	if shape, ok := shapes[string(text)]; ok {
		return shape, nil
	}
	shape, err := s.compile(text, part)
	if errors.Is(err, errSchema) {
		shape, err = &jsonShape{refused: "the event's " + err.Error()}, nil
	}
	if err != nil {
		return nil, err
	}
	if len(shapes) == connectShapesMax {
		clear(shapes)
	}
	if len(text) <= knownStartMax {
		shapes[string(text)] = shape
	}
	return shape, nil
}

func (s *connectShapes) compile(text []byte, part connectPart) (*jsonShape, error) {
	schema, err := messageschema.ParseConnect(text)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errSchema, err)
	}
	if part == connectValue {
		if schema = schema.At(s.plan.options.Envelope.After...); schema == nil {
			return newJSONShape(s.plan, s.rows), nil // of an event without rows
		}
	}
	options := s.plan.options
	options.Columns, options.written = maps.Clone(options.Columns), map[string]writtenAs{}
	if options.Columns == nil {
		options.Columns = map[string]ColumnOptions{}
	}
	for i, n := range s.plan.columns {
		if s.plan.metadata[i] != "" {
			continue
		}
		path := n.options.Path
		if len(path) == 0 {
			path = []string{n.name}
		}
		if of := schema.At(path...); of != nil {
			adaptColumn(n, of, &options)
		}
	}
	if options.UnknownFields == UnknownEvolve {
		if proposals := s.proposals(schema); len(proposals) > 0 && part == connectValue {
			return nil, &EvolutionError{Proposals: proposals}
		}
		options.UnknownFields = UnknownIgnore
	}
	options.Envelope.Unscaled = false
	plan, err := newPlan(s.plan.schema, options)
	if err == nil {
		err = plan.compileJSON()
	}
	if err != nil {
		return nil, fmt.Errorf("apply the event's schema: %w", err)
	}
	return newJSONShape(plan, s.rows), nil
}

// proposals are the columns that the table lacks.
func (s *connectShapes) proposals(row *messageschema.ConnectType) []Proposal {
	taken := map[string]bool{}
	for i, n := range s.plan.columns {
		if s.plan.metadata[i] == "" && len(n.options.Path) > 0 {
			taken[n.options.Path[0]] = true
		} else {
			taken[n.name] = true
		}
	}
	growth := newGrowth(s.plan)
	var proposals []Proposal
	for _, field := range row.Columns(messageschema.Options{}).Fields {
		if taken[field.Name] || !growth.nameable(nil, field.Name) {
			continue
		}
		proposals = append(proposals, Proposal{Kind: AddColumn, Path: []string{field.Name}, Type: field.Type,
			Doc: field.Doc})
	}
	return proposals
}

// adaptColumn sets the options of a column and those within it for values of a Connect type.
func adaptColumn(n *node, of *messageschema.ConnectType, out *Options) {
	w := writtenAs{name: of.Type}
	if of.Name != "" {
		w.name = of.Name
	}
	options := n.options
	w.adapt(n.kind, of)
	if unit, ok := connectUnits()[of.Meaning()]; ok && w.form == formPlain {
		options.Time = unit
	}
	out.Columns[n.path], out.written[n.path] = options, w
	if w.form != formPlain {
		return
	}
	switch {
	case n.kind == kindList && of.Items != nil:
		adaptColumn(n.children[0], of.Items, out)
	case n.kind == kindMap && of.Values != nil:
		adaptColumn(n.children[1], of.Values, out)
	case n.kind == kindStruct:
		for _, child := range n.children {
			if field := of.At(child.sourceName()); field != nil {
				adaptColumn(child, field, out)
			}
		}
	}
}

// adapt sets the form in which values of a Connect type go into a column of a kind. What the column
// would take for something else is refused.
func (w *writtenAs) adapt(k kind, of *messageschema.ConnectType) {
	isStamp := k == kindTimestamp || k == kindTimestampNs
	refused := false
	switch of.Meaning() {
	case messageschema.ConnectGeometry:
		refused = true
	case messageschema.ConnectDecimal:
		scale, err := of.Scale()
		w.form, w.scale = formUnscaled, int32(scale)
		refused = err != nil || k != kindDecimal
	case messageschema.ConnectVariableDecimal:
		if k == kindDecimal {
			w.form = formVariable
		}
	case messageschema.ConnectDate:
		refused = k == kindTime || isStamp
	case messageschema.ConnectTimeMillis, messageschema.ConnectTimeMicros, messageschema.ConnectTimeNanos:
		refused = k == kindDate || isStamp
	case messageschema.ConnectLocalMillis, messageschema.ConnectLocalMicros,
		messageschema.ConnectLocalNanos, messageschema.ConnectInstantMillis:
		refused = k == kindDate || k == kindTime
	case messageschema.ConnectZonedTime:
		if k == kindTime {
			w.form = formZonedTime
		}
	default:
		refused = of.Type == "bytes" && isNumeric(k) // base64 may look like a number
	}
	if refused {
		w.form = formRefused
	}
}

// connectUnits are the units of the meanings that count time.
func connectUnits() map[messageschema.ConnectMeaning]TimeFormat {
	return map[messageschema.ConnectMeaning]TimeFormat{
		messageschema.ConnectTimeMillis: TimeMillis, messageschema.ConnectTimeMicros: TimeMicros,
		messageschema.ConnectTimeNanos: TimeNanos, messageschema.ConnectLocalMillis: TimeMillis,
		messageschema.ConnectLocalMicros: TimeMicros, messageschema.ConnectLocalNanos: TimeNanos,
		messageschema.ConnectInstantMillis: TimeMillis,
	}
}

// isNumeric tells whether a column takes numbers, which may be written as strings.
func isNumeric(k kind) bool {
	switch k {
	case kindBinary, kindFixed, kindString, kindUUID, kindUnknown, kindStruct, kindList, kindMap:
		return false
	default:
		return true
	}
}
