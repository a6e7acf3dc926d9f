package core_test

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/core"
	"smolnet/netstack/errno"
	"smolnet/netstack/packet"
	"smolnet/netstack/tcp"
	"smolnet/netstack/wire"
)

// unreachable makes the ICMP error of a router about a packet of ours.
func unreachable(about []byte, m wire.ICMP) []byte {
	if about[0]>>4 == 4 {
		return icmpPacket(far4, a4, 64, m, about[:28])
	}
	return icmpPacket(netip.MustParseAddr("2001:db8:9::1"), a6, 64, m, about)
}

var (
	port4  = wire.ICMP{Type: wire.ICMPv4Unreachable, Code: wire.ICMPv4PortUnreachable}
	port6  = wire.ICMP{Type: wire.ICMPv6Unreachable, Code: wire.ICMPv6PortUnreachable}
	proto4 = wire.ICMP{Type: wire.ICMPv4Unreachable, Code: wire.ICMPv4ProtUnreachable}
	host4  = wire.ICMP{Type: wire.ICMPv4Unreachable, Code: wire.ICMPv4HostUnreachable}
)

// dialing returns a connection to the stranger in SYN-SENT, and its SYN.
func dialing(t *testing.T, to netip.Addr) (*world, *host, *core.TCP, []byte) {
	w, h := open(t)
	c, err := h.c.DialTCP(w.now, core.DialOptions{Remote: netip.AddrPortFrom(to, 80)})
	require.NoError(t, err)
	w.run()
	return w, h, c, h.one().packet
}

// An error about our SYN ends the attempt, a router's too (RFC 5461 4.1).
func TestUnreachableWhileConnecting(t *testing.T) {
	for _, c := range []struct {
		to   netip.Addr
		m    wire.ICMP
		want errno.Errno
	}{
		{x4, port4, errno.ConnRefused}, {x4, proto4, errno.ProtoNoSupport}, {x6, port6, errno.ConnRefused},
		{x4, host4, errno.HostUnreach}, {x4, wire.ICMP{Type: wire.ICMPv4Unreachable, Code: wire.ICMPv4NetUnreachable}, errno.NetUnreach},
	} {
		w, h, s, about := dialing(t, c.to)
		w.in(h, frameTo(h, unreachable(about, c.m)))
		require.Equal(t, c.want, s.Err())
	}
}

// Errors that do not quote what we have in flight are for nobody.
func TestForgedErrors(t *testing.T) {
	for name, forge := range map[string]func(about []byte) []byte{
		"sequence number": func(b []byte) []byte { b[26] ^= 0x80; return unreachable(b, port4) },
		"local port":      func(b []byte) []byte { b[21] ^= 1; return unreachable(b, port4) },
		"remote port":     func(b []byte) []byte { b[23] ^= 1; return unreachable(b, port4) },
		"remote address":  func(b []byte) []byte { b[19] ^= 1; return unreachable(b, port4) },
		"quotes another":  func(b []byte) []byte { b[15] ^= 1; return unreachable(b, port4) },
		"later fragment":  func(b []byte) []byte { b[7] = 1; return unreachable(b, port4) },
		"quote too short": func(b []byte) []byte { return icmpPacket(far4, a4, 64, port4, b[:27]) },
		"quote of nothing": func(b []byte) []byte {
			return icmpPacket(far4, a4, 64, port4, nil)
		},
		"quoted header too short": func(b []byte) []byte { b[0] = 0x44; return unreachable(b, port4) },
		"about a group":           func(b []byte) []byte { copy(b[16:20], []byte{224, 0, 0, 1}); return unreachable(b, port4) },
		"of an unknown code":      func(b []byte) []byte { return unreachable(b, wire.ICMP{Type: 3, Code: 77}) },
	} {
		t.Run(name, func(t *testing.T) {
			w, h, s, about := dialing(t, x4)
			w.in(h, frameTo(h, forge(about)))
			require.Equal(t, errno.OK, s.Err())
			require.Equal(t, uint64(1), h.c.Stats().ICMPErrorsIn)
			require.Equal(t, 1, h.drops(wire.DropOutOfWindow)+h.drops(wire.DropNoConn)+h.drops(wire.DropBadHeader)+
				h.drops(wire.DropTruncated)+h.drops(wire.DropIgnored))
		})
	}
}

// RFC 1191, RFC 8201 and RFC 5927 7: the path's MTU goes down, for segments in
// flight that were too big, and not below what is sane.
func TestPathMTU(t *testing.T) {
	for _, c := range []struct {
		name string
		to   netip.Addr
		mtu  uint32
		want int // SendMSS afterwards
	}{
		{"IPv4", b4, 1000, 960},
		{"IPv4, old router", b4, 0, 1492 - 40},
		{"IPv4, too small", b4, 68, 296 - 40},
		{"IPv4, no news", b4, 1500, 1460},
		{"IPv6", b6, 1300, 1240},
		{"IPv6, too small", b6, 1279, 1440},
		{"IPv6, no news", b6, 9000, 1440},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, a, b := pair(t)
			s, _, _, _ := connected(t, w, a, b, c.to)
			var about []byte
			a.lose = func(f []byte) bool {
				if len(f) > 1000 && about == nil {
					about = append([]byte(nil), f[wire.EthernetLen:]...)
				}
				return true
			}
			_, err := s.Write(make([]byte, 5000))
			require.NoError(t, err)
			w.run()
			a.lose = nil
			require.NotNil(t, about)
			m := wire.ICMP{Type: wire.ICMPv4Unreachable, Code: wire.ICMPv4FragNeeded, Rest: c.mtu}
			if c.to.Is6() {
				m = wire.ICMP{Type: wire.ICMPv6PacketTooBig, Rest: c.mtu}
				about = about[:600]
			}
			w.in(a, frameTo(a, unreachable(about, m)))
			require.InDelta(t, c.want, s.Conn().Info().SendMSS, 12) // timestamps
			w.pass(1e9)
			require.Equal(t, 5000, b.readable(t))
		})
	}
}

// readable returns the bytes that wait in the host's only connection.
func (h *host) readable(t *testing.T) (n int) {
	h.c.Sockets(func(s core.SocketInfo) bool {
		if s.State == tcp.StateEstablished.String() {
			n += s.TCP.RecvQueue
		}
		return true
	})
	return n
}

// Connected UDP sockets hear that the port is closed, once, from Read or
// Write; others do not.
func TestUDPRefused(t *testing.T) {
	for _, to := range []netip.Addr{b4, b6} {
		w, a, _ := pair(t)
		remote := netip.AddrPortFrom(to, 9)
		u := &user{}
		c, err := a.c.OpenUDP(w.now, core.UDPOptions{Remote: remote, Waiter: u})
		require.NoError(t, err)
		other, err := a.c.OpenUDP(w.now, core.UDPOptions{})
		require.NoError(t, err)
		require.NoError(t, other.WriteTo([]byte("x"), packet.Meta{Remote: remote}))
		require.NoError(t, c.WriteTo([]byte("x"), packet.Meta{}))
		w.run()
		require.NotZero(t, u.take()&tcp.EventFailed)
		_, _, _, err = c.ReadFrom(make([]byte, 9))
		require.Equal(t, errno.ConnRefused, err)
		_, _, _, err = c.ReadFrom(make([]byte, 9))
		require.Equal(t, errno.WouldBlock, err)
		_, _, _, err = other.ReadFrom(make([]byte, 9))
		require.Equal(t, errno.WouldBlock, err)
		require.NoError(t, c.WriteTo([]byte("x"), packet.Meta{}))
		w.run()
		require.Equal(t, errno.ConnRefused, c.WriteTo([]byte("x"), packet.Meta{}))
		require.NoError(t, c.WriteTo([]byte("x"), packet.Meta{}))
	}
}

// An echo socket gets replies, and errors in the place of replies.
func TestPing(t *testing.T) {
	for _, c := range []struct {
		to, dead netip.Addr
		m        wire.ICMP
	}{{b4, x4, host4}, {b6, x6, wire.ICMP{Type: wire.ICMPv6Unreachable, Code: wire.ICMPv6AddrUnreachable}}} {
		w, a, _ := pair(t)
		any := netip.IPv6Unspecified()
		if c.to.Is4() {
			any = netip.IPv4Unspecified()
		}
		p, err := a.c.OpenPing(w.now, core.PingOptions{Local: any})
		require.NoError(t, err)
		buf := make([]byte, 99)
		require.NoError(t, p.WriteTo([]byte("data"), packet.Meta{Remote: netip.AddrPortFrom(c.to, 3), HopLimit: 9}))
		w.run()
		n, _, m, err := p.ReadFrom(buf)
		require.NoError(t, err)
		require.Equal(t, "data", string(buf[:n]))
		require.Equal(t, netip.AddrPortFrom(c.to, 3), m.Remote)

		// One who does not answer, and others all the same.
		require.NoError(t, p.WriteTo([]byte("data"), packet.Meta{Remote: netip.AddrPortFrom(c.dead, 4)}))
		require.NoError(t, p.WriteTo([]byte("data"), packet.Meta{Remote: netip.AddrPortFrom(c.to, 5)}))
		w.run()
		_, _, m, err = p.ReadFrom(buf)
		require.NoError(t, err)
		require.Equal(t, uint16(5), m.Remote.Port())
		w.pass(5e9)
		_, _, m, err = p.ReadFrom(buf)
		require.Equal(t, errno.HostUnreach, err)
		require.Equal(t, netip.AddrPortFrom(c.dead, 4), m.Remote)
		p.Close()
		w.run()
		require.Zero(t, a.c.Stats().PingSockets)
		_, _, _, err = p.ReadFrom(buf)
		require.Equal(t, errno.Closed, err)
		require.Equal(t, errno.Closed, p.WriteTo(nil, packet.Meta{}))
	}
}
