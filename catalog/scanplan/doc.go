// Package scanplan plans scans for clients, by the Iceberg REST protocol's planTableScan, fetchPlanningResult and
// fetchScanTasks.
//
//	Request ─► filter of the table's columns ─► table.Plan ─► files with their deletes ─► pages of Result
//
// A client that plans by itself reads every manifest that may matter; here it gets the files. What a page does not hold
// is asked for by plan-tasks.
//
// Invariants:
//   - a plan may name files without a row that matches, and leaves none out that has one: a part of the filter that is
//     not understood counts as true;
//   - a plan is of one snapshot, and each data file in it is in one page, with all the deletes that apply to it;
//   - handles hold all that is needed to make their page again, so they outlive the process and serve behind a
//     balancer; what is kept in memory spares work and nothing else.
package scanplan
