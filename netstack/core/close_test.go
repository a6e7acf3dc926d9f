package core_test

import (
	"net/netip"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/core"
	"smolnet/netstack/errno"
	"smolnet/netstack/packet"
)

// A core that ends leaves the rings of its datagram sockets alone: their users
// may be inside. They are given back when those have closed.
func TestCloseLeavesRings(t *testing.T) {
	w, a, b := pair(t)
	ping, err := a.c.OpenPing(w.now, core.PingOptions{Local: a4, Remote: b4})
	require.NoError(t, err)
	u, err := a.c.OpenUDP(w.now, core.UDPOptions{Local: port(9)})
	require.NoError(t, err)
	require.NoError(t, ping.WriteTo([]byte("x"), packet.Meta{}))
	other, err := b.c.OpenUDP(w.now, core.UDPOptions{})
	require.NoError(t, err)
	require.NoError(t, other.WriteTo([]byte("x"), packet.Meta{Remote: at(a4, 9)}))
	w.run()
	unread := a.c.Stats().Memory
	require.Positive(t, unread)
	require.NoError(t, u.WriteTo([]byte("y"), packet.Meta{Remote: at(b4, 9)})) // is in the run queue at the end
	a.c.Close(w.now)
	w.run()
	require.Equal(t, unread, a.c.Stats().Memory)
	_, _, _, err = u.ReadFrom(make([]byte, 10))
	require.Equal(t, errno.Closed, err)
	u.Close()
	ping.Close()
	w.run()
	require.Zero(t, a.c.Stats().Memory)
}

// When a core ends every peer is told, in one turn, however many sockets have
// nothing to say.
func TestCloseResetsAll(t *testing.T) {
	const silent, spoken = 1000, 20
	w, a, b := pair(t)
	b.listen(w.now, core.ListenOptions{Local: port(80)})
	dial := func(to string) *core.TCP {
		c, err := a.c.DialTCP(w.now, core.DialOptions{Remote: netip.MustParseAddrPort(to)})
		require.NoError(t, err)
		return c
	}
	for range spoken {
		dial("192.0.2.2:80")
	}
	w.run()
	for range silent { // nobody answers there
		dial("192.0.2.9:80")
	}
	w.run()
	require.Equal(t, silent+spoken, a.c.Stats().Connections)
	a.c.Close(w.now)
	for buf := make([]byte, 14+testMTU); ; {
		if n, _ := a.eth.Send(w.now, buf); n == 0 {
			break
		}
	}
	require.EqualValues(t, spoken, a.c.Stats().TCPResetsOut)
}

// TestCloseWithUsersInside has one reader and one writer in the rings when the
// core ends: for the race detector.
func TestCloseWithUsersInside(t *testing.T) {
	const rounds = 10
	for range rounds {
		w, a := alone(t)
		u, err := a.c.OpenUDP(w.now, core.UDPOptions{Local: at(a4, 9), RecvLimit: packet.Limits{Packets: 8}})
		require.NoError(t, err)
		var wg sync.WaitGroup
		started := make(chan struct{}, 2)
		use := func(f func() error) {
			wg.Go(func() {
				started <- struct{}{}
				for f() != errno.Closed {
				}
			})
		}
		use(func() error { _, _, _, err := u.ReadFrom(make([]byte, 100)); return err })
		use(func() error { return u.WriteTo(make([]byte, 100), packet.Meta{Remote: at(a4, 9)}) })
		<-started
		<-started
		for range 5 {
			a.turn(w.now)
		}
		a.c.Close(w.now)
		a.turn(w.now)
		wg.Wait()
		u.Close()
		w.run()
		require.Zero(t, a.c.Stats().Memory)
	}
}
