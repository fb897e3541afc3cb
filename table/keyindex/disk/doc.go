// Package disk is what the key index needs of a file system, and the machine's own. Package disktest has one
// that fails as planned.
package disk
