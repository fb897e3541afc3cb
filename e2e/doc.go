// Package e2e runs the firth binary against real servers and reads what it wrote with other engines.
//
// components starts and stops the servers that e2e/install.sh put into the cache folder; the tests
// carry the build tag e2e. docs/testing.md says which promise is proved by which test.
package e2e
