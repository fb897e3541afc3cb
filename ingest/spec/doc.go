// Package spec is what a person says about one table: a YAML file with its name, schema, partitions,
// sources and policies.
//
// Text enters through Parse, a Spec leaves: defaults filled in, every fault of the file reported at
// once with its file, line and remedy. A Spec gives the Iceberg schema, partition spec and sort
// order of the table it describes, and Diff says what would have to be done to a table that stands
// (create, evolve, refuse, none), as a value that can be printed and tested without a catalog.
//
//	events.yaml ─► Parse ─► Spec ─► Schema, PartitionSpec, SortOrder, Filter
//	                         Spec + *table.Table ─► Diff ─► Plan (actions with reasons)
//
// Everything here is pure: no file, no network, no clock. Callers: cmd, which reads the files and
// carries out the plan, and ingest, which is configured by a Spec.
//
// Invariants:
//   - a Spec that Parse returned is valid: its schema, partition spec and sort order can be built,
//     unless the schema comes from a registry or a sample (Spec.Columns is empty then);
//   - unknown keys are errors, so a misspelt policy is never silently the default;
//   - Diff never proposes a step that changes what old rows say.
package spec
