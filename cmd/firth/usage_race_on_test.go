//go:build race

package main

// raceDetector says that these tests run under the race detector, whose own memory and time are several
// times those of the program.
const raceDetector = true
