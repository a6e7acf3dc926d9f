package core_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/core"
	"smolnet/netstack/errno"
	"smolnet/netstack/packet"
	"smolnet/netstack/route"
	"smolnet/netstack/tcp"
	"smolnet/netstack/wire"
	"smolnet/phy"
)

func TestConfigRefused(t *testing.T) {
	for _, l := range []core.Limits{{Memory: -1}, {Connections: -1}, {TimeWait: -1}, {HalfOpen: -1}, {Neighbors: -1}, {Outbox: -1}, {ICMPRate: -1}} {
		_, err := core.New(core.Config{Limits: l})
		require.ErrorContains(t, err, "negative limit")
	}
}

func TestInterfaceRefused(t *testing.T) {
	h := newHost(t, hwA, nil)
	ok := phy.Capabilities{Medium: phy.MediumEthernet, MTU: 1500}
	for name, cfg := range map[string]core.InterfaceConfig{
		"MTU 67 ":               {HardwareAddr: hwB, Capabilities: phy.Capabilities{MTU: 67}},
		"MTU 65536 ":            {HardwareAddr: hwB, Capabilities: phy.Capabilities{MTU: 65536}},
		"medium unknown":        {HardwareAddr: hwB, Capabilities: phy.Capabilities{Medium: 9, MTU: 1500}},
		"not a unicast address": {HardwareAddr: wire.Broadcast, Capabilities: ok},
		"00:00:00:00:00:00":     {Capabilities: ok},
		"multicast":             {HardwareAddr: hwB, Capabilities: ok, Addrs: prefixes("10.0.0.1/8", "224.0.0.1/4")},
		"unspecified":           {HardwareAddr: hwB, Capabilities: ok, Addrs: prefixes("::/64")},
		"broadcast":             {HardwareAddr: hwB, Capabilities: ok, Addrs: prefixes("10.0.0.255/24")},
		"loopback":              {HardwareAddr: hwB, Capabilities: ok, Addrs: prefixes("127.0.0.2/8")},
		"needs an MTU of 1280":  {HardwareAddr: hwB, Capabilities: phy.Capabilities{MTU: 1279}, Addrs: prefixes("2001:db8::9/64")},
		"IPv4 in IPv6 form":     {HardwareAddr: hwB, Capabilities: ok, Addrs: prefixes("::ffff:10.0.0.1/120")},
		"has 127.0.0.1/8":       {Capabilities: phy.Capabilities{Medium: phy.MediumIP, MTU: 1500, Loopback: true}, Addrs: prefixes("127.0.0.1/8")},
	} {
		routes := h.c.Routes()
		_, err := h.c.AddInterface(epoch, cfg)
		require.ErrorContains(t, err, name)
		require.Equal(t, routes, h.c.Routes(), "nothing is left of it")
	}
	for i := 3; i <= core.MaxInterfaces; i++ {
		ifc, err := h.c.AddInterface(epoch, core.InterfaceConfig{Capabilities: phy.Capabilities{Medium: phy.MediumIP, MTU: 68}})
		require.NoError(t, err)
		require.Equal(t, i, ifc.Index())
	}
	_, err := h.c.AddInterface(epoch, core.InterfaceConfig{Capabilities: phy.Capabilities{Medium: phy.MediumIP, MTU: 68}})
	require.ErrorIs(t, err, errno.NoBufs)
}

// Addresses come and go while the stack runs.
func TestAddressChange(t *testing.T) {
	w, a, b := pair(t)
	c, s, srv, _ := connected(t, w, a, b, b4)
	require.ErrorIs(t, b.eth.RemoveAddr(w.now, x4), errno.AddrNotAvail)
	require.NoError(t, b.eth.RemoveAddr(w.now, b4))
	require.NotContains(t, b.eth.Addrs(), netip.PrefixFrom(b4, 24))
	_, err := c.Write([]byte("lost, for now"))
	require.NoError(t, err)
	_, err = s.Write([]byte("this too"))
	require.NoError(t, err)
	w.pass(time.Second)
	require.NotZero(t, b.drops(wire.DropNotForUs))
	require.NotZero(t, b.drops(wire.DropNoRoute))
	_, err = readAll(s)
	require.Equal(t, errno.WouldBlock, err)
	_, err = b.c.DialTCP(w.now, core.DialOptions{Remote: at(a4, 80)})
	require.Equal(t, errno.NetUnreach, err, "its route went with it")

	require.NoError(t, b.eth.AddAddr(w.now, netip.PrefixFrom(b4, 24)))
	require.NoError(t, b.eth.AddAddr(w.now, netip.PrefixFrom(b4, 24)), "twice is once")
	require.ErrorIs(t, b.eth.AddAddr(w.now, netip.PrefixFrom(b4, 16)), errno.AddrInUse)
	require.ErrorIs(t, b.lo.AddAddr(w.now, netip.PrefixFrom(b4, 32)), errno.AddrInUse)
	w.pass(10 * time.Second)
	got, _ := readAll(s)
	require.Equal(t, "lost, for now", got)
	got, _ = readAll(c)
	require.Equal(t, "this too", got)
	require.Len(t, srv.conns, 1)

	// Two addresses share a prefix: its route stays until the last is gone.
	second := netip.MustParseAddr("192.0.2.77")
	require.NoError(t, b.eth.AddAddr(w.now, netip.PrefixFrom(second, 24)))
	require.NoError(t, b.eth.RemoveAddr(w.now, b4))
	d, err := b.c.OpenUDP(w.now, core.UDPOptions{Remote: at(a4, 9)})
	require.NoError(t, err)
	require.Equal(t, second, d.LocalAddr().Addr())
	for i := range core.MaxAddrs {
		err = b.eth.AddAddr(w.now, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}).Next(), 32))
	}
	require.ErrorIs(t, err, errno.NoBufs)
}

func TestRoutes(t *testing.T) {
	w, h := open(t)
	gw := x4
	for _, c := range []struct {
		r    route.Route
		want error
	}{
		{route.Route{}, errno.Invalid},
		{routeVia("0.0.0.0/0", far4), errno.NetUnreach},
		{routeVia("0.0.0.0/0", a4), errno.Invalid},
		{routeVia("0.0.0.0/0", x6), errno.Invalid},
		{route.Route{Prefix: netip.MustParsePrefix("0.0.0.0/0"), Gateway: gw, Interface: 7}, errno.Invalid},
		{route.Route{Prefix: netip.MustParsePrefix("0.0.0.0/0"), Gateway: gw, Interface: -1}, errno.Invalid},
		{route.Route{Prefix: netip.MustParsePrefix("10.0.0.0/8"), Interface: 1}, nil},
		{route.Route{Prefix: netip.MustParsePrefix("172.16.0.0/12")}, nil},
		{routeVia("0.0.0.0/0", gw), nil},
	} {
		require.ErrorIs(t, h.c.AddRoute(c.r), c.want, "%v", c.r)
	}
	udp, err := h.c.OpenUDP(w.now, core.UDPOptions{})
	require.NoError(t, err)
	far := packet.Meta{Remote: at(far4, 9)}
	udp.Learn(far)
	require.NoError(t, udp.WriteTo([]byte("x"), far))
	w.run()
	got := h.one()
	require.Equal(t, hwX, got.eth.Dst, "by way of the gateway")
	require.Equal(t, far4, got.dst)
	require.ErrorIs(t, h.c.RemoveRoute(netip.MustParsePrefix("1.0.0.0/8")), errno.Invalid)
	require.NoError(t, h.c.RemoveRoute(netip.MustParsePrefix("0.0.0.0/0")))
	require.NoError(t, udp.WriteTo([]byte("x"), packet.Meta{Remote: at(far4, 9)}))
	w.run()
	require.Empty(t, h.take())
	require.False(t, udp.Knows(far), "routes have changed")
	udp.Learn(far)
	require.Equal(t, errno.NetUnreach, udp.WriteTo(nil, far))

	// The route's MTU, its preferred source, and its end.
	second := netip.MustParseAddr("192.0.2.77")
	require.NoError(t, h.eth.AddAddr(w.now, netip.PrefixFrom(second, 24)))
	r := routeVia("0.0.0.0/0", gw)
	r.MTU, r.Source, r.Expires = 600, second, w.now.Add(time.Minute)
	require.NoError(t, h.c.AddRoute(r))
	w.run()
	h.take()
	c, err := h.c.DialTCP(w.now, core.DialOptions{Remote: at(far4, 80)})
	require.NoError(t, err)
	w.run()
	got = h.one()
	require.Equal(t, second, got.src)
	require.Equal(t, uint16(560), got.tcp.Options.MSS)
	c.Close()
	src, ok := h.c.SourceFor(far4)
	require.True(t, ok)
	require.Equal(t, netip.PrefixFrom(second, 24), src)
	w.pass(2 * time.Minute)
	_, ok = h.c.SourceFor(far4)
	require.False(t, ok)
}

// A route that changes moves connections to it.
func TestReroute(t *testing.T) {
	w, h := open(t)
	other := netip.MustParseAddr("192.0.2.9")
	w.in(h, arpFrame(hwA, wire.ARP{Op: wire.ARPRequest, SenderHW: hwB, SenderIP: other, TargetIP: a4}))
	h.take()
	require.NoError(t, h.c.AddRoute(routeVia("198.51.100.0/24", x4)))
	_, err := h.c.DialTCP(w.now, core.DialOptions{Remote: at(far4, 80)})
	require.NoError(t, err)
	w.run()
	require.Equal(t, hwX, h.one().eth.Dst)
	require.NoError(t, h.c.AddRoute(routeVia("198.51.100.9/32", other)))
	w.pass(time.Second)
	require.Equal(t, hwB, h.one().eth.Dst)
}

// Checksums that are left to the device, and to nobody.
func TestChecksumOffload(t *testing.T) {
	w, h := open(t, func(_ *core.Config, l *core.InterfaceConfig) { l.Capabilities.TxChecksum = true })
	udp, err := h.c.OpenUDP(w.now, core.UDPOptions{Remote: at(x4, 9)})
	require.NoError(t, err)
	require.NoError(t, udp.WriteTo([]byte("data"), packet.Meta{}))
	_, err = h.c.DialTCP(w.now, core.DialOptions{Remote: at(x6, 80)})
	require.NoError(t, err)
	h.c.BeginTurn(w.now)
	seen := map[wire.Protocol]bool{}
	for {
		b := make([]byte, 1600)
		n, off := h.eth.Send(w.now, b)
		if n == 0 {
			break
		}
		require.True(t, off.NeedsChecksum)
		start, field := int(off.ChecksumStart), int(off.ChecksumStart+off.ChecksumOffset)
		sum := ^wire.Sum(b[start:n], 0)
		b[field], b[field+1] = byte(sum>>8), byte(sum)
		seen[parse(t, b[:n]).proto] = true
	}
	require.Equal(t, map[wire.Protocol]bool{wire.ProtoUDP: true, wire.ProtoTCP: true}, seen)
	bad := frameTo(h, udp4(x4, a4, 5, 53, "x"))
	bad[len(bad)-1] ^= 1
	for _, off := range []phy.Offload{{}, {ChecksumValid: true}, {NeedsChecksum: true}} {
		h.eth.Receive(w.now, phy.Frame{Data: bad, Offload: off})
	}
	require.Equal(t, 1, h.drops(wire.DropBadChecksum))
	require.Equal(t, uint64(2), h.c.Stats().UDPIn)
}

// A received UDP super-frame is many datagrams.
func TestUDPSuperFrame(t *testing.T) {
	w, h := open(t)
	s, err := h.c.OpenUDP(w.now, core.UDPOptions{Local: port(7)})
	require.NoError(t, err)
	h.eth.Receive(w.now, phy.Frame{Data: frameTo(h, udp4(x4, a4, 5, 7, "aabbc")), Offload: phy.Offload{GSOType: phy.GSOUDP, SegmentSize: 2}})
	for _, want := range []string{"aa", "bb", "c"} {
		b := make([]byte, 9)
		n, _, _, err := s.ReadFrom(b)
		require.NoError(t, err)
		require.Equal(t, want, string(b[:n]))
	}
}

// A buffer that is too short gets nothing, and nothing is lost.
func TestShortBuffer(t *testing.T) {
	w, h := open(t)
	h.eth.Receive(w.now, phyFrame(frameTo(h, echoRequest(x4, a4, "x"))))
	n, _ := h.eth.Send(w.now, make([]byte, 1513))
	require.Zero(t, n)
	w.run()
	require.Len(t, h.take(), 1)
}

// RFC 6864: segments are atomic; other packets get IDs that do not repeat.
func TestIPv4Identification(t *testing.T) {
	w, h := open(t)
	ids := map[uint16]bool{}
	for range 1000 {
		w.in(h, frameTo(h, echoRequest(x4, a4, "x")))
		s := h.one()
		require.False(t, s.v4.DontFrag)
		require.False(t, ids[s.v4.ID])
		ids[s.v4.ID] = true
	}
	w.in(h, frameTo(h, syn(x4, a4, 80)), frameTo(h, syn(x4, a4, 81)))
	for _, f := range h.take() {
		s := parse(t, f)
		require.True(t, s.v4.DontFrag)
		require.Zero(t, s.v4.ID)
	}
}

// Two starts with different seeds share nothing that an outsider could guess.
func TestSeeds(t *testing.T) {
	var isn, ports [3]uint32
	for i := range isn {
		seed := byte(1)
		if i == 1 {
			seed = 2
		}
		w, h := alone(t, func(c *core.Config, _ *core.InterfaceConfig) { c.Seed = [32]byte{seed} })
		w.know(h, x4)
		_, err := h.c.DialTCP(w.now, core.DialOptions{Remote: at(x4, 80)})
		require.NoError(t, err)
		w.run()
		s := h.one()
		isn[i], ports[i] = s.tcp.Seq, uint32(s.tcp.SrcPort)
	}
	require.NotEqual(t, isn[0], isn[1])
	require.NotEqual(t, ports[0], ports[1])
	require.Equal(t, isn[0], isn[2], "the same seed gives the same")
}

// Everything that is open is listed; Close ends all of it.
func TestCloseCore(t *testing.T) {
	w, a, b := pair(t)
	c, s, _, u := connected(t, w, a, b, b4)
	uu := &user{}
	udp, err := b.c.OpenUDP(w.now, core.UDPOptions{Local: port(9), Waiter: uu})
	require.NoError(t, err)
	ping, err := b.c.OpenPing(w.now, core.PingOptions{Local: b4})
	require.NoError(t, err)
	states := map[string]int{}
	b.c.Sockets(func(s core.SocketInfo) bool { states[s.Protocol.String()+" "+s.State]++; return true })
	require.Equal(t, map[string]int{"TCP LISTEN": 1, "TCP ESTABLISHED": 1, "UDP UNCONNECTED": 1, "ICMP UNCONNECTED": 1}, states)
	waiters := 0
	b.c.Waiters(func(core.Waiter) bool { waiters++; return true })
	require.Equal(t, 2, waiters)
	b.c.Close(w.now)
	b.c.Close(w.now)
	w.run()
	require.Equal(t, errno.ConnReset, c.Err())
	require.NotZero(t, u.take()&tcp.EventFailed)
	require.NotZero(t, uu.take()&tcp.EventFailed)
	require.Equal(t, errno.Closed, s.Err())
	_, _, _, err = udp.ReadFrom(nil)
	require.Equal(t, errno.Closed, err)
	require.Equal(t, errno.Closed, ping.WriteTo(nil, packet.Meta{}))
	b.c.Sockets(func(s core.SocketInfo) bool { t.Errorf("%v is left", s); return true })
	_, err = b.c.DialTCP(w.now, core.DialOptions{Remote: at(a4, 80)})
	require.Equal(t, errno.Closed, err)
	_, err = b.c.ListenTCP(w.now, core.ListenOptions{Accept: func(*core.TCP) {}})
	require.Equal(t, errno.Closed, err)
	_, err = b.c.OpenUDP(w.now, core.UDPOptions{})
	require.Equal(t, errno.Closed, err)
	_, err = b.c.OpenPing(w.now, core.PingOptions{Local: b4})
	require.Equal(t, errno.Closed, err)
	w.in(b, frameTo(b, echoRequest(x4, b4, "x")))
	require.Equal(t, 1, b.drops(wire.DropClosed))
}

// As the memory budget fills, new connections are refused before old ones
// suffer.
func TestMemoryBudget(t *testing.T) {
	w, a, b := pair(t, func(c *core.Config, _ *core.InterfaceConfig) { c.Limits.Memory = 256 << 10 })
	c, s, _, _ := connected(t, w, a, b, b4)
	for range 20 { // nobody reads
		_, _ = c.Write(make([]byte, 64<<10))
		w.pass(time.Second)
	}
	_, err := a.c.DialTCP(w.now, core.DialOptions{Remote: at(b4, 80)})
	require.Equal(t, errno.NoBufs, err)
	require.LessOrEqual(t, a.c.Stats().Memory, int64(256<<10))
	require.LessOrEqual(t, b.c.Stats().Memory, int64(256<<10))
	buf := make([]byte, 4096)
	for range 200 { // it goes on when somebody does
		_, _ = s.Read(buf)
		w.pass(100 * time.Millisecond)
	}
	require.Greater(t, int(c.Conn().Info().BytesAcked), 300<<10)
}

// Work that a callback makes inside EndTurn wakes the driver.
func TestWorkInCallback(t *testing.T) {
	w, a, b := pair(t)
	_, _, srv, _ := connected(t, w, a, b, b4)
	var second *core.TCP
	srv.conns[0].SetWaiter(waiterFunc(func(tcp.Events) {
		if second == nil {
			second, _ = b.c.DialTCP(w.now, core.DialOptions{Remote: at(b4, 80)})
		}
	}))
	_, err := srv.conns[0].Write([]byte("x"))
	require.NoError(t, err)
	w.run()
	require.NotNil(t, second)
	require.True(t, second.Connected())
}

type waiterFunc func(tcp.Events)

func (f waiterFunc) Ready(ev tcp.Events) { f(ev) }
