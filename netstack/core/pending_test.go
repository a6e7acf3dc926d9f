package core_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/core"
	"smolnet/netstack/errno"
	"smolnet/netstack/packet"
	"smolnet/netstack/tcp"
	"smolnet/netstack/wire"
)

// neighbors bounds the neighbour table.
func neighbors(n int) option {
	return func(c *core.Config, _ *core.InterfaceConfig) { c.Limits.Neighbors = n }
}

// silent returns an address on the link of alone that nobody has.
func silent(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 9, byte(i >> 8), byte(i)}) }

// More connections than a neighbour table has entries take them from each
// other. None waits in vain for ever, and Send comes to an end.
func TestCrowdedNeighbors(t *testing.T) {
	for _, c := range []struct {
		name               string
		table, known, dial int
	}{
		{"one too many", 4, 0, 5},
		{"twice as many", 4, 0, 8},
		{"others in use", 4, 3, 2},
		{"default", 0, 0, core.DefaultNeighbors + 300},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, h := alone(t, neighbors(c.table))
			require.NoError(t, h.eth.AddAddr(w.now, netip.MustParsePrefix("10.9.255.1/16")))
			u, err := h.c.OpenUDP(w.now, core.UDPOptions{})
			require.NoError(t, err)
			for i := range c.known {
				used := netip.AddrFrom4([4]byte{192, 0, 2, byte(100 + i)})
				w.know(h, used)
				require.NoError(t, u.WriteTo(nil, packet.Meta{Remote: at(used, 9)}))
				w.run()
			}
			var conns []*core.TCP
			for i := range c.dial {
				s, err := h.c.DialTCP(w.now, core.DialOptions{Remote: at(silent(i), 80)})
				require.NoError(t, err)
				conns = append(conns, s)
			}
			w.run()
			require.NotZero(t, h.drops(wire.DropUnresolved), "somebody made room, and lost a segment for it")
			h.take()
			// One of them answers whenever it is asked, and so is found.
			alive := conns[0].RemoteAddr().Addr()
			syns := 0
			for range 100 {
				w.pass(100 * time.Millisecond)
				for _, f := range h.take() {
					s := parse(t, f)
					if s.eth.Type == wire.EtherTypeARP && s.arp.TargetIP == alive {
						w.in(h, arpFrame(hwA, wire.ARP{Op: wire.ARPReply, SenderHW: hwX, SenderIP: alive, TargetHW: hwA, TargetIP: s.arp.SenderIP}))
					}
					if s.eth.Type != wire.EtherTypeARP && s.proto == wire.ProtoTCP {
						require.Equal(t, alive, s.dst)
						syns++
					}
				}
			}
			require.NotZero(t, syns)
			w.pass(5 * time.Minute)
			for _, s := range conns[1:] {
				require.True(t, s.Finished())
				_, err := s.Read(make([]byte, 1))
				require.Contains(t, []error{errno.HostUnreach, errno.TimedOut}, err)
			}
		})
	}
}

// A socket may have something for an interface that was asked before the one
// that it stood in the queue of.
func TestWorkForAnEarlierInterface(t *testing.T) {
	w, h := alone(t)
	w.know(h, b4)
	s, err := h.c.OpenUDP(w.now, core.UDPOptions{})
	require.NoError(t, err)
	require.NoError(t, s.WriteTo([]byte("in"), packet.Meta{Remote: at(lo4, 9)}))
	w.run()
	require.Empty(t, h.take())
	require.False(t, h.c.Pending())

	require.NoError(t, s.WriteTo([]byte("out"), packet.Meta{Remote: at(b4, 9)}))
	require.True(t, h.c.Pending(), "the user has asked")
	wakes := h.wakes.Load()
	require.False(t, h.turn(w.now))
	require.True(t, h.c.Pending())
	require.True(t, h.c.Deadline().Due(w.now), "who looks at nothing else hears of it")
	require.Equal(t, wakes+1, h.wakes.Load())
	require.True(t, h.turn(w.now))
	require.Equal(t, "out", string(h.one().data))
	require.False(t, h.c.Pending())
}

// What a connection has to say after its route has changed is not forgotten
// either.
func TestRerouteToAnEarlierInterface(t *testing.T) {
	c, first, second := multihomed(t)
	far := netip.MustParseAddr("198.51.100.9")
	require.NoError(t, c.AddRoute(routeVia("198.51.100.0/24", netip.MustParseAddr("10.2.0.9"))))
	_, err := c.DialTCP(epoch, core.DialOptions{Remote: at(far, 80)})
	require.NoError(t, err)
	require.True(t, c.Deadline().Due(epoch), "before any turn")
	require.NoError(t, c.AddRoute(routeVia("198.51.100.9/32", netip.MustParseAddr("10.1.0.9"))))
	c.BeginTurn(epoch)
	require.Empty(t, destinations(t, epoch, first))
	require.Empty(t, destinations(t, epoch, second))
	c.EndTurn(epoch)
	require.True(t, c.Deadline().Due(epoch))
	c.BeginTurn(epoch)
	require.Equal(t, []netip.Addr{far}, destinations(t, epoch, first))
	c.EndTurn(epoch)
	require.False(t, c.Deadline().Due(epoch))
}

// A device without room is not asked, and what waits for it is no reason for
// another turn.
func TestFullDeviceIsNotPending(t *testing.T) {
	w, h := alone(t)
	w.know(h, b4)
	h.full = true
	_, err := h.c.DialTCP(w.now, core.DialOptions{Remote: at(b4, 80)})
	require.NoError(t, err)
	w.run()
	require.False(t, h.c.Pending())
	require.False(t, h.c.Deadline().Due(w.now))
	h.full = false
	w.run()
	require.Len(t, h.take(), 1)
}

// Ready may do what makes control packets.
type onReady func()

func (f onReady) Ready(tcp.Events) { f() }

func TestControlPacketsOfCallbacks(t *testing.T) {
	w, h := alone(t)
	s, err := h.c.OpenUDP(w.now, core.UDPOptions{Local: port(7)})
	require.NoError(t, err)
	s.SetWaiter(onReady(func() {
		s.SetWaiter(nil)
		require.NoError(t, h.eth.AddAddr(w.now, netip.MustParsePrefix("192.0.2.77/24")))
	}))
	wakes := h.wakes.Load()
	h.inbox = append(h.inbox, phyFrame(frameTo(h, udp4(b4, a4, 9, 7, "x"))))
	h.turn(w.now)
	require.Empty(t, h.take())
	require.True(t, h.c.Pending())
	require.NotEqual(t, wakes, h.wakes.Load())
	h.turn(w.now)
	require.Equal(t, netip.MustParseAddr("192.0.2.77"), h.one().arp.SenderIP)
}

// A user who writes as fast as nobody listens does not keep others waiting, nor
// the driver.
func TestDatagramsForNobodyTakeTurns(t *testing.T) {
	for name, to := range map[string]netip.Addr{"unresolved": x4, "no route": far4} {
		t.Run(name, func(t *testing.T) {
			w, h := alone(t)
			w.know(h, b4)
			quiet, err := h.c.OpenUDP(w.now, core.UDPOptions{})
			require.NoError(t, err)
			noisy, err := h.c.OpenUDP(w.now, core.UDPOptions{})
			require.NoError(t, err)
			// write fills the queue, and returns how many fitted. Errors of
			// earlier datagrams may come in between.
			write := func() (n int) {
				for {
					switch err := noisy.WriteTo(nil, packet.Meta{Remote: at(to, 9)}); err {
					case nil:
						n++
					case errno.WouldBlock:
						return n
					}
				}
			}
			write()
			w.run() // the neighbour is asked for, in vain
			require.NoError(t, quiet.WriteTo([]byte("quiet"), packet.Meta{Remote: at(b4, 9)}))
			filled := write()
			b := make([]byte, 14+testMTU)
			h.c.BeginTurn(w.now) // attends to the noisy one first
			n, _ := h.eth.Send(w.now, b)
			require.NotZero(t, n)
			require.Equal(t, "quiet", string(parse(t, b[:n]).data))
			for n > 0 {
				n, _ = h.eth.Send(w.now, b)
			}
			h.c.EndTurn(w.now)
			require.True(t, h.c.Pending())
			require.True(t, h.c.Deadline().Due(w.now))
			require.Less(t, write(), filled, "some are left for the next turn")
			w.run()
			require.False(t, h.c.Pending())
			require.Equal(t, filled, write(), "all were looked at")
		})
	}
}

// A connection that waits for a neighbour follows its route to another one at
// once, and does not care any more about what becomes of the first.
func TestRerouteWhileParked(t *testing.T) {
	w, h := alone(t)
	w.know(h, b4)
	require.NoError(t, h.c.AddRoute(routeVia("198.51.100.0/24", x4)))
	u := &user{}
	s, err := h.c.DialTCP(w.now, core.DialOptions{Remote: at(far4, 80), Waiter: u})
	require.NoError(t, err)
	w.run()
	require.Equal(t, x4, h.one().arp.TargetIP)
	w.pass(100 * time.Millisecond)
	require.Empty(t, h.take())
	require.NoError(t, h.c.AddRoute(routeVia("198.51.100.9/32", b4)))
	w.run()
	require.Equal(t, far4, h.one().dst)
	w.pass(5 * time.Second) // x4 has not answered meanwhile
	require.Zero(t, u.take())
	h.take()
	// And the other way round: back, and to a neighbour that is not known.
	dark := netip.MustParseAddr("192.0.2.99")
	require.NoError(t, h.c.RemoveRoute(netip.MustParsePrefix("198.51.100.9/32")))
	require.NoError(t, h.c.AddRoute(routeVia("198.51.100.9/32", dark)))
	w.pass(10 * time.Second)
	require.True(t, s.Finished())
	_, err = s.Read(make([]byte, 1))
	require.Equal(t, errno.HostUnreach, err)
}

// RFC 9293 MUST-20, 3.8.3: a connection that reaches R1 has the neighbour asked
// whether it is there. One that has moved to another link address is found.
func TestStalledConnectionProbesNeighbor(t *testing.T) {
	w, a, b := pair(t)
	c, _, _, _ := connected(t, w, a, b, b4)
	a.peer, b.peer = nil, nil
	_, err := c.Write([]byte("x"))
	require.NoError(t, err)
	probes, moved := 0, false
	for range 600 {
		w.pass(100 * time.Millisecond)
		for _, f := range a.take() {
			switch s := parse(t, f); {
			case s.eth.Type != wire.EtherTypeARP:
				moved = moved || s.eth.Dst == hwX
			case s.arp.Op != wire.ARPRequest:
			case s.eth.Dst == hwB:
				require.True(t, c.Conn().Stalled())
				probes++
			default:
				w.in(a, arpFrame(hwA, wire.ARP{Op: wire.ARPReply, SenderHW: hwX, SenderIP: b4, TargetHW: hwA, TargetIP: a4}))
			}
		}
		if probes > 0 && probes < 3 { // far sooner than the entry gets stale
			require.Less(t, w.now.Sub(epoch), 12*time.Second)
		}
	}
	require.Equal(t, 3, probes)
	require.True(t, moved)
}
