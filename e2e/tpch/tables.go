package tpch

import (
	"fmt"
	"strings"
)

// Namespace is where Queries look for the tables.
const Namespace = "tpch"

// Table is one of the eight tables.
type Table struct {
	Name    string
	Columns []Column
	// perScale is how many steps of rows the table has at scale 1: rows, or parts and orders that rows belong to.
	perScale int
}

// Column has a type as table specs write it.
type Column struct{ Name, Type string }

// Tables are all tables.
func Tables() []Table {
	return []Table{
		table("region", 0, "regionkey int, name string, comment string"),
		table("nation", 0, "nationkey int, name string, regionkey int, comment string"),
		table("supplier", 10_000, "suppkey long, name string, address string, nationkey int, phone string, "+
			"acctbal money, comment string"),
		table("customer", 150_000, "custkey long, name string, address string, nationkey int, phone string, "+
			"acctbal money, mktsegment string, comment string"),
		table("part", 200_000, "partkey long, name string, mfgr string, brand string, type string, size int, "+
			"container string, retailprice money, comment string"),
		table("partsupp", 200_000, "partkey long, suppkey long, availqty long, supplycost money, comment string"),
		table("orders", 1_500_000, "orderkey long, custkey long, orderstatus string, totalprice money, "+
			"orderdate date, orderpriority string, clerk string, shippriority int, comment string"),
		table("lineitem", 1_500_000, "orderkey long, partkey long, suppkey long, linenumber long, quantity money, "+
			"extendedprice money, discount money, tax money, returnflag string, linestatus string, "+
			"shipdate date, commitdate date, receiptdate date, shipinstruct string, shipmode string, comment string"),
	}
}

// prefix is what the names of a table's columns begin with.
func prefix(table string) string {
	if table == "partsupp" {
		return "ps_"
	}
	return table[:1] + "_"
}

func table(name string, perScale int, columns string) Table {
	t := Table{Name: name, perScale: perScale}
	for column := range strings.SplitSeq(columns, ", ") {
		column, typ, _ := strings.Cut(column, " ")
		if typ == "money" {
			typ = "decimal(15, 2)"
		}
		t.Columns = append(t.Columns, Column{prefix(name) + column, typ})
	}
	return t
}

// Topic is the topic that Spec reads.
func (t Table) Topic() string { return Namespace + "." + t.Name }

// Spec is the table's spec.
func (t Table) Spec() string {
	var columns, names []string
	for _, c := range t.Columns {
		columns = append(columns, fmt.Sprintf("{name: %s, type: %q}", c.Name, c.Type))
		names = append(names, c.Name)
	}
	return fmt.Sprintf("name: %s.%s\nschema: {columns: [%s]}\nsources:\n  - topics: [%s]\n    format: csv\n"+
		"    options: {columns: %q, delimiter: \"|\"}\nfreshness: {interval: 10s}\n",
		Namespace, t.Name, strings.Join(columns, ", "), t.Topic(), strings.Join(names, ", "))
}
