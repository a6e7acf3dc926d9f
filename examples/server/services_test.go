package main

import (
	"context"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/dialer"
	"smolnet/internal/twostacks"
	"smolnet/phy"
)

// TestServices talks to every service once.
func TestServices(t *testing.T) {
	server, client := twostacks.New(t, phy.MediumEthernet)
	ctx, cancel := context.WithCancel(t.Context())
	o, err := open(server)
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- o.serve(ctx) }()
	d := dialer.Dialer{Stack: client, Timeout: 10 * time.Second}
	dial := func(network, port string) net.Conn {
		t.Helper()
		c, err := d.Dial(network, twostacks.A4.Addr().String()+port)
		require.NoError(t, err)
		t.Cleanup(func() { c.Close() })
		require.NoError(t, c.SetDeadline(time.Now().Add(20*time.Second)))
		return c
	}
	b := make([]byte, 10)

	greeting, err := io.ReadAll(dial("tcp", ":6969"))
	require.NoError(t, err)
	require.Equal(t, "hello\n", string(greeting))

	rev := dial("tcp", ":6970")
	_, err = io.WriteString(rev, "smolnet")
	require.NoError(t, err)
	_, err = io.ReadFull(rev, b[:7])
	require.NoError(t, err)
	require.Equal(t, "tenloms", string(b[:7]))

	sink := dial("tcp", ":6971")
	n, err := sink.Write(make([]byte, 1<<20))
	require.NoError(t, err)
	require.Equal(t, 1<<20, n)

	digits := dial("tcp", ":6972")
	_, err = io.ReadFull(digits, b)
	require.NoError(t, err)
	require.Equal(t, "0123456789", string(b))

	udp := dial("udp", ":6969")
	_, err = io.WriteString(udp, "datagram")
	require.NoError(t, err)
	n, err = udp.Read(b)
	require.NoError(t, err)
	require.Equal(t, "margatad", string(b[:n]))

	cancel()
	require.NoError(t, <-served)
}
