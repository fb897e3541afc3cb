package mapping

// expr is the right side of an assignment, or a part of it.
type expr interface {
	// eval returns a JSON value; it is not found where a field is missing.
	eval(object map[string]any) (value any, found bool, err error)
	// reads appends the fields that it reads.
	reads(fields []path) []path
}

// literal is a value; a number is a json.Number.
type literal struct{ value any }

func (l literal) eval(map[string]any) (any, bool, error) { return l.value, true, nil }

func (l literal) reads(fields []path) []path { return fields }

// fieldRead is a field of the document.
type fieldRead path

func (f fieldRead) eval(object map[string]any) (any, bool, error) {
	value, found := path(f).get(object)
	return value, found, nil
}

func (f fieldRead) reads(fields []path) []path { return append(fields, path(f)) }

// coalesce is the first of values that is neither missing nor null.
type coalesce []expr

func (c coalesce) eval(object map[string]any) (value any, found bool, err error) {
	for _, e := range c {
		if value, found, err = e.eval(object); err != nil || found && value != nil {
			return value, found, err
		}
	}
	return value, found, nil
}

func (c coalesce) reads(fields []path) []path {
	for _, e := range c {
		fields = e.reads(fields)
	}
	return fields
}

// cast gives a value another type. What is missing stays so, and null is null.
type cast struct {
	of expr
	to castType
}

func (c cast) eval(object map[string]any) (any, bool, error) {
	value, found, err := c.of.eval(object)
	if err != nil || !found || value == nil {
		return value, found, err
	}
	value, err = c.to.convert(value)
	return value, true, err
}

func (c cast) reads(fields []path) []path { return c.of.reads(fields) }
