package main

import (
	"go/ast"
	"go/token"
)

// checkVariables finds package variables that some function of their package changes (style 4.8). A
// variable that is set once and only read is a constant that Go cannot spell.
func checkVariables(files []*file) []breach {
	type key struct{ folder, name string }
	variables := map[key]bool{}
	for _, f := range files {
		if f.isTest() {
			continue
		}
		for _, decl := range f.tree.Decls {
			gen, ok := decl.(*ast.GenDecl)
			if !ok || gen.Tok != token.VAR {
				continue
			}
			for _, spec := range gen.Specs {
				for _, name := range spec.(*ast.ValueSpec).Names {
					variables[key{f.folder(), name.Name}] = name.Name != "_"
				}
			}
		}
	}
	var found []breach
	for _, f := range files {
		for _, decl := range f.tree.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if !ok || fn.Body == nil {
				continue
			}
			local := localNames(fn)
			changed(fn.Body, func(ident *ast.Ident) {
				if variables[key{f.folder(), ident.Name}] && !local[ident.Name] {
					found = append(found, f.breach(ident.Pos(), "4.8",
						"%s is a package variable: pass it in", ident.Name))
				}
			})
		}
	}
	return found
}

// changed calls report for the root of everything that body assigns to, increments or takes the address of.
func changed(body *ast.BlockStmt, report func(*ast.Ident)) {
	ast.Inspect(body, func(n ast.Node) bool {
		switch x := n.(type) {
		case *ast.AssignStmt:
			if x.Tok != token.DEFINE {
				for _, left := range x.Lhs {
					reportRoot(left, report)
				}
			}
		case *ast.IncDecStmt:
			reportRoot(x.X, report)
		case *ast.UnaryExpr:
			if x.Op == token.AND {
				reportRoot(x.X, report)
			}
		}
		return true
	})
}

func reportRoot(expr ast.Expr, report func(*ast.Ident)) {
	for {
		switch x := expr.(type) {
		case *ast.Ident:
			report(x)
			return
		case *ast.IndexExpr:
			expr = x.X
		case *ast.ParenExpr:
			expr = x.X
		case *ast.StarExpr:
			expr = x.X
		default: // a field or a call result belongs to something else
			return
		}
	}
}

// localNames lists what a function declares itself: receiver, parameters, results and variables.
func localNames(fn *ast.FuncDecl) map[string]bool {
	names := map[string]bool{}
	fields := func(list *ast.FieldList) {
		if list == nil {
			return
		}
		for _, field := range list.List {
			for _, name := range field.Names {
				names[name.Name] = true
			}
		}
	}
	fields(fn.Recv)
	ast.Inspect(fn, func(n ast.Node) bool {
		switch x := n.(type) {
		case *ast.FuncType:
			fields(x.Params)
			fields(x.Results)
		case *ast.AssignStmt:
			if x.Tok == token.DEFINE {
				for _, left := range x.Lhs {
					if ident, ok := left.(*ast.Ident); ok {
						names[ident.Name] = true
					}
				}
			}
		case *ast.ValueSpec:
			for _, name := range x.Names {
				names[name.Name] = true
			}
		case *ast.RangeStmt:
			for _, expr := range []ast.Expr{x.Key, x.Value} {
				if ident, ok := expr.(*ast.Ident); ok && x.Tok == token.DEFINE {
					names[ident.Name] = true
				}
			}
		}
		return true
	})
	return names
}
