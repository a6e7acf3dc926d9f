package compat

import (
	"net"
	"strings"
	"testing"

	"golang.org/x/net/nettest"
)

// TestConn is the net package family's own suite for a net.Conn.
func TestConn(t *testing.T) {
	for _, e := range smolnetEnvs(t) {
		t.Run(strings.ReplaceAll(e.name, " ", "-"), func(t *testing.T) {
			nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
				c1, c2 = e.pair(t)
				return c1, c2, func() { c1.Close(); c2.Close() }, nil
			})
		})
	}
}
