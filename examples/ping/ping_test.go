package main

import (
	"bytes"
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/internal/twostacks"
	"smolnet/phy"
)

// TestPing: the first request, sent before the neighbour is known, is answered
// too.
func TestPing(t *testing.T) {
	_, st := twostacks.New(t, phy.MediumEthernet)
	for _, addr := range []netip.Addr{twostacks.A4.Addr(), twostacks.A6.Addr()} {
		var out bytes.Buffer
		p := pinger{count: 3, interval: 20 * time.Millisecond, size: 56}
		require.NoError(t, p.run(t.Context(), st, addr, &out))
		require.Contains(t, out.String(), "56 bytes from "+addr.String()+": seq=0 time=")
		require.Contains(t, out.String(), "3 sent, 3 received, 0 % lost")
	}
}

func TestPingNobody(t *testing.T) {
	_, st := twostacks.New(t, phy.MediumEthernet)
	var out bytes.Buffer
	p := pinger{count: 1, interval: 20 * time.Millisecond}
	err := p.run(t.Context(), st, netip.MustParseAddr("192.168.69.200"), &out)
	require.ErrorContains(t, err, "no answer")
	require.Contains(t, out.String(), "1 sent, 0 received, 100 % lost")
}

func TestPingEnded(t *testing.T) {
	_, st := twostacks.New(t, phy.MediumEthernet)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	var out bytes.Buffer
	p := pinger{count: maxCount, interval: time.Hour}
	require.NoError(t, p.run(ctx, st, twostacks.A4.Addr(), &out))
	require.Contains(t, out.String(), "1 sent, 1 received")
}

func TestFlags(t *testing.T) {
	for _, args := range [][]string{
		{}, {"nonsense"}, {"-count", "0", "192.168.69.100"}, {"-interval", "-1s", "192.168.69.100"}, {"-size", "9999", "192.168.69.100"},
		{"192.168.69.100"}, // no device
	} {
		require.Error(t, run(t.Context(), args, new(bytes.Buffer)), "%v", args)
	}
}
