package core_test

// RFC 7413: TCP Fast Open.

import (
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/core"
	"smolnet/netstack/errno"
	"smolnet/netstack/tcp"
	"smolnet/netstack/wire"
)

func fastOpen(c *core.Config, _ *core.InterfaceConfig) { c.TCP.FastOpen = true }

// A fastPair is two hosts, one of which serves port 80, and the other has a cookie
// of it.
type fastPair struct {
	*world
	a, b *host
	srv  *server
	to   netip.Addr
}

// dial opens a connection with Fast Open.
func (f *fastPair) dial() (*core.TCP, *user) {
	u := &user{}
	c, err := f.a.c.DialTCP(f.now, core.DialOptions{Remote: at(f.to, 80), Waiter: u, FastOpen: true})
	require.NoError(f.t, err)
	return c, u
}

func newFastPair(t *testing.T, to netip.Addr) *fastPair {
	w, a, b := pair(t, fastOpen)
	f := &fastPair{w, a, b, b.listen(w.now, core.ListenOptions{Local: port(80)}), to}
	c, _ := f.dial()
	require.False(t, c.Deferred(), "there is no cookie yet")
	w.run()
	require.True(t, c.Connected())
	f.drop(c)
	require.Zero(t, b.c.Stats().TCPFastOpenRefused)
	return f
}

// drop ends a connection and forgets its other end.
func (f *fastPair) drop(c *core.TCP) {
	c.Abort()
	for _, s := range f.srv.conns {
		s.Abort()
		f.srv.l.Taken()
	}
	f.srv.conns, f.srv.users = nil, nil
	f.run()
}

// isTCP reports whether a frame is a segment with these flags, of those in mask.
func isTCP(frame []byte, mask, flags wire.TCPFlags) bool {
	switch {
	case frame[12] == 8 && frame[13] == 0 && frame[23] == 6:
		return wire.TCPFlags(frame[14+20+13])&mask == flags
	case frame[12] == 0x86 && frame[20] == 6:
		return wire.TCPFlags(frame[14+40+13])&mask == flags
	}
	return false
}

// losing has a host lose the first n SYNs or, with ACK, SYN-ACKs.
func (h *host) losing(n int, ack wire.TCPFlags) *int {
	lost := new(int)
	h.lose = func(frame []byte) bool {
		if *lost < n && isTCP(frame, wire.SYN|wire.ACK, wire.SYN|ack) {
			*lost++
			return true
		}
		return false
	}
	return lost
}

// The whole of it: request and answer in one round trip.
func TestFastOpen(t *testing.T) {
	for _, to := range []netip.Addr{b4, b6} {
		t.Run(to.String(), func(t *testing.T) {
			f := newFastPair(t, to)
			c, u := f.dial()
			require.True(t, c.Deferred())
			f.run()
			require.False(t, c.Connected(), "it waits for text")
			n, err := c.Write([]byte("request"))
			require.NoError(t, err)
			require.Equal(t, 7, n)
			// Nothing of the client but its SYN gets through.
			syns := 0
			f.a.lose = func(frame []byte) bool {
				if isTCP(frame, wire.SYN, wire.SYN) {
					syns++
					return false
				}
				return isTCP(frame, 0, 0)
			}
			f.run()
			require.Equal(t, 1, syns)
			require.Len(t, f.srv.conns, 1)
			s := f.srv.conns[0]
			got, _ := readAll(s)
			require.Equal(t, "request", got)
			_, err = s.Write([]byte("answer"))
			require.NoError(t, err)
			f.run()
			got, _ = readAll(c)
			require.Equal(t, "answer", got, "before the server has seen the client's ACK")
			require.True(t, c.Connected())
			require.False(t, c.Deferred())
			require.NotZero(t, u.take()&tcp.EventConnected)
			f.a.lose = nil
			c.Close()
			f.run()
			s.Close()
			f.pass(2 * time.Minute)
			for _, h := range f.hosts {
				require.Zero(t, h.c.Stats().Connections)
				require.Zero(t, h.c.Stats().Memory)
				require.Zero(t, h.c.Stats().HalfOpen)
			}
			require.Equal(t, [2]uint64{1, 1}, [2]uint64{f.a.c.Stats().TCPFastOpenSent, f.a.c.Stats().TCPFastOpenTaken})
			require.Equal(t, uint64(1), f.b.c.Stats().TCPFastOpenAccepted)
		})
	}
}

// More than fits in the SYN follows as usual, and bulk in the other direction too.
func TestFastOpenBulk(t *testing.T) {
	f := newFastPair(t, b4)
	c, _ := f.dial()
	data := make([]byte, 100_000)
	for i := range data {
		data[i] = byte(i / 7)
	}
	n, err := c.Write(data)
	require.NoError(t, err)
	require.Equal(t, len(data), n)
	f.run()
	require.Len(t, f.srv.conns, 1)
	s := f.srv.conns[0]
	_, err = s.Write(data)
	require.NoError(t, err)
	var there, back string
	for range 50 {
		f.pass(20 * time.Millisecond)
		got, _ := readAll(s)
		there += got
		got, _ = readAll(c)
		back += got
	}
	require.Equal(t, string(data), there)
	require.Equal(t, string(data), back)
}

// The SYN with text is lost, as some middleboxes would have it: then the usual
// handshake, with the text after it, and next time no attempt.
func TestFastOpenBlackHole(t *testing.T) {
	f := newFastPair(t, b4)
	fail := func() {
		c, _ := f.dial()
		require.True(t, c.Deferred())
		lost := f.a.losing(1, 0)
		_, err := c.Write([]byte("request"))
		require.NoError(t, err)
		f.pass(1500 * time.Millisecond)
		require.Equal(t, 1, *lost)
		require.True(t, c.Connected())
		require.Len(t, f.srv.conns, 1)
		got, _ := readAll(f.srv.conns[0])
		require.Equal(t, "request", got)
		require.Zero(t, f.b.c.Stats().TCPFastOpenAccepted)
		f.drop(c)
	}
	avoids := func(want bool) {
		t.Helper()
		c, _ := f.dial()
		require.Equal(t, want, !c.Deferred())
		f.run()
		f.drop(c)
	}
	fail()
	avoids(true)
	f.pass(time.Minute)
	fail()
	f.pass(time.Minute + 30*time.Second)
	avoids(true)
	f.pass(time.Minute)
	c, _ := f.dial()
	require.True(t, c.Deferred())
	_, err := c.Write([]byte("x"))
	require.NoError(t, err)
	f.run()
	f.drop(c)
	avoids(false)
}

// The server's SYN-ACK is lost: it comes again, and the text is taken once.
func TestFastOpenSynAckLost(t *testing.T) {
	for _, n := range []int{1, 2} {
		f := newFastPair(t, b4)
		lost := f.b.losing(n, wire.ACK)
		c, _ := f.dial()
		_, err := c.Write([]byte("request"))
		require.NoError(t, err)
		f.run()
		require.Len(t, f.srv.conns, 1)
		s := f.srv.conns[0]
		_, err = s.Write([]byte("answer"))
		require.NoError(t, err)
		f.pass(5 * time.Second)
		require.Equal(t, n, *lost)
		require.True(t, c.Connected())
		require.Len(t, f.srv.conns, 1)
		got, _ := readAll(s)
		require.Equal(t, "request", got)
		got, _ = readAll(c)
		require.Equal(t, "answer", got)
	}
}

// The keys of a server change: a cookie of the one before is good and renewed, an
// older one is not, but that is no failure.
func TestFastOpenOldCookie(t *testing.T) {
	for after, taken := range map[time.Duration]bool{time.Hour: true, 3 * time.Hour: false} {
		f := newFastPair(t, b4)
		f.pass(after)
		s, _ := f.dial()
		require.True(t, s.Deferred())
		_, err := s.Write([]byte("request"))
		require.NoError(t, err)
		f.run()
		require.True(t, s.Connected())
		require.Len(t, f.srv.conns, 1)
		got, _ := readAll(f.srv.conns[0])
		require.Equal(t, "request", got, "sent again if need be, without delay")
		st := f.b.c.Stats()
		require.Equal(t, taken, st.TCPFastOpenAccepted == 1)
		require.Equal(t, taken, st.TCPFastOpenRefused == 0)
		f.drop(s)
		f.pass(30 * time.Minute)
		s, _ = f.dial()
		require.True(t, s.Deferred())
		_, err = s.Write([]byte("again"))
		require.NoError(t, err)
		f.run()
		require.Greater(t, f.b.c.Stats().TCPFastOpenAccepted, st.TCPFastOpenAccepted)
	}
}

// A server without Fast Open: asked once, then left alone for a while.
func TestFastOpenUnknown(t *testing.T) {
	w, a, b := pair(t)
	f := &fastPair{w, a, b, b.listen(w.now, core.ListenOptions{Local: port(80)}), b4}
	asked := 0
	a.lose = func(frame []byte) bool {
		if isTCP(frame, wire.SYN, wire.SYN) {
			if s := parse(t, frame); s.tcp.Options.HasFastOpen {
				asked++
				require.Zero(t, s.tcp.Options.FastOpenLen)
				require.Empty(t, s.data)
			}
		}
		return false
	}
	dial := func() {
		c, _ := f.dial()
		require.False(t, c.Deferred())
		f.run()
		require.True(t, c.Connected())
		f.drop(c)
	}
	for range 3 {
		dial()
	}
	require.Equal(t, 1, asked)
	f.pass(time.Minute)
	dial()
	require.Equal(t, 2, asked)
}

// What else may come first: a Read sends the SYN; what was written goes out although
// the user is done.
func TestFastOpenDeferred(t *testing.T) {
	t.Run("read", func(t *testing.T) {
		f := newFastPair(t, b4)
		c, _ := f.dial()
		_, err := c.Read(make([]byte, 1))
		require.Equal(t, errno.WouldBlock, err)
		f.run()
		require.True(t, c.Connected())
		require.Len(t, f.srv.conns, 1)
	})
	for name, end := range map[string]func(*core.TCP){"CloseWrite": (*core.TCP).CloseWrite, "Close": (*core.TCP).Close} {
		for _, at := range []string{"with", "after"} {
			t.Run(name+" "+at, func(t *testing.T) {
				f := newFastPair(t, b4)
				c, _ := f.dial()
				_, err := c.Write([]byte("request"))
				require.NoError(t, err)
				if at == "after" {
					f.b.losing(1, wire.ACK)
					f.run()
				}
				end(c)
				f.pass(5 * time.Second)
				require.Len(t, f.srv.conns, 1)
				got, err := readAll(f.srv.conns[0])
				require.Equal(t, "request", got)
				require.ErrorContains(t, err, "EOF")
				f.srv.conns[0].Close()
				f.run()
				c.Close()
				f.pass(2 * time.Minute)
				require.Zero(t, f.a.c.Stats().Connections)
				require.Zero(t, f.b.c.Stats().Connections)
			})
		}
	}
	t.Run("refused", func(t *testing.T) {
		f := newFastPair(t, b4)
		f.srv.l.Close(f.now)
		c, u := f.dial()
		_, err := c.Write([]byte("request"))
		require.NoError(t, err)
		f.run()
		require.NotZero(t, u.take()&tcp.EventFailed)
		_, err = c.Read(make([]byte, 1))
		require.Equal(t, errno.ConnRefused, err)
	})
}

// Who gives up before anything was written leaves nothing behind, and sends nothing.
func TestFastOpenGivenUp(t *testing.T) {
	for _, how := range []string{"Close", "Abort", "core"} {
		t.Run(how, func(t *testing.T) {
			f := newFastPair(t, b4)
			before := f.a.c.Stats().TCPOut
			c, u := f.dial()
			f.run()
			switch how {
			case "Close":
				c.Close()
			case "Abort":
				c.Abort()
			default:
				f.a.c.Close(f.now)
				f.run()
				require.Equal(t, errno.Closed, c.Err())
				require.NotZero(t, u.take()&tcp.EventFailed)
				c.Close()
			}
			f.run()
			require.Zero(t, f.a.c.Stats().Connections)
			require.Zero(t, f.a.c.Stats().Memory)
			require.Equal(t, before, f.a.c.Stats().TCPOut)
		})
	}
}

// fastSyn makes a SYN with text from x4, as one who knows a cookie.
func fastSyn(h *host, p uint16, cookie []byte, data string) []byte {
	o := wire.TCPOptions{MSS: 1460, HasFastOpen: true, FastOpenLen: uint8(len(cookie))}
	copy(o.FastOpenCookie[:], cookie)
	return frameTo(h, tcpPacket(x4, a4, wire.TCP{SrcPort: p, DstPort: 80, Seq: 100, Flags: wire.SYN, Window: 1000, Options: o}, data))
}

// fromX makes a segment of x4's.
func fromX(h *host, p uint16, seq, ack uint32, f wire.TCPFlags, data string) []byte {
	return frameTo(h, tcpPacket(x4, a4, wire.TCP{SrcPort: p, DstPort: 80, Seq: seq, Ack: ack, Flags: f, Window: 1000}, data))
}

// fastServer is a host that serves port 80 with Fast Open, and x4's cookie.
func fastServer(t *testing.T, opts ...option) (*world, *host, *server, []byte) {
	w, h := alone(t, append(opts, fastOpen)...)
	srv := h.listen(w.now, core.ListenOptions{Local: port(80)})
	w.know(h, x4)
	h.take()
	w.in(h, fastSyn(h, 1, nil, "not to be taken"))
	s := h.one()
	require.Equal(t, uint32(101), s.tcp.Ack)
	require.Equal(t, uint8(8), s.tcp.Options.FastOpenLen)
	w.in(h, fromX(h, 1, 101, 0, wire.RST, ""))
	require.Zero(t, h.c.Stats().Connections)
	return w, h, srv, s.tcp.Options.FastOpenCookie[:8]
}

// What a server does about each kind of SYN.
func TestFastOpenServer(t *testing.T) {
	for _, tt := range []struct {
		name    string
		change  func(cookie []byte) []byte
		text    string
		ack     uint32
		offered bool // a cookie comes back
	}{
		{name: "good", text: "hello", ack: 106},
		{name: "no text", ack: 101},
		{name: "wrong", change: func(c []byte) []byte { c[3]++; return c }, text: "hello", ack: 101, offered: true},
		{name: "short", change: func(c []byte) []byte { return c[:4] }, text: "hello", ack: 101, offered: true},
		{name: "asked for", change: func([]byte) []byte { return nil }, text: "hello", ack: 101, offered: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w, h, srv, cookie := fastServer(t)
			if tt.change != nil {
				cookie = tt.change(cookie)
			}
			w.in(h, fastSyn(h, 2, cookie, tt.text))
			s := h.one()
			require.Equal(t, wire.SYN|wire.ACK, s.tcp.Flags)
			require.Equal(t, tt.ack, s.tcp.Ack)
			require.Equal(t, tt.offered, s.tcp.Options.HasFastOpen)
			taken := tt.ack > 101
			require.Equal(t, taken, len(srv.conns) == 1)
			w.in(h, fromX(h, 2, tt.ack, s.tcp.Seq+1, wire.ACK, "more"))
			require.Len(t, srv.conns, 1)
			got, _ := readAll(srv.conns[0])
			if taken {
				require.Equal(t, "hellomore", got)
			} else {
				require.Equal(t, "more", got)
			}
		})
	}
	t.Run("off", func(t *testing.T) {
		w, h := open(t)
		h.take()
		w.in(h, fastSyn(h, 2, make([]byte, 8), "hello"))
		s := h.one()
		require.Equal(t, uint32(101), s.tcp.Ack)
		require.False(t, s.tcp.Options.HasFastOpen)
	})
}

// RFC 7413 5.1: openings that nobody follows up have bounded places, of which a
// reset frees none at once. They end like half-open connections.
func TestFastOpenPending(t *testing.T) {
	w, h, srv, cookie := fastServer(t, func(c *core.Config, _ *core.InterfaceConfig) { c.Limits.FastOpenPending = 3 })
	open := func(p uint16, want int) (iss uint32) {
		t.Helper()
		w.know(h, x4)
		w.in(h, fastSyn(h, p, cookie, "hello"))
		require.Len(t, srv.conns, want)
		return h.one().tcp.Seq
	}
	iss := open(10, 1)
	open(11, 2)
	open(12, 3)
	open(13, 3)
	require.Equal(t, uint64(1), h.c.Stats().TCPFastOpenOverflow)
	require.Equal(t, 1, h.c.Stats().HalfOpen, "a usual handshake")
	// One shows its face: there is a place.
	w.in(h, fromX(h, 10, 106, iss+1, wire.ACK, ""))
	open(14, 4)
	// One is reset: there is none for a while.
	w.in(h, fromX(h, 11, 106, 0, wire.RST, ""))
	require.Equal(t, errno.ConnReset, srv.conns[1].Err())
	open(15, 4)
	// The others are given up after a while, and tell their users.
	w.pass(3 * time.Minute)
	for _, s := range srv.conns[2:] {
		require.Contains(t, []errno.Errno{errno.TimedOut, errno.HostUnreach}, s.Err())
	}
	require.Equal(t, errno.OK, srv.conns[0].Err())
	open(16, 5)
	open(17, 6)
	open(18, 7)
	open(19, 7)
}

// A reset's place is free again after a minute.
func TestFastOpenReset(t *testing.T) {
	w, h, srv, cookie := fastServer(t, func(c *core.Config, _ *core.InterfaceConfig) { c.Limits.FastOpenPending = 1 })
	w.in(h, fastSyn(h, 10, cookie, "hello"), fromX(h, 10, 106, 0, wire.RST, ""))
	require.Empty(t, h.take(), "it is over before there was an answer")
	for _, after := range []struct {
		wait time.Duration
		want int
	}{{0, 1}, {59 * time.Second, 1}, {2 * time.Second, 2}} {
		w.pass(after.wait)
		w.know(h, x4)
		w.in(h, fastSyn(h, uint16(11+after.wait/time.Second), cookie, "hello"))
		require.Len(t, srv.conns, after.want)
	}
}

// Who does not see our SYN-ACK gets nowhere with text after the SYN.
func TestFastOpenBlind(t *testing.T) {
	w, h, srv, cookie := fastServer(t)
	w.in(h, fastSyn(h, 2, cookie, "hello"))
	iss := h.one().tcp.Seq
	for _, ack := range []uint32{iss, iss - 500, iss + 2, iss + 1<<20} {
		w.in(h, fromX(h, 2, 106, ack, wire.ACK, "forged"))
		rst := h.one()
		require.Equal(t, wire.RST, rst.tcp.Flags)
		require.Equal(t, ack, rst.tcp.Seq)
	}
	got, _ := readAll(srv.conns[0])
	require.Equal(t, "hello", got)
	w.in(h, fastSyn(h, 2, cookie, "hello"))
	again := h.one()
	require.Equal(t, wire.SYN|wire.ACK, again.tcp.Flags)
	require.Equal(t, uint32(106), again.tcp.Ack)
	w.in(h, fromX(h, 2, 106, iss+1, wire.ACK, "true"))
	got, _ = readAll(srv.conns[0])
	require.Equal(t, "true", got)
}

// The servers that are remembered are bounded, and those in use stay.
func TestFastOpenCache(t *testing.T) {
	f := newFastPair(t, b4)
	dial := func(p uint16) *core.TCP {
		c, err := f.a.c.DialTCP(f.now, core.DialOptions{Remote: at(b4, p), FastOpen: true})
		require.NoError(t, err)
		return c
	}
	for i := range uint16(1100) {
		srv := f.b.listen(f.now, core.ListenOptions{Local: port(1000 + i)})
		c := dial(1000 + i)
		f.run()
		require.True(t, c.Connected())
		c.Abort()
		f.run()
		srv.l.Close(f.now)
		if i == 600 {
			c := dial(80)
			require.True(t, c.Deferred())
			f.drop(c)
		}
	}
	require.True(t, dial(80).Deferred(), "it was used not long ago")
	require.True(t, dial(2000).Deferred())
	require.False(t, dial(1000).Deferred(), "it had to make room")
}
