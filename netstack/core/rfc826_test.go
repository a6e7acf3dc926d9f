package core_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/core"
	"smolnet/netstack/wire"
)

// knows returns what the host has in its neighbour tables for an address.
func (h *host) knows(a netip.Addr) (wire.HardwareAddr, string) {
	for _, n := range h.c.Neighbors() {
		if n.Addr == a {
			return n.HW, n.State
		}
	}
	return wire.HardwareAddr{}, ""
}

func TestARPReply(t *testing.T) {
	w, h := alone(t)
	w.in(h, arpFrame(wire.Broadcast, wire.ARP{Op: wire.ARPRequest, SenderHW: hwX, SenderIP: x4, TargetIP: a4}))
	got := h.one()
	require.Equal(t, wire.Ethernet{Dst: hwX, Src: hwA, Type: wire.EtherTypeARP}, got.eth)
	require.Equal(t, wire.ARP{Op: wire.ARPReply, SenderHW: hwA, SenderIP: a4, TargetHW: hwX, TargetIP: x4}, got.arp)
	hw, state := h.knows(x4)
	require.Equal(t, hwX, hw)
	require.Equal(t, "stale", state)
}

// RFC 5227 1.1: a probe is answered, and nothing is learned from it.
func TestARPProbeIsAnswered(t *testing.T) {
	w, h := alone(t)
	zero := netip.IPv4Unspecified()
	w.in(h, arpFrame(wire.Broadcast, wire.ARP{Op: wire.ARPRequest, SenderHW: hwX, SenderIP: zero, TargetIP: a4}))
	require.Equal(t, wire.ARP{Op: wire.ARPReply, SenderHW: hwA, SenderIP: a4, TargetHW: hwX, TargetIP: zero}, h.one().arp)
	require.Empty(t, h.c.Neighbors())
}

// What is not for us makes no entry, but changes the one there is.
func TestARPGratuitous(t *testing.T) {
	w, h := alone(t)
	announce := arpFrame(wire.Broadcast, wire.ARP{Op: wire.ARPRequest, SenderHW: hwX, SenderIP: x4, TargetIP: x4})
	w.in(h, announce)
	require.Empty(t, h.c.Neighbors())
	require.Empty(t, h.take())
	w.know(h, x4)
	moved := wire.ARP{Op: wire.ARPRequest, SenderHW: hwB, SenderIP: x4, TargetIP: x4}
	w.in(h, arpFrame(wire.Broadcast, moved))
	hw, _ := h.knows(x4)
	require.Equal(t, hwB, hw)
	moved.Op, moved.SenderHW = wire.ARPReply, hwX
	w.in(h, arpFrame(wire.Broadcast, moved))
	hw, _ = h.knows(x4)
	require.Equal(t, hwX, hw)
}

// Nothing that an ARP packet can say breaks the way to a neighbour, or makes an
// entry that is none.
func TestARPPoison(t *testing.T) {
	for _, c := range []struct {
		name string
		a    wire.ARP
		drop wire.Drop
	}{
		{"broadcast sender", wire.ARP{Op: wire.ARPReply, SenderHW: wire.Broadcast, SenderIP: x4, TargetIP: a4}, wire.DropMartianSource},
		{"multicast sender", wire.ARP{Op: wire.ARPRequest, SenderHW: wire.HardwareAddr{1, 0, 0x5e, 0, 0, 1}, SenderIP: x4, TargetIP: a4}, wire.DropMartianSource},
		{"zero sender", wire.ARP{Op: wire.ARPRequest, SenderIP: x4, TargetIP: a4}, wire.DropMartianSource},
		{"our link address", wire.ARP{Op: wire.ARPRequest, SenderHW: hwA, SenderIP: x4, TargetIP: a4}, wire.DropMartianSource},
		{"our own address", wire.ARP{Op: wire.ARPRequest, SenderHW: hwB, SenderIP: a4, TargetIP: a4}, wire.DropMartianSource},
		{"loopback", wire.ARP{Op: wire.ARPRequest, SenderHW: hwB, SenderIP: netip.MustParseAddr("127.0.0.1"), TargetIP: a4}, wire.DropMartianSource},
		{"broadcast address", wire.ARP{Op: wire.ARPRequest, SenderHW: hwB, SenderIP: netip.MustParseAddr("192.0.2.255"), TargetIP: a4}, wire.DropMartianSource},
		{"group", wire.ARP{Op: wire.ARPRequest, SenderHW: hwB, SenderIP: netip.MustParseAddr("224.0.0.5"), TargetIP: a4}, wire.DropMartianSource},
		{"unasked reply", wire.ARP{Op: wire.ARPReply, SenderHW: hwB, SenderIP: b4, TargetHW: hwA, TargetIP: a4}, wire.DropNone},
		{"not on the link", wire.ARP{Op: wire.ARPRequest, SenderHW: hwB, SenderIP: netip.MustParseAddr("198.51.100.1"), TargetIP: a4}, wire.DropNone},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, h := alone(t)
			w.know(h, x4)
			f := arpFrame(hwA, c.a)
			copy(f[6:12], hwX[:]) // the frame's own source is good
			w.in(h, f)
			require.Len(t, h.c.Neighbors(), 1)
			hw, _ := h.knows(x4)
			require.Equal(t, hwX, hw)
			if c.drop != wire.DropNone {
				require.Equal(t, 1, h.drops(c.drop))
				require.Empty(t, h.take())
			}
		})
	}
}

func TestARPMalformed(t *testing.T) {
	w, h := alone(t)
	good := arpFrame(hwA, wire.ARP{Op: wire.ARPRequest, SenderHW: hwX, SenderIP: x4, TargetIP: a4})
	for n := range good {
		w.in(h, good[:n])
	}
	for at := 14; at < 20; at++ { // hardware and protocol types and lengths
		bad := append([]byte(nil), good...)
		bad[at] ^= 1
		w.in(h, bad)
	}
	require.Empty(t, h.take())
	require.Empty(t, h.c.Neighbors())
	require.Equal(t, 6, h.drops(wire.DropBadHeader))
	require.Equal(t, len(good), h.drops(wire.DropTruncated))
}

// RFC 1122 2.3.2.2, and the first ping is not lost: the reply waits for the
// answer to our ARP request.
func TestReplyWaitsForNeighbor(t *testing.T) {
	w, h := alone(t)
	w.in(h, frameTo(h, icmpPacket(x4, a4, 64, wire.ICMP{Type: wire.ICMPv4Echo, Rest: 7<<16 | 1}, []byte("data"))))
	ask := h.one()
	require.Equal(t, wire.Broadcast, ask.eth.Dst)
	require.Equal(t, wire.ARP{Op: wire.ARPRequest, SenderHW: hwA, SenderIP: a4, TargetIP: x4}, ask.arp)
	w.in(h, arpFrame(hwA, wire.ARP{Op: wire.ARPReply, SenderHW: hwX, SenderIP: x4, TargetHW: hwA, TargetIP: a4}))
	got := h.one()
	require.Equal(t, hwX, got.eth.Dst)
	require.Equal(t, wire.ICMP{Type: wire.ICMPv4EchoReply, Checksum: got.icmp.Checksum, Rest: 7<<16 | 1}, got.icmp)
	require.Equal(t, "data", string(got.data))
}

// RFC 5227 2.3 and RFC 4861 7.2.6: a new address is announced.
func TestAnnouncement(t *testing.T) {
	h := newHost(t, hwA, prefixes("192.0.2.1/24", "2001:db8::1/64"))
	newWorld(t, h)
	out := h.take()
	require.Len(t, out, 3) // the link-local address too
	arp := parse(t, out[0])
	require.Equal(t, wire.Broadcast, arp.eth.Dst)
	require.Equal(t, wire.ARP{Op: wire.ARPRequest, SenderHW: hwA, SenderIP: a4, TargetIP: a4}, arp.arp)
	for i, a := range []netip.Addr{a6, llA} {
		s := parse(t, out[1+i])
		require.Equal(t, netip.MustParseAddr("ff02::1"), s.dst)
		require.Equal(t, a, s.src)
		require.Equal(t, uint8(255), s.hop)
		n, err := wire.ParseNeighbor(s.payload)
		require.NoError(t, err)
		require.Equal(t, wire.Neighbor{Type: wire.ICMPv6NeighborAdvert, Override: true, Target: a, LinkAddr: hwA, HasLink: true}, n)
	}
}

// A full table still answers, and still resolves what is wanted.
func TestNeighborTableFull(t *testing.T) {
	w, h := alone(t, func(c *core.Config, _ *core.InterfaceConfig) { c.Limits.Neighbors = 8 })
	for i := range 100 {
		from := netip.AddrFrom4([4]byte{192, 0, 2, byte(100 + i)})
		w.in(h, arpFrame(hwA, wire.ARP{Op: wire.ARPRequest, SenderHW: hwX, SenderIP: from, TargetIP: a4}))
	}
	require.Len(t, h.take(), 100)
	require.Len(t, h.c.Neighbors(), 8)
	require.Equal(t, uint64(92), h.c.Stats().NeighborsEvicted)
	w.in(h, frameTo(h, icmpPacket(x4, a4, 64, wire.ICMP{Type: wire.ICMPv4Echo}, nil)))
	require.Equal(t, x4, h.one().arp.TargetIP)
	w.pass(time.Minute)
	require.LessOrEqual(t, len(h.c.Neighbors()), 8)
}
