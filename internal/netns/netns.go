// Package netns gives a test network namespaces of its own, in which it may
// create TUN and TAP devices, addresses and routes without touching the
// machine's, and run programs (ping, curl, iperf3) as the peer.
//
//	ns := netns.New(t) // skips the test without the right to make one
//	ns.Do(func() {
//		tap, err := phy.OpenTAP("tap0", phy.TunConfig{})
//		...
//	})
//	out := ns.Output("ping", "-c1", "10.0.0.2")
//
// A namespace lives until its test has ended. Sockets and devices opened
// inside Do stay in the namespace wherever they are used afterwards.
//
// Tests that need the right are skipped where it is missing, with the reason;
// with [RequireRoot] set in the environment they fail instead, so that a run
// that is meant to cover them cannot pass without.
package netns

import (
	"os"
	"os/exec"
	"testing"
)

// RequireRoot is the environment variable that, set to 1, turns the skips of
// this package into failures.
const RequireRoot = "SMOLNET_REQUIRE_ROOT"

// Skip ends the test because the machine lacks what it needs: as skipped, or
// as failed if [RequireRoot] is 1.
func Skip(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv(RequireRoot) == "1" {
		t.Fatalf(RequireRoot+"=1: "+format, args...)
	}
	t.Skipf(format, args...)
}

// NeedPrograms ends the test like [Skip] if one of the programs is not
// installed.
func NeedPrograms(t testing.TB, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := exec.LookPath(name); err != nil {
			Skip(t, "needs the program %s: %v", name, err)
		}
	}
}
