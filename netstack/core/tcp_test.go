package core_test

import (
	"io"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/core"
	"smolnet/netstack/errno"
	"smolnet/netstack/tcp"
)

// The whole way: connect, say something, answer, close, on every medium and in
// both families.
func TestEcho(t *testing.T) {
	for _, medium := range []struct {
		name string
		opts []option
	}{{"ethernet", nil}, {"ip", []option{bareIP}}} {
		for _, to := range []netip.Addr{b4, b6} {
			t.Run(medium.name+" "+to.String(), func(t *testing.T) {
				w, a, b := pair(t, medium.opts...)
				c, s, srv, u := connected(t, w, a, b, to)
				require.Equal(t, tcp.EventConnected, u.take()&tcp.EventConnected)
				require.Equal(t, netip.AddrPortFrom(to, 80), c.RemoteAddr())
				require.Equal(t, c.LocalAddr(), s.RemoteAddr())

				n, err := c.Write([]byte("hello"))
				require.NoError(t, err)
				require.Equal(t, 5, n)
				w.run()
				require.NotZero(t, srv.users[0].take()&tcp.EventReadable)
				got, err := readAll(s)
				require.Equal(t, errno.WouldBlock, err)
				require.Equal(t, "hello", got)

				_, err = s.Write([]byte("answer"))
				require.NoError(t, err)
				s.CloseWrite()
				w.run()
				got, err = readAll(c)
				require.Equal(t, io.EOF, err)
				require.Equal(t, "answer", got)
				require.NotZero(t, u.take()&tcp.EventPeerClosed)

				c.Close()
				w.run()
				_, err = readAll(s)
				require.Equal(t, io.EOF, err)
				require.True(t, s.Finished())
				s.Close()
				w.run()
				require.Equal(t, 1, b.c.Stats().TimeWait)
				w.pass(61 * time.Second)
				for _, h := range w.hosts {
					st := h.c.Stats()
					require.Zero(t, st.TimeWait)
					require.Zero(t, st.Connections)
					require.Zero(t, st.Memory)
				}
			})
		}
	}
}

// Bulk both ways at once, through the loopback interface and over the link.
func TestBulk(t *testing.T) {
	const size = 1 << 20
	for name, to := range map[string]netip.Addr{"link": b4, "own": a4, "loopback": netip.MustParseAddr("127.0.0.1"), "::1": netip.IPv6Loopback()} {
		t.Run(name, func(t *testing.T) {
			w, a, b := pair(t)
			if to != b4 {
				b = a
			}
			c, s, _, _ := connected(t, w, a, b, to)
			buf := make([]byte, 64<<10)
			sent, got := [2]int{}, [2]int{}
			for round := 0; got[0] < size || got[1] < size; round++ {
				require.Less(t, round, 10_000)
				for i, end := range []*core.TCP{c, s} {
					if sent[i] < size {
						n, err := end.Write(buf[:min(len(buf), size-sent[i])])
						if err != nil {
							require.Equal(t, errno.WouldBlock, err)
						}
						sent[i] += n
					}
					for {
						n, err := end.Read(buf)
						got[i] += n
						if err != nil {
							require.Equal(t, errno.WouldBlock, err)
							break
						}
					}
				}
				w.run()
				if round%4 == 3 {
					w.pass(50 * time.Millisecond)
				}
			}
			require.Equal(t, [2]int{size, size}, got)
			require.Zero(t, c.Conn().Info().Retransmits)
		})
	}
}
