// Package disktest is a disk in memory whose changes fail or are watched as a test plans: what a process
// leaves that is killed in the middle of them is a copy of it.
//
// Callers: tests of what lies on local disks.
package disktest
