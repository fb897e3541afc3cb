//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// binaryVariable names the environment variable with the program under test.
const binaryVariable = "FIRTH_E2E_BINARY"

func TestMain(m *testing.M) {
	os.Exit(runTests(m))
}

// runTests builds the program under test, unless the environment names one, and runs the tests.
func runTests(m *testing.M) int {
	if os.Getenv(binaryVariable) != "" {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "firth-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary := filepath.Join(dir, "firth")
	if out, err := exec.Command("go", "build", "-o", binary, "../cmd/firth").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build firth: %v\n%s", err, out)
		return 1
	}
	if err := os.Setenv(binaryVariable, binary); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// soak says whether the long form is asked for.
func soak() bool { return os.Getenv("FIRTH_SOAK") != "" }

// either is the value of the short form or of the long one.
func either[T any](short, long T) T {
	if soak() {
		return long
	}
	return short
}
