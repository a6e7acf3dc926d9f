package core_test

import (
	"io"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/core"
	"smolnet/netstack/errno"
	"smolnet/netstack/tcp"
	"smolnet/netstack/wire"
)

// Linux's order: what arrived before a reset is read first, the reset is
// reported once, then there is the end; writes get EPIPE, or the reset if
// nobody has heard of it yet.
func TestReset(t *testing.T) {
	w, a, b := pair(t)
	c, s, srv, u := connected(t, w, a, b, b4)
	_, err := s.Write([]byte("before"))
	require.NoError(t, err)
	w.run()
	s.Abort()
	w.run()
	require.NotZero(t, u.take()&tcp.EventFailed)
	require.Equal(t, errno.ConnReset, c.Err())
	got, err := readAll(c)
	require.Equal(t, "before", got)
	require.Equal(t, errno.ConnReset, err)
	_, err = c.Read(make([]byte, 1))
	require.Equal(t, io.EOF, err)
	_, err = c.Write([]byte("x"))
	require.Equal(t, errno.Pipe, err)
	require.Zero(t, srv.users[0].take()&tcp.EventFailed, "who aborts hears nothing")

	c2, err := a.c.DialTCP(w.now, core.DialOptions{Remote: at(b4, 80)})
	require.NoError(t, err)
	w.run()
	srv.conns[1].Abort()
	w.run()
	_, err = c2.Write([]byte("x"))
	require.Equal(t, errno.ConnReset, err)
	_, err = c2.Write([]byte("x"))
	require.Equal(t, errno.Pipe, err)
	_, err = c2.Read(make([]byte, 1))
	require.Equal(t, io.EOF, err)
	c.Close()
	c2.Close()
	w.run()
	for _, h := range w.hosts {
		require.Zero(t, h.c.Stats().Connections)
		require.Zero(t, h.c.Stats().Memory)
	}
}

func TestRefused(t *testing.T) {
	w, a, _ := pair(t)
	u := &user{}
	c, err := a.c.DialTCP(w.now, core.DialOptions{Remote: at(b4, 81), Waiter: u})
	require.NoError(t, err)
	w.run()
	require.Equal(t, errno.ConnRefused, c.Err())
	require.False(t, c.Connected())
	require.True(t, c.Finished())
	require.Equal(t, tcp.EventFailed|tcp.EventClosed, u.take())
	require.Zero(t, a.c.Stats().Connections)
	c, err = a.c.DialTCP(w.now, core.DialOptions{Remote: at(b4, 0)})
	require.NoError(t, err)
	w.run()
	require.Equal(t, errno.ConnRefused, c.Err(), "port 0 is a port")
}

// After Close and the like, every call says so.
func TestAfterClose(t *testing.T) {
	w, a, b := pair(t)
	c, s, _, _ := connected(t, w, a, b, b6)
	c.CloseWrite()
	_, err := c.Write([]byte("x"))
	require.Equal(t, errno.Pipe, err)
	n, err := c.Read(nil)
	require.Zero(t, n)
	require.NoError(t, err)
	_, err = s.Write([]byte("unread"))
	require.NoError(t, err)
	w.run()
	c.CloseRead()
	got, err := readAll(c)
	require.Equal(t, "unread", got, "what had arrived")
	require.Equal(t, io.EOF, err)
	_, err = s.Write([]byte("later"))
	require.NoError(t, err)
	w.run()
	got, err = readAll(c)
	require.Equal(t, "later", got, "what arrived since")
	require.Equal(t, io.EOF, err)
	c.Close()
	_, err = c.Read(nil)
	require.Equal(t, errno.Closed, err)
	_, err = c.Write(nil)
	require.Equal(t, errno.Closed, err)
	s.Close()
	w.run()
	w.pass(2 * time.Minute)
	require.Zero(t, a.c.Stats().Connections+b.c.Stats().Connections)
}

// RFC 2525 2.17: closing with unread data is a reset.
func TestCloseUnread(t *testing.T) {
	w, a, b := pair(t)
	c, s, _, _ := connected(t, w, a, b, b4)
	_, err := c.Write([]byte("nobody reads this"))
	require.NoError(t, err)
	w.run()
	s.Close()
	w.run()
	_, err = c.Read(make([]byte, 1))
	require.Equal(t, errno.ConnReset, err)
	require.Zero(t, b.c.Stats().Memory)
}

// What has arrived can be read in TIME-WAIT, and when the record is gone.
func TestReadInTimeWait(t *testing.T) {
	w, a, b := pair(t)
	c, s, _, _ := connected(t, w, a, b, b4)
	c.CloseWrite()
	w.run()
	_, err := s.Write([]byte("late"))
	require.NoError(t, err)
	s.Close()
	w.run()
	require.Equal(t, 1, a.c.Stats().TimeWait)
	require.Zero(t, a.c.Stats().Connections)
	require.True(t, c.Finished())
	w.pass(3 * time.Minute)
	require.Zero(t, a.c.Stats().TimeWait)
	got, err := readAll(c)
	require.Equal(t, "late", got)
	require.Equal(t, io.EOF, err)
	require.NotZero(t, a.c.Stats().Memory)
	c.Close()
	w.run()
	require.Zero(t, a.c.Stats().Memory)
}

// Backlog: SYN queue and accept queue are bounded, nothing is reset, and who
// was turned away gets in when there is room.
func TestBacklog(t *testing.T) {
	w, a, b := pair(t)
	srv := b.listen(w.now, core.ListenOptions{Local: port(80), Backlog: 2})
	var conns []*core.TCP
	for range 5 {
		c, err := a.c.DialTCP(w.now, core.DialOptions{Remote: at(b4, 80)})
		require.NoError(t, err)
		conns = append(conns, c)
		w.run()
	}
	require.Len(t, srv.conns, 2)
	require.NotZero(t, b.drops(wire.DropListenFull))
	w.pass(2 * time.Second)
	require.Len(t, srv.conns, 2)
	for range 3 {
		srv.l.Taken()
		srv.l.Taken()
		w.pass(10 * time.Second)
	}
	require.Len(t, srv.conns, 5)
	for _, c := range conns {
		require.True(t, c.Connected())
	}
}

// The last ACK of a handshake is not taken while the accept queue is full.
func TestAcceptQueueFull(t *testing.T) {
	w, h := open(t, noCookies)
	srv := h.listen(w.now, core.ListenOptions{Local: port(8), Backlog: 1})
	from := func(p uint16, f wire.TCPFlags, seq, ack uint32) {
		w.in(h, frameTo(h, tcpPacket(x4, a4, wire.TCP{SrcPort: p, DstPort: 8, Seq: seq, Ack: ack, Flags: f, Window: 1000}, "")))
	}
	from(1, wire.SYN, 100, 0)
	first := h.one().tcp.Seq
	from(1, wire.ACK, 101, first+1)
	require.Len(t, srv.conns, 1)
	srv.l.Taken()
	from(2, wire.SYN, 100, 0)
	second := h.one().tcp.Seq
	from(3, wire.SYN, 100, 0)
	require.Empty(t, h.take(), "the SYN queue is full")
	from(2, wire.ACK, 101, second+1)
	require.Len(t, srv.conns, 2)
	from(4, wire.SYN, 100, 0)
	require.Empty(t, h.take(), "the accept queue is full")
	require.Equal(t, 2, h.drops(wire.DropListenFull))
}

// A full accept queue keeps no reset from a half-open connection: it is not
// sent again.
func TestResetWhileAcceptQueueFull(t *testing.T) {
	w, h := open(t)
	srv := h.listen(w.now, core.ListenOptions{Local: port(8), Backlog: 2})
	from := func(p uint16, f wire.TCPFlags, seq, ack uint32) {
		w.in(h, frameTo(h, tcpPacket(x4, a4, wire.TCP{SrcPort: p, DstPort: 8, Seq: seq, Ack: ack, Flags: f, Window: 1000}, "")))
	}
	var iss [3]uint32
	for _, ports := range [][]uint16{{0, 1}, {2}} {
		for _, p := range ports {
			from(p+1, wire.SYN, 100, 0)
			iss[p] = h.one().tcp.Seq
		}
		if ports[0] == 0 {
			from(1, wire.ACK, 101, iss[0]+1)
		}
	}
	from(2, wire.ACK, 101, iss[1]+1)
	require.Len(t, srv.conns, 2)
	require.Equal(t, 1, h.c.Stats().HalfOpen)
	from(3, wire.ACK, 101, iss[2]+1)
	require.Equal(t, 1, h.c.Stats().HalfOpen, "the accept queue is full")
	from(3, wire.RST|wire.ACK, 101, iss[2]+1)
	require.Zero(t, h.c.Stats().HalfOpen)
}

// A flood of SYNs that nobody follows up: bounded, and over after a while.
func TestSynFlood(t *testing.T) {
	w, h := open(t, noCookies, func(c *core.Config, _ *core.InterfaceConfig) {
		c.Limits.HalfOpen, c.Limits.HalfOpenPerSource = 50, 50
	})
	for i := range 1000 {
		w.in(h, frameTo(h, tcpPacket(x4, a4, wire.TCP{SrcPort: uint16(1000 + i), DstPort: 80, Seq: 1, Flags: wire.SYN, Window: 9}, "")))
	}
	require.Equal(t, 50, h.c.Stats().HalfOpen)
	require.Equal(t, 50, h.c.Stats().Connections)
	require.Equal(t, 950, h.drops(wire.DropListenFull))
	w.pass(5 * time.Minute)
	require.Zero(t, h.c.Stats().HalfOpen)
	require.Zero(t, h.c.Stats().Connections)
}

// Closing a listener resets what is half open, and leaves the rest alone.
func TestListenerClose(t *testing.T) {
	w, a, b := pair(t)
	_, s, srv, _ := connected(t, w, a, b, b4)
	a.lose = func(f []byte) bool { return len(f) > 47 && f[23] == 6 && f[47]&0x12 == 0x10 } // no ACK gets through
	c, err := a.c.DialTCP(w.now, core.DialOptions{Remote: at(b4, 80)})
	require.NoError(t, err)
	w.run()
	require.Equal(t, 1, b.c.Stats().HalfOpen)
	srv.l.Close(w.now)
	srv.l.Close(w.now)
	w.run()
	require.Zero(t, b.c.Stats().HalfOpen)
	require.Equal(t, errno.ConnReset, c.Err())
	require.Equal(t, errno.OK, s.Err())
	require.Equal(t, uint64(1), b.c.Stats().TCPResetsOut)
	c, err = a.c.DialTCP(w.now, core.DialOptions{Remote: at(b4, 80)})
	require.NoError(t, err)
	w.run()
	require.Equal(t, errno.ConnRefused, c.Err())
	require.Equal(t, uint64(2), b.c.Stats().TCPResetsOut)
}

// TIME-WAIT records are bounded: the oldest goes.
func TestTimeWaitBound(t *testing.T) {
	w, a, b := pair(t, func(c *core.Config, _ *core.InterfaceConfig) { c.Limits.TimeWait = 4 })
	srv := b.listen(w.now, core.ListenOptions{Local: port(80)})
	for i := range 10 {
		c, err := a.c.DialTCP(w.now, core.DialOptions{Remote: at(b4, 80)})
		require.NoError(t, err)
		w.run()
		c.Close()
		w.run()
		srv.conns[i].Close()
		srv.l.Taken()
		w.pass(time.Second)
	}
	require.Equal(t, 4, a.c.Stats().TimeWait)
	require.Equal(t, uint64(6), a.c.Stats().TCPTimeWaitEvicted)
	w.pass(time.Minute)
	require.Zero(t, a.c.Stats().TimeWait)
}

// RFC 9293 3.10.7.8: a FIN again is acknowledged again, and MAY-2: a new SYN
// opens a new connection.
func TestTimeWaitAnswers(t *testing.T) {
	w, h := open(t)
	srv := h.listen(w.now, core.ListenOptions{Local: port(8)})
	send := func(f wire.TCPFlags, seq, ack uint32) {
		w.in(h, frameTo(h, tcpPacket(x4, a4, wire.TCP{SrcPort: 7, DstPort: 8, Seq: seq, Ack: ack, Flags: f, Window: 1000}, "")))
	}
	send(wire.SYN, 100, 0)
	iss := h.one().tcp.Seq
	send(wire.ACK, 101, iss+1)
	srv.conns[0].Close()
	w.run()
	require.Equal(t, wire.FIN, h.one().tcp.Flags&wire.FIN)
	send(wire.FIN|wire.ACK, 101, iss+2)
	require.Equal(t, uint32(102), h.one().tcp.Ack)
	require.Equal(t, 1, h.c.Stats().TimeWait)
	send(wire.FIN|wire.ACK, 101, iss+2)
	again := h.one().tcp
	require.Equal(t, [3]uint32{iss + 2, 102, uint32(wire.ACK)}, [3]uint32{again.Seq, again.Ack, uint32(again.Flags)})
	send(wire.RST, 102, 0)
	require.Equal(t, 1, h.c.Stats().TimeWait, "RFC 1337")
	send(wire.SYN, 5000, 0)
	require.Zero(t, h.c.Stats().TimeWait)
	require.Equal(t, wire.SYN|wire.ACK, h.one().tcp.Flags)
}

// RFC 9293 MAY-2, 3.6.1: what reopens begins beyond the old sequence numbers, however
// many those were; and while nothing reopens, TIME-WAIT goes on.
func TestTimeWaitReopens(t *testing.T) {
	w, h := open(t)
	srv := h.listen(w.now, core.ListenOptions{Local: port(8), Backlog: 1})
	send := func(from uint16, f wire.TCPFlags, seq, ack uint32) {
		w.in(h, frameTo(h, tcpPacket(x4, a4, wire.TCP{SrcPort: from, DstPort: 8, Seq: seq, Ack: ack, Flags: f, Window: 1000}, "")))
	}
	send(7, wire.SYN, 100, 0)
	iss := h.one().tcp.Seq
	send(7, wire.ACK, 101, iss+1)
	srv.l.Taken()
	const size = 300_000 // sent without time passing: far ahead of the clock of ISNs
	next := iss + 1
	for rest := size; rest > 0; {
		n, _ := srv.conns[0].Write(make([]byte, min(rest, 900)))
		rest -= n
		w.run()
		h.take()
		next += uint32(n)
		send(7, wire.ACK, 101, next)
	}
	srv.conns[0].Close()
	w.run()
	h.take()
	send(7, wire.FIN|wire.ACK, 101, next+1)
	h.take()
	require.Equal(t, 1, h.c.Stats().TimeWait)

	send(9, wire.SYN, 100, 0) // the backlog is full
	h.take()
	send(7, wire.SYN, 5000, 0)
	require.Empty(t, h.take())
	require.Equal(t, 1, h.c.Stats().TimeWait, "no connection, no end of TIME-WAIT")
	send(9, wire.RST, 101, 0)
	send(7, wire.SYN, 5000, 0)
	syn := h.one().tcp
	require.Equal(t, wire.SYN|wire.ACK, syn.Flags)
	require.Greater(t, int32(syn.Seq-next), int32(65535))
	require.Zero(t, h.c.Stats().TimeWait)
	send(7, wire.RST, 5001, 0)

	require.Zero(t, h.c.Stats().Connections)
}

// Segments for nobody: RFC 9293 3.10.7.1, 3.10.7.2; and flags that make no
// sense open nothing.
func TestStraySegments(t *testing.T) {
	w, h := open(t)
	for _, c := range []struct {
		name string
		h    wire.TCP
		want wire.TCPFlags
	}{
		{"SYN to closed port", wire.TCP{DstPort: 81, Flags: wire.SYN}, wire.RST | wire.ACK},
		{"ACK to closed port", wire.TCP{DstPort: 81, Flags: wire.ACK}, wire.RST},
		{"RST to closed port", wire.TCP{DstPort: 81, Flags: wire.RST}, 0},
		{"ACK to listener", wire.TCP{DstPort: 80, Flags: wire.ACK, Ack: 7}, wire.RST},
		{"RST to listener", wire.TCP{DstPort: 80, Flags: wire.RST}, 0},
		{"FIN to listener", wire.TCP{DstPort: 80, Flags: wire.FIN}, 0},
		{"nothing to listener", wire.TCP{DstPort: 80}, 0},
		{"SYN with ECN", wire.TCP{DstPort: 80, Flags: wire.SYN | wire.ECE | wire.CWR}, wire.SYN | wire.ACK},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.h.SrcPort = 1000 + uint16(len(c.name))
			w.in(h, frameTo(h, tcpPacket(x4, a4, c.h, "")))
			if c.want == 0 {
				require.Empty(t, h.take())
				return
			}
			require.Equal(t, c.want, h.one().tcp.Flags&(wire.SYN|wire.ACK|wire.RST|wire.FIN))
		})
	}
}

// Users on other goroutines, the loop on its own: no update is lost, no race.
func TestDirtyListConcurrent(t *testing.T) {
	const conns, size = 8, 100_000
	a := newHost(t, hwA, prefixes("192.0.2.1/24"))
	w := newWorld(t, a)
	srv := a.listen(w.now, core.ListenOptions{Local: port(80)})
	clients := make([]*core.TCP, conns)
	for i := range clients {
		var err error
		clients[i], err = a.c.DialTCP(w.now, core.DialOptions{Remote: at(a4, 80)})
		require.NoError(t, err)
	}
	w.run()
	require.Len(t, srv.conns, conns)
	var wg sync.WaitGroup
	for i := range conns {
		wg.Go(func() {
			for n := 0; n < size; {
				m, err := clients[i].Write(make([]byte, min(777, size-n)))
				n += m
				if err != nil && err != errno.WouldBlock {
					t.Error(err)
					return
				}
			}
			clients[i].CloseWrite()
		})
		wg.Go(func() {
			b, n := make([]byte, 999), 0
			for {
				m, err := srv.conns[i].Read(b)
				n += m
				if err == io.EOF {
					break
				}
				if err != nil && err != errno.WouldBlock {
					t.Error(err)
					return
				}
			}
			if n != size {
				t.Errorf("%d of %d bytes", n, size)
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	for {
		select {
		case <-done:
			return
		default:
			w.now++
			a.turn(w.now)
			w.now = max(w.now, min(a.c.Deadline(), w.now+1e6))
		}
	}
}
