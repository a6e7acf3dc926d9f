package core_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/core"
	"smolnet/netstack/errno"
	"smolnet/netstack/packet"
	"smolnet/netstack/stream"
	"smolnet/netstack/wire"
)

// Every socket counts against the memory budget, without a byte sent, and so do
// the records of TIME-WAIT; however connections end, all of it comes back once.
func TestSocketsAreCharged(t *testing.T) {
	ends := map[string]func(c, s *core.TCP){
		"close":      func(c, s *core.TCP) { c.Close(); s.Close() },
		"both abort": func(c, s *core.TCP) { c.Abort(); s.Abort() },
		"one aborts": func(c, s *core.TCP) { c.Abort(); s.Close(); s.Close() },
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			w, a, b := pair(t)
			for _, h := range w.hosts {
				require.Zero(t, h.c.Stats().Memory)
			}
			c, s, _, _ := connected(t, w, a, b, b4)
			w.pass(5 * time.Second)
			for _, h := range w.hosts {
				m := h.c.Stats().Memory
				require.Positive(t, m, "an idle connection is not free")
				require.LessOrEqual(t, m, int64(2048))
			}
			end(c, s)
			w.run()
			for _, h := range w.hosts {
				st := h.c.Stats()
				require.LessOrEqual(t, st.Memory, int64(256*st.TimeWait))
				require.Equal(t, st.TimeWait > 0, st.Memory > 0, "a record is not free")
			}
			w.pass(2 * time.Minute)
			for _, h := range w.hosts {
				require.Zero(t, h.c.Stats().Memory)
			}
		})
	}
}

// Connections that never come to be cost nothing in the end.
func TestFailedSocketsAreNotCharged(t *testing.T) {
	w, a, b := pair(t)
	c, err := a.c.DialTCP(w.now, core.DialOptions{Remote: at(b4, 81)}) // nobody listens
	require.NoError(t, err)
	w.run()
	require.Equal(t, errno.ConnRefused, c.Err())
	c.Close()
	b.listen(w.now, core.ListenOptions{Local: port(80)})
	for i := range 20 { // half-open for good: the peers do not exist
		w.in(b, frameTo(b, tcpPacket(x4, b4, wire.TCP{SrcPort: uint16(1000 + i), DstPort: 80, Seq: 1, Flags: wire.SYN, Window: 1000}, "")))
	}
	require.Positive(t, b.c.Stats().Memory)
	w.pass(5 * time.Minute)
	require.Zero(t, b.c.Stats().HalfOpen)
	for _, h := range w.hosts {
		require.Zero(t, h.c.Stats().Memory)
	}
}

// Idle connections alone fill the budget: from there on dials and SYNs are
// refused, and those that exist are served.
func TestSocketsFillTheBudget(t *testing.T) {
	const budget = 128 << 10
	w, a, b := pair(t, func(c *core.Config, _ *core.InterfaceConfig) { c.Limits.Memory = budget })
	srv := b.listen(w.now, core.ListenOptions{Local: port(80)})
	var open []*core.TCP
	for {
		c, err := a.c.DialTCP(w.now, core.DialOptions{Remote: at(b4, 80)})
		if err != nil {
			require.Equal(t, errno.NoBufs, err)
			break
		}
		open = append(open, c)
		w.run()
		require.Less(t, len(open), budget/1024, "sockets are free")
	}
	require.Greater(t, len(open), budget/4096)
	require.True(t, b.c.Pool().At(stream.RefuseOpens))
	w.in(b, frameTo(b, tcpPacket(x4, b4, wire.TCP{SrcPort: 7, DstPort: 80, Seq: 1, Flags: wire.SYN, Window: 1000}, "")))
	require.Equal(t, 1, b.drops(wire.DropNoMemory))
	require.EqualValues(t, 1, b.c.Stats().OpensNoMemory)
	_, err := b.c.ListenTCP(w.now, core.ListenOptions{Local: port(81), Accept: func(*core.TCP) {}})
	require.Equal(t, errno.NoBufs, err)
	require.EqualValues(t, 2, b.c.Stats().OpensNoMemory)
	require.Positive(t, a.c.Stats().OpensNoMemory)
	for _, c := range open { // those that are there work
		_, err := c.Write([]byte("x"))
		require.NoError(t, err)
		w.run()
		got := ""
		for _, s := range srv.conns {
			text, _ := readAll(s)
			got += text
		}
		require.Equal(t, "x", got)
		w.pass(3 * time.Second)
	}
	for _, c := range open {
		c.Close()
	}
	w.run()
	for _, s := range srv.conns {
		s.Close()
	}
	w.pass(2 * time.Minute)
	c, err := a.c.DialTCP(w.now, core.DialOptions{Remote: at(b4, 80)})
	require.NoError(t, err, "there is memory again")
	c.Abort()
	w.pass(2 * time.Minute)
	for _, h := range w.hosts {
		require.Zero(t, h.c.Stats().Memory)
	}
}

// A record for which there is no memory is let go, and counted.
func TestTimeWaitWithoutMemory(t *testing.T) {
	w, a, b := pair(t, func(c *core.Config, _ *core.InterfaceConfig) { c.Limits.Memory = 128 << 10 })
	c, s, _, _ := connected(t, w, a, b, b4)
	p := a.c.Pool()
	free := p.Limit() - p.InUse() - 100
	require.True(t, p.Reserve(free))
	c.Close()
	w.run()
	s.Close()
	w.run()
	require.True(t, c.Finished())
	require.Zero(t, a.c.Stats().TimeWait)
	require.Equal(t, uint64(1), a.c.Stats().TCPTimeWaitEvicted)
	p.Unreserve(free)
	require.Zero(t, a.c.Stats().Memory)
}

// The last part of the budget is not for datagrams: they are dropped, or their
// writer hears of it, while what protocols need goes on; and they pass again when
// there is memory.
func TestDatagramsAreDropped(t *testing.T) {
	w, a, b := pair(t, func(c *core.Config, _ *core.InterfaceConfig) { c.Limits.Memory = 1 << 20 })
	from, err := a.c.OpenUDP(w.now, core.UDPOptions{Remote: at(b4, 9)})
	require.NoError(t, err)
	to, err := b.c.OpenUDP(w.now, core.UDPOptions{Local: port(9)})
	require.NoError(t, err)
	c, s, _, _ := connected(t, w, a, b, b4)
	hog := func(h *host) (free func()) {
		p := h.c.Pool()
		n := p.Limit()*15/16 - p.InUse()
		require.True(t, p.Reserve(n))
		return func() { p.Unreserve(n) }
	}
	buf := make([]byte, 1)

	free := hog(b)
	require.NoError(t, from.WriteTo([]byte("x"), packet.Meta{}))
	w.run()
	_, _, _, err = to.ReadFrom(buf)
	require.Equal(t, errno.WouldBlock, err)
	require.Equal(t, 1, b.drops(wire.DropNoMemory))
	require.EqualValues(t, 1, b.c.Stats().DatagramsNoMemory)
	_, err = c.Write([]byte("stream"))
	require.NoError(t, err)
	w.run()
	got, _ := readAll(s)
	require.Equal(t, "stream", got, "data in order is taken")
	free()

	free = hog(a)
	require.Equal(t, errno.NoBufs, from.WriteTo([]byte("x"), packet.Meta{}))
	require.EqualValues(t, 1, a.c.Stats().DatagramsNoMemory)
	w.in(a, frameTo(a, echoRequest(x4, a4, "ping")))
	require.EqualValues(t, 1, a.c.Stats().EchoRequestsIn)
	require.Zero(t, a.drops(wire.DropNoMemory))
	free()

	require.NoError(t, from.WriteTo([]byte("y"), packet.Meta{}))
	w.run()
	_, _, _, err = to.ReadFrom(buf)
	require.NoError(t, err)
	require.Equal(t, "y", string(buf))
}
