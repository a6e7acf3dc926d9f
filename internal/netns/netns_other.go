//go:build !linux

package netns

import (
	"os/exec"
	"runtime"
	"testing"
)

// An NS is a network namespace. Only Linux has them.
type NS struct{}

// New skips the test, see [Skip].
func New(t testing.TB) *NS {
	t.Helper()
	Skip(t, "needs a network namespace of its own: %s has none", runtime.GOOS)
	return nil
}

// Do is never reached.
func (n *NS) Do(func()) {}

// Command is never reached.
func (n *NS) Command(name string, args ...string) *exec.Cmd { return exec.Command(name, args...) }

// Output is never reached.
func (n *NS) Output(string, ...string) string { return "" }
