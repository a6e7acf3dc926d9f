package core_test

import (
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/core"
	"smolnet/netstack/errno"
	"smolnet/netstack/tcp"
)

// Received text is shown to readers once a turn, and whoever asks in the middle
// of one hears of the end of a connection only after all that came before it.
func TestTextBeforeTheEnd(t *testing.T) {
	const text = "the last words"
	for _, tt := range []struct {
		name string
		end  func(c, s *core.TCP) // after s has written
		err  error
		ev   tcp.Events
	}{
		{"FIN", func(_, s *core.TCP) { s.CloseWrite() }, io.EOF, tcp.EventPeerClosed},
		{"TIME-WAIT", func(_, s *core.TCP) { s.CloseWrite() }, io.EOF, tcp.EventTimeWait},
		{"reset", func(_, s *core.TCP) { s.Abort() }, errno.ConnReset, tcp.EventFailed},
		{"our end", nil, errno.Closed, tcp.EventFailed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w, a, b := pair(t)
			c, s, _, u := connected(t, w, a, b, b4)
			if tt.ev == tcp.EventTimeWait {
				c.CloseWrite()
				w.run()
			}
			u.take()
			_, err := s.Write([]byte(text))
			require.NoError(t, err)
			b.turn(w.now)
			if tt.end != nil {
				tt.end(c, s)
				b.turn(w.now)
			}
			require.NotEmpty(t, a.inbox)
			a.c.BeginTurn(w.now)
			for _, f := range a.inbox {
				a.eth.Receive(w.now, f)
			}
			a.inbox = nil
			if tt.end == nil {
				_, err = readAll(c)
				require.Equal(t, errno.WouldBlock, err)
				a.c.Close(w.now)
			}
			got, err := readAll(c)
			require.Equal(t, tt.err, err)
			require.Equal(t, text, got)
			a.c.EndTurn(w.now)
			require.Equal(t, tcp.EventReadable|tt.ev, u.take()&(tcp.EventReadable|tt.ev))
		})
	}
}

// A turn that breaks off after it has received, as one whose device fails, leaves
// nobody without what has arrived: the next EndTurn shows it and tells the reader,
// who has only then been given the connection here.
func TestTextOfABrokenTurn(t *testing.T) {
	w, a, b := pair(t)
	srv := b.listen(w.now, core.ListenOptions{Local: port(80)})
	c, err := a.c.DialTCP(w.now, core.DialOptions{Remote: at(b4, 80)})
	require.NoError(t, err)
	for !c.Connected() {
		b.turn(w.now)
		a.turn(w.now)
	}
	_, err = c.Write([]byte("hello"))
	require.NoError(t, err)
	a.turn(w.now)
	b.c.BeginTurn(w.now)
	for _, f := range b.inbox {
		b.eth.Receive(w.now, f)
	}
	b.inbox = nil
	b.c.BeginTurn(w.now)
	require.Empty(t, srv.conns)
	b.c.EndTurn(w.now)
	require.Len(t, srv.conns, 1)
	got, err := readAll(srv.conns[0])
	require.Equal(t, errno.WouldBlock, err)
	require.Equal(t, "hello", got)
	require.NotZero(t, srv.users[0].take()&tcp.EventReadable)
}
