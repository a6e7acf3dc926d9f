package dialer_test

import (
	"context"
	"net"
	"os"
	"testing"
)

// TestMain uses Go's resolver once outside of every bubble of testing/synctest:
// the first use makes a channel that package net keeps for all later ones.
func TestMain(m *testing.M) {
	r := net.Resolver{PreferGo: true}
	_, _ = r.LookupHost(context.Background(), "localhost")
	os.Exit(m.Run())
}
