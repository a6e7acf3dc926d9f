package main

import (
	"bytes"
	"io"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"smolnet/internal/twostacks"
	"smolnet/listener"
	"smolnet/phy"
)

func TestTalk(t *testing.T) {
	server, client := twostacks.New(t, phy.MediumEthernet)
	addr := netip.AddrPortFrom(twostacks.A4.Addr(), 1234).String()
	l, err := listener.Listen(server, "tcp", addr)
	require.NoError(t, err)
	defer l.Close()
	var out bytes.Buffer
	done := make(chan error, 1)
	go func() { done <- talk(t.Context(), client, addr, &out) }()

	c, err := l.Accept()
	require.NoError(t, err)
	_, err = io.WriteString(c, "stressed")
	require.NoError(t, err)
	b := make([]byte, 8)
	_, err = io.ReadFull(c, b)
	require.NoError(t, err)
	require.Equal(t, "desserts", string(b))
	require.NoError(t, c.Close())
	require.NoError(t, <-done)
	require.Equal(t, "received \"stressed\"\n", out.String())
}

func TestRefused(t *testing.T) {
	_, client := twostacks.New(t, phy.MediumEthernet)
	err := talk(t.Context(), client, netip.AddrPortFrom(twostacks.A4.Addr(), 9).String(), io.Discard)
	require.ErrorContains(t, err, "connection refused")
}
