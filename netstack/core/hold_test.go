package core_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/core"
	"smolnet/netstack/errno"
	"smolnet/netstack/wire"
)

// holding makes a host listen on port 80 and hold back what comes.
func holding(w *world, h *host, backlog int) (*server, *[]*core.TCP) {
	held := new([]*core.TCP)
	srv := h.listen(w.now, core.ListenOptions{Local: port(80), Backlog: backlog, Hold: func(s *core.TCP) { *held = append(*held, s) }})
	return srv, held
}

// The peer of a SYN that is held back hears nothing until there is an answer.
func TestHold(t *testing.T) {
	for _, c := range []struct {
		answer core.Answer
		err    errno.Errno
	}{{core.AnswerAccept, errno.OK}, {core.AnswerReject, errno.ConnRefused}, {core.AnswerDrop, errno.OK}} {
		w, a, b := pair(t)
		srv, held := holding(w, b, 0)
		s, err := a.c.DialTCP(w.now, core.DialOptions{Remote: at(b4, 80)})
		require.NoError(t, err)
		out := b.c.Stats().TCPOut
		w.pass(10 * time.Second)
		require.Len(t, *held, 1, "the SYNs that come again are the same")
		require.Equal(t, out, b.c.Stats().TCPOut)
		require.Equal(t, s.LocalAddr(), (*held)[0].RemoteAddr())
		require.True(t, (*held)[0].Answer(w.now, c.answer))
		require.False(t, (*held)[0].Answer(w.now, core.AnswerAccept), "once")
		w.run()
		require.Equal(t, c.err, s.Err())
		require.Equal(t, c.answer == core.AnswerAccept, s.Connected())
		if c.answer != core.AnswerAccept {
			require.Empty(t, srv.conns)
			require.Zero(t, b.c.Stats().Connections)
			require.Zero(t, b.c.Stats().HalfOpen)
			require.Zero(t, b.c.Stats().Memory)
			continue
		}
		require.Len(t, srv.conns, 1)
		_, err = s.Write([]byte("hello"))
		require.NoError(t, err)
		w.run()
		got, _ := readAll(srv.conns[0])
		require.Equal(t, "hello", got)
		w.pass(3 * time.Minute)
		require.Equal(t, errno.OK, srv.conns[0].Err())
	}
}

// Who is held back for too long, gives up, or whose listener is closed, is gone.
func TestHoldEnds(t *testing.T) {
	var syn wire.TCP // of the client
	for name, end := range map[string]func(w *world, a, b *host, s *core.TCP, srv *server){
		"time":     func(w *world, a, _ *host, s *core.TCP, _ *server) { s.Abort(); w.pass(time.Minute + time.Second) },
		"listener": func(w *world, _, _ *host, _ *core.TCP, srv *server) { srv.l.Close(w.now) },
		"core":     func(w *world, _, b *host, _ *core.TCP, _ *server) { b.c.Close(w.now) },
		"reset": func(w *world, _, b *host, s *core.TCP, _ *server) {
			l, r := s.LocalAddr(), s.RemoteAddr()
			w.in(b, frameVia(hwB, tcpPacket(l.Addr(), r.Addr(), wire.TCP{
				SrcPort: l.Port(), DstPort: 80, Seq: syn.Seq + 1, Flags: wire.RST,
			}, "")))
		},
	} {
		t.Run(name, func(t *testing.T) {
			w, a, b := pair(t)
			a.lose = func(f []byte) bool {
				if isTCP(f, wire.SYN, wire.SYN) {
					syn = parse(t, f).tcp
				}
				return false
			}
			srv, held := holding(w, b, 0)
			s, err := a.c.DialTCP(w.now, core.DialOptions{Remote: at(b4, 80)})
			require.NoError(t, err)
			w.run()
			require.Len(t, *held, 1)
			require.Equal(t, 1, b.c.Stats().HalfOpen)
			end(w, a, b, s, srv)
			w.run()
			require.Zero(t, b.c.Stats().HalfOpen)
			require.Zero(t, b.c.Stats().Connections)
			require.Zero(t, b.c.Stats().Memory)
			require.False(t, (*held)[0].Answer(w.now, core.AnswerAccept))
			w.run()
			require.Empty(t, srv.conns)
		})
	}
}

// They are as many as the SYN queue holds.
func TestHoldBound(t *testing.T) {
	w, h := alone(t, fastOpen)
	srv, held := holding(w, h, 3)
	w.know(h, x4)
	for p := range uint16(5) {
		w.in(h, synFrom(h, x4, 10+p, fullOptions))
	}
	require.Len(t, *held, 3)
	require.Empty(t, h.take())
	require.Equal(t, 2, h.drops(wire.DropListenFull))
	require.Zero(t, h.c.Stats().TCPCookiesSent)
	require.True(t, (*held)[1].Answer(w.now, core.AnswerAccept))
	w.run()
	synAck := h.one().tcp
	require.Equal(t, uint16(11), synAck.DstPort)
	w.in(h, ackTo(h, 11, &synAck, ""))
	require.Len(t, srv.conns, 1)
}
