//go:build !linux

package netns

import (
	"fmt"
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

// Open returns an error: there are no namespaces here.
func Open() (*NS, error) {
	return nil, fmt.Errorf("needs a network namespace of its own: %s has none", runtime.GOOS)
}

// Close is never reached.
func (n *NS) Close() error { return nil }

// Enter is never reached.
func (n *NS) Enter() (leave func() error, err error) { return func() error { return nil }, nil }

// Do is never reached.
func (n *NS) Do(func()) {}

// Command is never reached.
func (n *NS) Command(name string, args ...string) *exec.Cmd { return exec.Command(name, args...) }

// Output is never reached.
func (n *NS) Output(string, ...string) string { return "" }
