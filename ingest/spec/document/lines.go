package document

import (
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Lines maps the path of a value ("sources[0].format") to its line, counted from 1.
type Lines map[string]int

func (l Lines) collect(n *yaml.Node, path string) {
	l[path] = n.Line
	switch n.Kind {
	case yaml.DocumentNode:
		for _, c := range n.Content {
			l.collect(c, path)
		}
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			key := strings.TrimPrefix(path+"."+n.Content[i].Value, ".")
			l.collect(n.Content[i+1], key)
			l[key] = n.Content[i].Line
		}
	case yaml.SequenceNode:
		for i, c := range n.Content {
			l.collect(c, path+"["+strconv.Itoa(i)+"]")
		}
	}
}

// Line is where the value at path stands, or the nearest value around it.
func (l Lines) Line(path string) int {
	for {
		if line, ok := l[path]; ok {
			return line
		}
		cut := strings.LastIndexAny(path, ".[")
		if cut < 0 {
			return l[""]
		}
		path = path[:cut]
	}
}
