package phy_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/wire"
	"smolnet/phy"
)

// Addresses of the tables below.
var (
	fan4, far4 = netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("198.51.100.7")
	fan6, far6 = netip.MustParseAddr("fd00::1"), netip.MustParseAddr("2001:db8::7")
	router4    = netip.MustParseAddr("203.0.113.254")
	router6    = netip.MustParseAddr("2001:db8:ff::1")
)

// ipv4 and ipv6 return a packet of a protocol around a payload.
func ipv4(src, dst netip.Addr, proto wire.Protocol, payload ...byte) []byte {
	b := make([]byte, wire.IPv4Len, wire.IPv4Len+len(payload))
	h := wire.IPv4{TotalLen: uint16(wire.IPv4Len + len(payload)), TTL: 64, Protocol: proto, Src: src, Dst: dst}
	h.Put(b)
	return append(b, payload...)
}

func ipv6(src, dst netip.Addr, proto wire.Protocol, payload ...byte) []byte {
	b := make([]byte, wire.IPv6Len, wire.IPv6Len+len(payload))
	h := wire.IPv6{PayloadLen: uint16(len(payload)), NextHeader: proto, HopLimit: 255, Src: src, Dst: dst}
	h.Put(b)
	return append(b, payload...)
}

// ports returns the start of a TCP or UDP header, and enough of the rest.
func ports(src, dst uint16) []byte {
	return append([]byte{byte(src >> 8), byte(src), byte(dst >> 8), byte(dst)}, make([]byte, 16)...)
}

// icmp returns an ICMP message.
func icmp(typ uint8, id uint16, body ...byte) []byte {
	return append([]byte{typ, 0, 0, 0, byte(id >> 8), byte(id), 0, 0}, body...)
}

// flowsOf returns a UDP datagram for each device of f, its number in the fourth
// octet of 8 data octets.
func flowsOf(f *phy.Fanout, n int) [][]byte {
	flows := make([][]byte, n)
	for port, found := uint16(1), 0; found < n; port++ {
		i := f.Owner(netip.AddrPortFrom(far4, port), netip.AddrPortFrom(fan4, 53))
		if flows[i] == nil {
			flows[i] = ipv4(far4, fan4, wire.ProtoUDP, append(ports(port, 53)[:8], 0, 0, 0, byte(i), 0, 0, 0, 0)...)
			found++
		}
	}
	return flows
}

// receivers sends a frame to queue at and returns the devices that receive it.
func receivers(t *testing.T, f *phy.Fanout, peers []phy.Device, at int, frame []byte) (who []int) {
	t.Helper()
	send(t, peers[at], frame)
	devs := f.Devices()
	for i := range devs { // first the one where it arrived
		i = (at + i) % len(devs)
		fr, err := devs[i].Receive()
		if errors.Is(err, phy.ErrWouldBlock) {
			continue
		}
		require.NoError(t, err)
		require.Equal(t, frame, fr.Data)
		who = append(who, i)
		_, err = devs[i].Receive()
		require.ErrorIs(t, err, phy.ErrWouldBlock)
	}
	return who
}

// TestFanoutRoutesIP: who receives which packet, wherever it arrives.
func TestFanoutRoutesIP(t *testing.T) {
	const n = 7
	f, peers := fanout(t, n, phy.PipeConfig{Medium: phy.MediumIP}, fanKey)
	owner := func(src netip.Addr, sport uint16, dst netip.Addr, dport uint16) int {
		return f.Owner(netip.AddrPortFrom(src, sport), netip.AddrPortFrom(dst, dport))
	}
	fragment4 := ipv4(far4, fan4, wire.ProtoUDP, ports(1000, 53)...)
	fragment4[6] = 0x20 // more fragments follow
	options := ipv4(far4, fan4, wire.ProtoTCP, append([]byte{1, 1, 1, 0}, ports(1000, 80)...)...)
	options[0]++
	quote4 := ipv4(fan4, far4, wire.ProtoTCP, ports(40000, 443)[:8]...)
	quote6 := ipv6(fan6, far6, wire.ProtoUDP, ports(40000, 443)...)
	hop := append([]byte{byte(wire.ProtoTCP), 0, 1, 4, 0, 0, 0, 0}, ports(1000, 80)...)
	whole6 := append([]byte{byte(wire.ProtoTCP), 0, 0, 0, 0, 0, 0, 1}, ports(1000, 80)...)
	part6 := append([]byte{byte(wire.ProtoTCP), 0, 0, 8, 0, 0, 0, 1}, ports(1000, 80)...)
	group6 := netip.MustParseAddr("ff02::1")
	const all, here = -1, -2
	for _, c := range []struct {
		name   string
		packet []byte
		want   int
	}{
		{"TCP", ipv4(far4, fan4, wire.ProtoTCP, ports(1000, 80)...), owner(far4, 1000, fan4, 80)},
		{"UDP", ipv4(far4, fan4, wire.ProtoUDP, ports(1001, 53)...), owner(fan4, 53, far4, 1001)},
		{"TCP behind options", options, owner(far4, 1000, fan4, 80)},
		{"TCP, IPv6", ipv6(far6, fan6, wire.ProtoTCP, ports(1000, 80)...), owner(far6, 1000, fan6, 80)},
		{"UDP, IPv6", ipv6(far6, fan6, wire.ProtoUDP, ports(1001, 53)...), owner(far6, 1001, fan6, 53)},
		{"TCP behind hop-by-hop options", ipv6(far6, fan6, wire.ProtoHopByHop, hop...), owner(far6, 1000, fan6, 80)},
		{"TCP, a whole in a fragment", ipv6(far6, fan6, wire.ProtoFragment, whole6...), owner(far6, 1000, fan6, 80)},
		{"fragment, IPv6", ipv6(far6, fan6, wire.ProtoFragment, part6...), owner(far6, 0, fan6, 0)},
		{"fragment", fragment4, owner(far4, 0, fan4, 0)},
		{"another protocol", ipv4(far4, fan4, 132, 1, 2, 3), owner(far4, 0, fan4, 0)},
		{"another protocol, IPv6", ipv6(far6, fan6, 132, 1, 2, 3), owner(far6, 0, fan6, 0)},

		{"echo", ipv4(far4, fan4, wire.ProtoICMPv4, icmp(wire.ICMPv4Echo, 77)...), f.EchoOwner(77)},
		{"echo reply", ipv4(far4, fan4, wire.ProtoICMPv4, icmp(wire.ICMPv4EchoReply, 78)...), f.EchoOwner(78)},
		{"echo, IPv6", ipv6(far6, fan6, wire.ProtoICMPv6, icmp(wire.ICMPv6Echo, 79)...), f.EchoOwner(79)},
		{"timestamp request", ipv4(far4, fan4, wire.ProtoICMPv4, icmp(13, 79)...), 0},
		{"error about TCP", ipv4(router4, fan4, wire.ProtoICMPv4, icmp(wire.ICMPv4Unreachable, 0, quote4...)...), owner(fan4, 40000, far4, 443)},
		{"error about UDP, IPv6", ipv6(router6, fan6, wire.ProtoICMPv6, icmp(wire.ICMPv6PacketTooBig, 0, quote6...)...), owner(fan6, 40000, far6, 443)},
		{"error about echo", ipv4(router4, fan4, wire.ProtoICMPv4, icmp(wire.ICMPv4TimeExceeded, 0,
			ipv4(fan4, far4, wire.ProtoICMPv4, icmp(wire.ICMPv4Echo, 80)...)...)...), f.EchoOwner(80)},
		{"error about echo, IPv6", ipv6(router6, fan6, wire.ProtoICMPv6, icmp(wire.ICMPv6TimeExceeded, 0,
			ipv6(fan6, far6, wire.ProtoICMPv6, icmp(wire.ICMPv6Echo, 81)...)...)...), f.EchoOwner(81)},
		{"error about half a header", ipv4(router4, fan4, wire.ProtoICMPv4, icmp(wire.ICMPv4Unreachable, 0, quote4[:10]...)...), 0},
		{"error about no ports", ipv4(router4, fan4, wire.ProtoICMPv4, icmp(wire.ICMPv4Unreachable, 0, quote4[:22]...)...), owner(fan4, 0, far4, 0)},

		{"multicast", ipv4(far4, netip.MustParseAddr("224.0.0.251"), wire.ProtoUDP, ports(5353, 5353)...), 0},
		{"broadcast", ipv4(far4, netip.MustParseAddr("255.255.255.255"), wire.ProtoUDP, ports(68, 67)...), 0},
		{"multicast, IPv6", ipv6(far6, group6, wire.ProtoUDP, ports(5353, 5353)...), 0},
		{"echo to a group", ipv6(far6, group6, wire.ProtoICMPv6, icmp(wire.ICMPv6Echo, 79)...), 0},
		{"neighbour solicitation", ipv6(far6, fan6, wire.ProtoICMPv6, icmp(wire.ICMPv6NeighborSolicit, 0)...), 0},
		{"neighbour advertisement", ipv6(far6, fan6, wire.ProtoICMPv6, icmp(wire.ICMPv6NeighborAdvert, 0)...), all},
		{"advertisement to all", ipv6(far6, group6, wire.ProtoICMPv6, icmp(wire.ICMPv6NeighborAdvert, 0)...), all},
		{"router advertisement", ipv6(far6, group6, wire.ProtoICMPv6, icmp(wire.ICMPv6RouterAdvert, 0)...), all},

		{"no ports", ipv4(far4, fan4, wire.ProtoTCP, 1, 2), here},
		{"half a header", ipv4(far4, fan4, wire.ProtoTCP)[:12], here},
		{"half a header, IPv6", ipv6(far6, fan6, wire.ProtoTCP)[:39], here},
		{"bad extension header", ipv6(far6, fan6, wire.ProtoRouting, 6), here},
		{"no ICMP", ipv6(far6, fan6, wire.ProtoICMPv6, 128), here},
		{"another version", []byte{0x50, 0}, here},
	} {
		t.Run(c.name, func(t *testing.T) {
			for at := range n {
				want := []int{c.want}
				switch c.want {
				case here:
					want[0] = at
				case all:
					want = want[:0]
					for i := range n {
						want = append(want, (at+i)%n)
					}
				}
				require.Equal(t, want, receivers(t, f, peers, at, c.packet), "arrived at %d", at)
			}
		})
	}
}

// TestFanoutRoutesEthernet: ARP and what is addressed to groups of the link.
func TestFanoutRoutesEthernet(t *testing.T) {
	const n, all, here = 3, -1, -2
	f, peers := fanout(t, n, phy.PipeConfig{}, fanKey)
	us, they := wire.HardwareAddr{2, 0, 0, 0, 0, 1}, wire.HardwareAddr{2, 0, 0, 0, 0, 2}
	frame := func(dst wire.HardwareAddr, typ wire.EtherType, body []byte) []byte {
		b := make([]byte, wire.EthernetLen, wire.EthernetLen+len(body))
		h := wire.Ethernet{Dst: dst, Src: they, Type: typ}
		h.Put(b)
		return append(b, body...)
	}
	arp := func(op wire.ARPOp, target netip.Addr) []byte {
		b := make([]byte, wire.ARPLen)
		h := wire.ARP{Op: op, SenderHW: they, SenderIP: far4, TargetIP: target}
		h.Put(b)
		return b
	}
	tcp := ipv4(far4, fan4, wire.ProtoTCP, ports(1000, 80)...)
	for _, c := range []struct {
		name  string
		frame []byte
		want  int
	}{
		{"TCP", frame(us, wire.EtherTypeIPv4, tcp), f.Owner(netip.AddrPortFrom(far4, 1000), netip.AddrPortFrom(fan4, 80))},
		{"IPv4 to a group of the link", frame(wire.Broadcast, wire.EtherTypeIPv4, tcp), 0},
		{"ARP request", frame(wire.Broadcast, wire.EtherTypeARP, arp(wire.ARPRequest, fan4)), 0},
		{"ARP announcement", frame(wire.Broadcast, wire.EtherTypeARP, arp(wire.ARPRequest, far4)), all},
		{"ARP reply", frame(us, wire.EtherTypeARP, arp(wire.ARPReply, fan4)), all},
		{"broken ARP", frame(us, wire.EtherTypeARP, []byte{1, 2, 3}), here},
		{"another protocol", frame(us, 0x88b5, tcp), here},
	} {
		t.Run(c.name, func(t *testing.T) {
			for at := range n {
				want := []int{c.want}
				switch c.want {
				case here:
					want[0] = at
				case all:
					want = []int{at, (at + 1) % n, (at + 2) % n}
				}
				require.Equal(t, want, receivers(t, f, peers, at, c.frame), "arrived at %d", at)
			}
		})
	}
}

// TestFanoutEats: whatever arrives, somebody receives it.
func TestFanoutEats(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	const n = 3
	f, peers := fanout(t, n, phy.PipeConfig{Medium: phy.MediumIP}, [16]byte{})
	seeds := [][]byte{
		ipv4(far4, fan4, wire.ProtoTCP, ports(1000, 80)...),
		ipv4(router4, fan4, wire.ProtoICMPv4, icmp(wire.ICMPv4Unreachable, 0, ipv4(fan4, far4, wire.ProtoTCP, ports(4, 4)...)...)...),
		ipv6(far6, fan6, wire.ProtoHopByHop, append([]byte{6, 0, 1, 4, 0, 0, 0, 0}, ports(1000, 80)...)...),
		ipv6(router6, fan6, wire.ProtoICMPv6, icmp(1, 0, ipv6(fan6, far6, wire.ProtoUDP, ports(4, 4)...)...)...),
	}
	for i := range 20000 {
		b := append([]byte(nil), seeds[i%len(seeds)]...)
		for range r.IntN(4) {
			b[r.IntN(len(b))] = byte(r.Uint32())
		}
		b = b[:1+r.IntN(len(b))]
		require.NotEmpty(t, receivers(t, f, peers, i%n, b), "%x", b)
	}
}

// TestFanoutAllocations: frames that stay, that are handed over, and that quote
// others.
func TestFanoutAllocations(t *testing.T) {
	f, peers := fanout(t, 2, phy.PipeConfig{Medium: phy.MediumIP}, fanKey)
	devs, frames := f.Devices(), flowsOf(f, 2)
	frames = append(frames,
		ipv4(router4, fan4, wire.ProtoICMPv4, icmp(wire.ICMPv4Unreachable, 0, frames[1]...)...),
		ipv6(far6, fan6, wire.ProtoTCP, ports(1000, 80)...),
		ipv6(router6, fan6, wire.ProtoICMPv6, icmp(1, 0, ipv6(fan6, far6, wire.ProtoUDP, ports(4, 4)...)...)...),
		ipv6(far6, fan6, wire.ProtoICMPv6, icmp(wire.ICMPv6NeighborAdvert, 0)...))
	turn := func() {
		for _, frame := range frames {
			b, _ := peers[0].TxBuffer()
			_ = peers[0].Commit(copy(b, frame), phy.Offload{})
		}
		for _, d := range devs {
			for {
				if _, err := d.Receive(); err != nil {
					break
				}
			}
			_ = d.Wait(0)
		}
	}
	turn()
	require.Zero(t, testing.AllocsPerRun(100, turn))
	require.NotZero(t, f.Stats().HandedOver)
}

func BenchmarkFanout(b *testing.B) {
	for _, n := range []int{1, 2, 4} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			f, peers := fanout(b, n, phy.PipeConfig{Medium: phy.MediumIP}, fanKey)
			devs, flows := f.Devices(), flowsOf(f, n)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				room, _ := peers[0].TxBuffer()
				_ = peers[0].Commit(copy(room, flows[i%n]), phy.Offload{})
				if _, err := devs[0].Receive(); err != nil {
					_, _ = devs[i%n].Receive()
				}
			}
		})
	}
}
