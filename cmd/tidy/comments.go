package main

import (
	"go/ast"
	"regexp"
)

var unfinished = regexp.MustCompile(`\b(TODO|FIXME|XXX|HACK)\b`)

// checkComments wants a sentence at every exported name and no unfinished business (style 9.1, 9.2).
func checkComments(f *file) []breach {
	var found []breach
	for _, group := range f.tree.Comments {
		for _, comment := range group.List {
			if word := unfinished.FindString(comment.Text); word != "" {
				found = append(found, f.breach(comment.Pos(), "9.2", "%s in a comment: do it, or drop it", word))
			}
		}
	}
	if f.isTest() || f.tree.Name.Name == "main" {
		return found
	}
	for _, decl := range f.tree.Decls {
		found = append(found, undocumented(f, decl)...)
	}
	return found
}

func undocumented(f *file, decl ast.Decl) []breach {
	var found []breach
	report := func(name *ast.Ident) {
		found = append(found, f.breach(name.Pos(), "9.1", "exported %s has no sentence", name.Name))
	}
	switch d := decl.(type) {
	case *ast.FuncDecl:
		if d.Name.IsExported() && d.Doc == nil && receiverExported(d) && !expected[d.Name.Name] {
			report(d.Name)
		}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch s := spec.(type) {
			case *ast.TypeSpec:
				if s.Name.IsExported() && d.Doc == nil && s.Doc == nil {
					report(s.Name)
				}
			case *ast.ValueSpec:
				if s.Names[0].IsExported() && d.Doc == nil && s.Doc == nil && s.Comment == nil {
					report(s.Names[0])
				}
			}
		}
	}
	return found
}

// expected are methods of well-known interfaces, whose meaning their interface tells.
var expected = map[string]bool{"Error": true, "Unwrap": true, "Is": true, "String": true, "Len": true, "Less": true,
	"Swap": true, "Read": true, "Close": true, "ServeHTTP": true, "MarshalJSON": true, "UnmarshalJSON": true,
	"MarshalText": true, "UnmarshalText": true, "UnmarshalYAML": true, "ReadFrom": true, "Write": true}

func receiverExported(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return true
	}
	t := d.Recv.List[0].Type
	for {
		switch x := t.(type) {
		case *ast.StarExpr:
			t = x.X
		case *ast.IndexExpr:
			t = x.X
		case *ast.IndexListExpr:
			t = x.X
		case *ast.Ident:
			return x.IsExported()
		default:
			return true
		}
	}
}
