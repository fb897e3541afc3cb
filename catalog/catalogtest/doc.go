// Package catalogtest is the conformance suite of catalog.Store: every implementation passes TestStore.
package catalogtest
