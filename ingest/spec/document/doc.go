// Package document reads YAML files that people write: strictly, and with messages that name the
// file, the line, the key, what is wrong and what to write instead.
//
// Text enters, a filled-in struct and the lines of its values leave. Unknown keys, duplicate keys,
// aliases and a second document are faults; all faults of a file are reported at once where the
// parser can go on. References of the form ${NAME} are resolved by a function of the caller, so that
// this package reads neither environment nor files.
//
// Callers: ingest/spec for table specs, cmd for firth.yaml.
package document
