package phy_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"smolnet/internal/netns"
	"smolnet/netstack/wire"
	"smolnet/phy"
	"smolnet/phy/hostside"
)

// giveUp is how long tests wait for a frame or datagram that must come.
const giveUp = 10 * time.Second

// A route in these tests is from the network of the device "a", 192.0.2.0/24
// and 2001:db8:a::/64, whose host is number 1, to that of "b", 198.51.100.0/24
// and 2001:db8:b::/64.
var (
	peers4 = [2]netip.Addr{netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("198.51.100.2")}
	peers6 = [2]netip.Addr{netip.MustParseAddr("2001:db8:a::2"), netip.MustParseAddr("2001:db8:b::2")}
)

var networks = map[string]hostside.Config{
	"a": {Up: true, Addrs: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/24"), netip.MustParsePrefix("2001:db8:a::1/64")}},
	"b": {Up: true, Addrs: []netip.Prefix{netip.MustParsePrefix("198.51.100.1/24"), netip.MustParsePrefix("2001:db8:b::1/64")}},
}

// openNet opens a TUN interface with the addresses of its network.
func openNet(t testing.TB, name string, cfg phy.TunConfig) *phy.TunTap {
	t.Helper()
	d, err := phy.OpenTUN(name, cfg)
	require.NoError(t, err)
	t.Cleanup(func() { d.Close() })
	require.NoError(t, hostside.Configure(name, networks[name]))
	return d
}

// A flow is whose packets a test sends.
type flow struct {
	proto    wire.Protocol
	src, dst netip.Addr
}

func (f flow) ipLen() int {
	if f.dst.Is4() {
		return wire.IPv4Len
	}
	return wire.IPv6Len
}

func (f flow) gso() phy.GSOType {
	switch {
	case f.proto == wire.ProtoUDP:
		return phy.GSOUDP
	case f.dst.Is4():
		return phy.GSOTCPv4
	}
	return phy.GSOTCPv6
}

// put writes a packet with that payload to b, whose transport checksum is that
// of the pseudo-header alone, and returns its length and what is left to do.
func (f flow) put(b, payload []byte) (int, phy.Offload) {
	ip, head, field := f.ipLen(), 20, wire.TCPChecksumOffset
	if f.proto == wire.ProtoUDP {
		head, field = 8, 6
	}
	n := head + len(payload)
	if f.dst.Is4() {
		(&wire.IPv4{TotalLen: uint16(ip + n), TTL: 64, Protocol: f.proto, Src: f.src, Dst: f.dst}).Put(b)
	} else {
		(&wire.IPv6{PayloadLen: uint16(n), NextHeader: f.proto, HopLimit: 64, Src: f.src, Dst: f.dst}).Put(b)
	}
	seg := b[ip : ip+n]
	if f.proto == wire.ProtoUDP {
		(&wire.UDP{SrcPort: 4000, DstPort: 5000, Len: uint16(n)}).Put(seg)
	} else {
		(&wire.TCP{SrcPort: 4000, DstPort: 5000, Seq: 1000, Ack: 1, Flags: wire.ACK | wire.PSH, Window: 100}).Put(seg)
	}
	copy(seg[head:], payload)
	binary.BigEndian.PutUint16(seg[field:], wire.PseudoSum(f.src, f.dst, f.proto, n))
	return ip + n, phy.Offload{NeedsChecksum: true, ChecksumStart: uint16(ip), ChecksumOffset: uint16(field)}
}

// send sends payload in one frame, to be cut into segments of size bytes
// unless that is zero, and returns its Offload.
func (f flow) send(t testing.TB, d phy.Device, payload []byte, size int) phy.Offload {
	t.Helper()
	room, err := d.TxBuffer()
	require.NoError(t, err)
	n, off := f.put(room, payload)
	if size > 0 {
		off.GSOType, off.SegmentSize, off.HeaderLen = f.gso(), uint16(size), uint16(n-len(payload))
	}
	require.NoError(t, d.Commit(n, off))
	return off
}

// sendBack sends payload in an ordinary frame, as the answer to the flow from
// dst to src.
func (f flow) sendBack(t testing.TB, d phy.Device, payload []byte) {
	t.Helper()
	room, err := d.TxBuffer()
	require.NoError(t, err)
	n, off := f.put(room, payload)
	ports := room[f.ipLen():]
	ports[0], ports[1], ports[2], ports[3] = ports[2], ports[3], ports[0], ports[1]
	require.NoError(t, d.Commit(n, off))
}

// next returns the next packet of the flow that arrives at d, passing over
// what the kernel sends by itself. If sum is set its checksum must be right.
func (f flow) next(t testing.TB, d phy.Device, sum bool) (payload []byte, seq uint32, off phy.Offload) {
	t.Helper()
	for end := time.Now().Add(giveUp); ; {
		require.True(t, time.Now().Before(end), "nothing arrives")
		fr, err := d.Receive()
		if errors.Is(err, phy.ErrWouldBlock) {
			require.NoError(t, d.Wait(giveUp))
			continue
		}
		require.NoError(t, err)
		b := fr.Data
		if b[0]>>4 == 6 == f.dst.Is4() || wire.Protocol(b[map[bool]int{true: 9, false: 6}[f.dst.Is4()]]) != f.proto {
			continue
		}
		seg := b[f.ipLen():]
		if sum {
			require.True(t, wire.VerifyChecksum(f.src, f.dst, f.proto, seg), "checksum of %x", b)
		}
		if f.proto == wire.ProtoUDP {
			return bytes.Clone(seg[8:]), 0, fr.Offload
		}
		var h wire.TCP
		payload, err := wire.ParseTCP(seg, &h)
		require.NoError(t, err)
		return bytes.Clone(payload), h.Seq, fr.Offload
	}
}

func flows() map[string]flow {
	return map[string]flow{
		"TCP4": {wire.ProtoTCP, peers4[0], peers4[1]}, "TCP6": {wire.ProtoTCP, peers6[0], peers6[1]},
		"UDP4": {wire.ProtoUDP, peers4[0], peers4[1]}, "UDP6": {wire.ProtoUDP, peers6[0], peers6[1]},
	}
}

// pattern is n bytes that are not the same everywhere.
func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i ^ i>>8)
	}
	return b
}

// route makes the calling thread's namespace a router that says nothing by
// itself.
func route(t *testing.T) {
	for _, name := range []string{"ipv4/ip_forward", "ipv6/conf/all/forwarding"} {
		require.NoError(t, os.WriteFile("/proc/sys/net/"+name, []byte("1"), 0))
	}
}

// TestSuperFramesCut: the kernel forwards what is sent on one interface to
// another, on which it has to be cut and to have its checksums.
func TestSuperFramesCut(t *testing.T) {
	for name, f := range flows() {
		t.Run(name, func(t *testing.T) {
			netns.New(t).Do(func() {
				route(t)
				a, b := openNet(t, "a", phy.TunConfig{}), openNet(t, "b", phy.TunConfig{NoOffload: true})
				require.Equal(t, phy.Capabilities{Medium: phy.MediumIP, MTU: 1500}, b.Capabilities())
				const size = 1200
				for _, n := range []int{0, 1, size, size + 1, 10 * size, 50*size + 77} {
					want := pattern(n)
					if n <= size {
						f.send(t, a, want, 0)
					} else {
						f.send(t, a, want, size)
					}
					at := 0
					for done := false; !done; done = at == n {
						payload, seq, off := f.next(t, b, true)
						require.Equal(t, phy.Offload{}, off)
						require.Equal(t, want[at:min(at+size, n)], payload)
						if f.proto == wire.ProtoTCP {
							require.Equal(t, uint32(1000+at), seq)
						}
						at += len(payload)
					}
				}
				require.Zero(t, a.Stats().TxLost)
			})
		})
	}
}

// TestSuperFramesWhole: to an interface that takes them they are forwarded as
// they are.
func TestSuperFramesWhole(t *testing.T) {
	for name, f := range flows() {
		t.Run(name, func(t *testing.T) {
			netns.New(t).Do(func() {
				route(t)
				a, b := openNet(t, "a", phy.TunConfig{}), openNet(t, "b", phy.TunConfig{})
				for _, n := range []int{1201, 12000, 65535 - f.ipLen() - 20} {
					want := pattern(n)
					sent := f.send(t, a, want, 1200)
					payload, _, off := f.next(t, b, false)
					require.Equal(t, want, payload)
					require.Equal(t, sent, off)
				}
				sent := f.send(t, a, pattern(1000), 0)
				payload, _, off := f.next(t, b, false)
				require.Equal(t, pattern(1000), payload)
				require.Equal(t, sent, off)

				// A checksum that is there is not called missing, nor verified.
				room, err := a.TxBuffer()
				require.NoError(t, err)
				n, _ := f.put(room, nil)
				require.NoError(t, a.Commit(n, phy.Offload{}))
				_, _, off = f.next(t, b, false)
				require.Equal(t, phy.Offload{}, off)
				require.Equal(t, phy.TunStats{TxFrames: 5}, a.Stats())
				require.Zero(t, b.Stats().RxBad)
			})
		})
	}
}

// TestKernelUDP: datagrams in super-frames to a socket of the kernel, and
// from one that sends them.
func TestKernelUDP(t *testing.T) {
	netns.New(t).Do(func() {
		a := openNet(t, "a", phy.TunConfig{})
		for _, hosts := range [][2]string{{"192.0.2.1", "192.0.2.2"}, {"2001:db8:a::1", "2001:db8:a::2"}} {
			host, peer := netip.MustParseAddr(hosts[0]), netip.MustParseAddr(hosts[1])
			f := flow{wire.ProtoUDP, peer, host}
			c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(host, 5000)))
			require.NoError(t, err)
			defer c.Close()
			require.NoError(t, c.SetDeadline(time.Now().Add(giveUp)))
			want, got := pattern(4500), make([]byte, 2000)
			f.send(t, a, want, 1000)
			for at := 0; at < len(want); at += 1000 {
				n, from, err := c.ReadFromUDPAddrPort(got)
				require.NoError(t, err)
				require.Equal(t, netip.AddrPortFrom(peer, 4000), from)
				require.Equal(t, want[at:min(at+1000, len(want))], got[:n])
			}

			raw, err := c.SyscallConn()
			require.NoError(t, err)
			require.NoError(t, raw.Control(func(fd uintptr) {
				err = unix.SetsockoptInt(int(fd), unix.SOL_UDP, unix.UDP_SEGMENT, 1000)
			}))
			require.NoError(t, err)
			_, err = c.WriteToUDPAddrPort(want, netip.AddrPortFrom(peer, 4000))
			require.NoError(t, err)
			payload, _, off := f.next(t, a, false)
			require.Equal(t, want, payload)
			head := uint16(f.ipLen())
			require.Equal(t, phy.Offload{
				NeedsChecksum: true, GSOType: phy.GSOUDP, HeaderLen: head + 8, SegmentSize: 1000,
				ChecksumStart: head, ChecksumOffset: 6,
			}, off)
		}
	})
}

// TestFaultOverOffloads: middleware that offers no offloads completes what
// arrives with them.
func TestFaultOverOffloads(t *testing.T) {
	netns.New(t).Do(func() {
		route(t)
		a, b := openNet(t, "a", phy.TunConfig{}), openNet(t, "b", phy.TunConfig{})
		spoiled := phy.NewFault(b, phy.FaultConfig{})
		for _, f := range flows() {
			f.send(t, a, pattern(700), 0)
			payload, _, off := f.next(t, spoiled, true)
			require.Equal(t, pattern(700), payload)
			require.False(t, off.NeedsChecksum)
		}
	})
}

func TestSuperFrameRefused(t *testing.T) {
	netns.New(t).Do(func() {
		a := openNet(t, "a", phy.TunConfig{NoOffload: true})
		for _, f := range flows() {
			room, err := a.TxBuffer()
			require.NoError(t, err)
			n, off := f.put(room, pattern(1000))
			require.ErrorIs(t, a.Commit(n, off), phy.ErrOffload)
			off.GSOType, off.SegmentSize = f.gso(), 500
			require.ErrorIs(t, a.Commit(n, off), phy.ErrOffload)
		}
	})
}

// TestSuperFrameAllocations: none, whichever way they go.
func TestSuperFrameAllocations(t *testing.T) {
	netns.New(t).Do(func() {
		route(t)
		a, b := openNet(t, "a", phy.TunConfig{}), openNet(t, "b", phy.TunConfig{})
		f := flows()["TCP4"]
		payload := pattern(60000)
		var failed error
		turn := func() {
			f.send(t, a, payload, 1200)
			_, err := b.Receive()
			for errors.Is(err, phy.ErrWouldBlock) && failed == nil {
				failed = b.Wait(giveUp)
				_, err = b.Receive()
			}
			if err != nil {
				failed = err
			}
		}
		turn() // timers are made
		require.Zero(t, testing.AllocsPerRun(100, turn))
		require.NoError(t, failed)
	})
}
