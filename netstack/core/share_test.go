package core_test

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/core"
	"smolnet/netstack/errno"
)

// A share is the flows from ports, and the echoes, whose remainder it is.
type share struct{ modulus, rest uint16 }

func (s share) Flow(local, remote netip.AddrPort) bool {
	return remote.IsValid() && local.Addr().IsValid() && local.Port()%s.modulus == s.rest
}

func (s share) Echo(id uint16) bool { return id%s.modulus == s.rest }

// TestShare: ports and identifiers that nobody asked for are those whose answers
// arrive here; others are the asker's business.
func TestShare(t *testing.T) {
	h := newHost(t, hwA, prefixes("192.0.2.1/24"), func(cfg *core.Config, _ *core.InterfaceConfig) {
		cfg.Share = share{16, 5}
	})
	to := netip.AddrPortFrom(b4, 80)
	const ports = 16384 / 16 // of the ephemeral ones
	for range ports {
		s, err := h.c.DialTCP(epoch, core.DialOptions{Remote: to})
		require.NoError(t, err)
		require.EqualValues(t, 5, s.LocalAddr().Port()%16)
		u, err := h.c.OpenUDP(epoch, core.UDPOptions{Remote: to})
		require.NoError(t, err)
		require.EqualValues(t, 5, u.LocalAddr().Port()%16)
	}
	_, err := h.c.DialTCP(epoch, core.DialOptions{Remote: to})
	require.ErrorIs(t, err, errno.AddrNotAvail, "no port is left that is ours")
	_, err = h.c.OpenUDP(epoch, core.UDPOptions{Remote: to})
	require.ErrorIs(t, err, errno.AddrNotAvail)

	s, err := h.c.DialTCP(epoch, core.DialOptions{Local: netip.AddrPortFrom(a4, 4000), Remote: to})
	require.NoError(t, err)
	require.EqualValues(t, 4000, s.LocalAddr().Port())
	_, err = h.c.OpenUDP(epoch, core.UDPOptions{})
	require.NoError(t, err, "who is not connected has no flow")

	for range 100 {
		p, err := h.c.OpenPing(epoch, core.PingOptions{Local: a4})
		require.NoError(t, err)
		require.EqualValues(t, 5, p.ID()%16)
	}
}

// TestShareOfNothing: a search for an identifier ends.
func TestShareOfNothing(t *testing.T) {
	h := newHost(t, hwA, prefixes("192.0.2.1/24"), func(cfg *core.Config, _ *core.InterfaceConfig) {
		cfg.Share = share{1, 1}
	})
	_, err := h.c.OpenPing(epoch, core.PingOptions{Local: a4})
	require.ErrorIs(t, err, errno.NoBufs)
}
