package main

import (
	"go/ast"
	"go/token"
	"strings"
)

// checkBodies looks at what code calls and says.
func checkBodies(f *file) []breach {
	var found []breach
	ast.Inspect(f.tree, func(n ast.Node) bool {
		switch x := n.(type) {
		case *ast.CallExpr:
			found = append(found, checkCall(f, x)...)
		case *ast.BasicLit:
			if x.Kind == token.STRING && strings.Contains(strings.ToLower(x.Value), failedTo) && !f.isTest() {
				found = append(found, f.breach(x.Pos(), "5.4", "write the act and its object, not that it went wrong"))
			}
		case *ast.FuncDecl:
			if x.Name.Name == "init" && x.Recv == nil {
				found = append(found, f.breach(x.Pos(), "4.8", "no init: wire it in cmd"))
			}
		}
		return true
	})
	return found
}

// failedTo is split so that this file does not hold the words it forbids.
const failedTo = "failed" + " to"

func checkCall(f *file, call *ast.CallExpr) []breach {
	name := calledName(call)
	switch {
	case name == "time.Sleep" && f.isTest():
		return []breach{f.breach(call.Pos(), "8.6", "wait for a condition or use testing/synctest, do not sleep")}
	case (name == "context.Background" || name == "context.TODO") && !f.isTest() && !f.wires():
		return []breach{f.breach(call.Pos(), "6.1", "take ctx from the caller")}
	case name == "panic" && !f.isTest() && !saysBug(call):
		return []breach{f.breach(call.Pos(), "5.7", `panic only for a broken invariant, with "BUG: ..."`)}
	case strings.HasPrefix(name, "prometheus.MustRegister") || strings.HasPrefix(name, "promauto."):
		return []breach{f.breach(call.Pos(), "7.3", "register at the Registerer passed in")}
	case (name == "os.Getenv" || name == "os.LookupEnv") && !f.isTest() && !f.wires():
		return []breach{f.breach(call.Pos(), "1.2", "the environment is read in cmd only")}
	}
	return nil
}

func calledName(call *ast.CallExpr) string {
	switch fun := call.Fun.(type) {
	case *ast.Ident:
		return fun.Name
	case *ast.SelectorExpr:
		if x, ok := fun.X.(*ast.Ident); ok {
			return x.Name + "." + fun.Sel.Name
		}
	}
	return ""
}

// saysBug says whether the first string inside the panic begins with BUG.
func saysBug(call *ast.CallExpr) bool {
	said := false
	ast.Inspect(call, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			said = said || strings.HasPrefix(strings.Trim(lit.Value, "\"`"), "BUG:")
		}
		return true
	})
	return said
}
