package catalog

import (
	"encoding/hex"
	"strings"
	"unicode"

	"github.com/google/uuid"
)

// A location is the root folder of a table or view, or a prefix under which they may lie. The same
// place has several spellings ("file:/a", "file:///a", "/a"; "s3a://b/k", "s3://b/k"). The spelling
// that the client chose stands in the metadata; comparisons use canonicalLocation.

// canonicalLocation is one spelling for all of the same place, ending with a slash, so that one
// location lies in another exactly if the other is a prefix of it.
func canonicalLocation(location string) string {
	location = objectLocation(location)
	if rest, ok := strings.CutPrefix(location, "file://"); ok {
		location = rest
	}
	return strings.TrimRight(location, "/") + "/"
}

// objectLocation is the spelling of location that objstore.Store takes.
func objectLocation(location string) string {
	for _, scheme := range []string{"s3a://", "s3n://"} {
		if rest, ok := strings.CutPrefix(location, scheme); ok {
			return "s3://" + rest
		}
	}
	if rest, ok := strings.CutPrefix(location, "file:/"); ok && !strings.HasPrefix(rest, "//") {
		return "file:///" + strings.TrimLeft(rest, "/")
	}
	return location
}

// locationFault says what is wrong with the form of a location, or nothing.
func locationFault(location string) string {
	scheme, path, ok := strings.Cut(location, ":")
	switch {
	case location == "":
		return "is empty"
	case strings.ContainsFunc(location, unicode.IsControl):
		return "contains a control character"
	case strings.ContainsAny(location, "?#\\"):
		return "contains one of ? # \\"
	case ok && !strings.Contains(scheme, "/"):
		path = strings.TrimLeft(path, "/")
	case strings.HasPrefix(location, "/"):
		path = strings.TrimLeft(location, "/")
	default:
		return "is relative"
	}
	for part := range strings.SplitSeq(strings.TrimRight(path, "/"), "/") {
		if part == "" || part == "." || part == ".." {
			return "contains an empty, . or .. path segment"
		}
	}
	lower := strings.ToLower(path)
	for _, escape := range []string{"%2f", "%5c", "%2e", "%00"} {
		if strings.Contains(lower, escape) {
			return "contains the escape " + escape
		}
	}
	return ""
}

// checkLocation refuses a location that is malformed or lies neither in the warehouse nor in one of
// the allowed prefixes.
func (c *Catalog) checkLocation(location string) error {
	if fault := locationFault(location); fault != "" {
		return refused("invalid location %q: it %s", location, fault)
	}
	canonical := canonicalLocation(location)
	for _, prefix := range c.prefixes {
		if strings.HasPrefix(canonical, prefix) && canonical != prefix {
			return nil
		}
	}
	return refused("location %q is outside the warehouse %s and the allowed locations",
		location, c.opts.Warehouse)
}

// checkInside refuses a file that does not lie under its table's location.
func checkInside(file, location string) error {
	if !strings.HasPrefix(canonicalLocation(file), canonicalLocation(location)) {
		return refused("%s lies outside the table's location %s", file, location)
	}
	return nil
}

// folderName is a folder for a name: the name itself when it is plain, else the name with all that is
// not plain replaced and the id's head added, so that two names never share a folder by accident.
func folderName(name string, id func() uuid.UUID) string {
	plain := strings.Map(func(r rune) rune {
		if r < 0x80 && (r == '-' || r == '_' || r == '.' || r == '=' ||
			unicode.IsLetter(r) || unicode.IsDigit(r)) {
			return r
		}
		return '_'
	}, name)
	if plain == name {
		return name
	}
	return plain + "-" + idHead(id())
}

// idHead is the 8 last hex digits: the head of a time-ordered UUID is the same for neighbours.
func idHead(id uuid.UUID) string { return hex.EncodeToString(id[12:]) }

func ancestors(canonical string) []string {
	var found []string
	for i := len(canonical) - 2; i > 0; i-- {
		if canonical[i] == '/' {
			found = append(found, canonical[:i+1])
		}
	}
	return found
}
