package evolve

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"

	"github.com/firthlake/firth/ingest/decode"
)

// State is what evolution depends on of a table's metadata.
type State struct {
	Schema *iceberg.Schema
	// Schemas are all schemas that the table has had.
	Schemas []*iceberg.Schema
	// LastColumnID is the highest field id ever given out.
	LastColumnID  int
	FormatVersion int
	// Sources are the field ids that a partition spec or sort order, old ones too, derives from.
	Sources map[int]bool
	// NameMapping is the table's property of that name, "" when it has none.
	NameMapping string
}

// StateOf reads the state of a table.
func StateOf(metadata icetable.Metadata) State {
	s := State{Schema: metadata.CurrentSchema(), Schemas: metadata.Schemas(),
		LastColumnID: metadata.LastColumnID(), FormatVersion: metadata.Version(), Sources: map[int]bool{},
		NameMapping: metadata.Properties()[icetable.DefaultNameMappingKey]}
	for _, spec := range metadata.PartitionSpecs() {
		for _, field := range spec.Fields() {
			for _, id := range field.SourceIDs {
				s.Sources[id] = true
			}
		}
	}
	for _, order := range metadata.SortOrders() {
		for _, field := range order.Fields() {
			for _, id := range field.SourceIDs {
				s.Sources[id] = true
			}
		}
	}
	return s
}

// Policy says which kinds of step are taken. The zero value takes none.
type Policy struct {
	AddColumn    bool
	Widen        bool
	MakeOptional bool
	Rename       bool
	// Metadata allows to add the columns that hold a record's coordinates. A spec may ask for them,
	// a writer's schema may not.
	Metadata bool
}

// Refusal is a proposal that the table does not follow.
type Refusal struct {
	Proposal decode.Proposal
	// Reason says why, and what to do.
	Reason string
}

// String is "column: reason".
func (r Refusal) String() string { return strings.Join(r.Proposal.Path, ".") + ": " + r.Reason }

// Result is a decision.
type Result struct {
	// Schema is the schema after the step; State.Schema itself when nothing changes.
	Schema  *iceberg.Schema
	Changed bool
	Applied []decode.Proposal
	Refused []Refusal
	// Updates and Requirements make Schema the current one; both are empty when nothing changes.
	Updates      []icetable.Update
	Requirements []icetable.Requirement
}

// Plan decides on proposals, in order. What the table has already counts neither as applied nor as
// refused. An error says that the state itself is unusable.
func Plan(state State, proposals []decode.Proposal, policy Policy) (Result, error) {
	if state.Schema == nil {
		return Result{}, errors.New("evolve: the table has no schema")
	}
	names, err := namesByID(state.NameMapping)
	if err != nil {
		return Result{}, fmt.Errorf("evolve: %w", err)
	}
	s := step{state: state, policy: policy, fields: state.Schema.Fields(), names: names,
		lastID: max(state.LastColumnID, state.Schema.HighestFieldID())}
	result := Result{Schema: state.Schema}
	for _, p := range proposals {
		fields, err := s.apply(p)
		var no refused
		switch {
		case errors.Is(err, errNothingToDo):
		case errors.As(err, &no):
			result.Refused = append(result.Refused, Refusal{Proposal: p, Reason: string(no)})
		case err != nil:
			return Result{}, fmt.Errorf("evolve %s: %w", strings.Join(p.Path, "."), err)
		default:
			s.fields = fields
			result.Applied = append(result.Applied, p)
		}
	}
	if len(result.Applied) == 0 {
		return result, nil
	}
	err = s.finish(&result)
	return result, err
}

// refused is the reason for which a step is not taken.
type refused string

func (r refused) Error() string { return string(r) }

// errNothingToDo says that the table holds already what is proposed.
var errNothingToDo = errors.New("nothing to do")

// step is a schema while proposals are applied to it. Fields are copied on the way to a change and
// never changed in place.
type step struct {
	state  State
	policy Policy
	fields []iceberg.NestedField
	lastID int
	// names are all names that fields have had before, by id; renamed says that this step adds to
	// them.
	names   map[int][]string
	renamed bool
}

// finish fills in the new schema and how to make it current.
func (s *step) finish(result *Result) error {
	id := lastSchemaID(s.state) + 1
	schema := iceberg.NewSchemaWithIdentifiers(id, s.state.Schema.IdentifierFieldIDs, s.fields...)
	result.Changed = true
	result.Requirements = []icetable.Requirement{
		icetable.AssertCurrentSchemaID(s.state.Schema.ID),
		icetable.AssertLastAssignedFieldID(s.state.LastColumnID),
	}
	for _, old := range s.state.Schemas {
		if old.Equals(schema) {
			result.Schema = old
			result.Updates = []icetable.Update{icetable.NewSetCurrentSchemaUpdate(old.ID)}
			return nil
		}
	}
	result.Schema = schema
	result.Updates = []icetable.Update{
		icetable.NewAddSchemaUpdate(schema), icetable.NewSetCurrentSchemaUpdate(-1),
	}
	if !s.renamed {
		return nil
	}
	mapping, err := s.nameMapping(schema)
	if err != nil {
		return err
	}
	properties := iceberg.Properties{icetable.DefaultNameMappingKey: mapping}
	result.Updates = append(result.Updates, icetable.NewSetPropertiesUpdate(properties))
	return nil
}

// lastSchemaID is the highest schema id of a table.
func lastSchemaID(state State) int {
	highest := state.Schema.ID
	for _, schema := range state.Schemas {
		highest = max(highest, schema.ID)
	}
	return highest
}

// nameMapping is the table's name mapping with the old names of renamed fields kept, so that writers
// that still use them are understood, and files without field ids too.
func (s *step) nameMapping(schema *iceberg.Schema) (string, error) {
	text, err := json.Marshal(mappedFields(schema.Fields(), s.names))
	if err != nil {
		return "", fmt.Errorf("write the name mapping: %w", err)
	}
	return string(text), nil
}

func mappedFields(fields []iceberg.NestedField, old map[int][]string) []iceberg.MappedField {
	out := make([]iceberg.MappedField, 0, len(fields))
	for _, field := range fields {
		names := []string{field.Name}
		for _, name := range old[field.ID] {
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
		out = append(out, iceberg.MappedField{Names: names, FieldID: &field.ID,
			Fields: mappedFields(children(field.Type), old)})
	}
	return out
}

// namesByID reads a name mapping.
func namesByID(mapping string) (map[int][]string, error) {
	names := map[int][]string{}
	if mapping == "" {
		return names, nil
	}
	var fields []iceberg.MappedField
	if err := json.Unmarshal([]byte(mapping), &fields); err != nil {
		return nil, fmt.Errorf("read the table's name mapping: %w", err)
	}
	var walk func([]iceberg.MappedField)
	walk = func(fields []iceberg.MappedField) {
		for _, field := range fields {
			if field.FieldID != nil {
				names[*field.FieldID] = field.Names
			}
			walk(field.Fields)
		}
	}
	walk(fields)
	return names, nil
}

// FormerNames are the earlier names of the table's columns by dotted present name, as its name mapping
// keeps them: decode.WriterOptions.Former.
func FormerNames(state State) (map[string][]string, error) {
	names, err := namesByID(state.NameMapping)
	if err != nil {
		return nil, err
	}
	former := map[string][]string{}
	var walk func(string, []iceberg.NestedField)
	walk = func(prefix string, fields []iceberg.NestedField) {
		for _, field := range fields {
			for _, name := range names[field.ID] {
				if name != field.Name {
					former[prefix+field.Name] = append(former[prefix+field.Name], name)
				}
			}
			walk(prefix+field.Name+".", children(field.Type))
		}
	}
	walk("", state.Schema.Fields())
	return former, nil
}

func children(t iceberg.Type) []iceberg.NestedField {
	if nested, ok := t.(iceberg.NestedType); ok {
		return nested.Fields()
	}
	return nil
}
