package core_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/core"
	"smolnet/netstack/tcp"
	"smolnet/netstack/wire"
)

// tooBig returns the message of a router that a packet is larger than mtu.
func tooBig(about []byte, mtu int) []byte {
	m := wire.ICMP{Type: wire.ICMPv4Unreachable, Code: wire.ICMPv4FragNeeded, Rest: uint32(mtu)}
	if about[0]>>4 == 6 {
		m = wire.ICMP{Type: wire.ICMPv6PacketTooBig, Rest: uint32(mtu)}
		about = about[:600]
	}
	return unreachable(about, m)
}

// joined returns both ends of a connection; others may follow.
func joined(t *testing.T, w *world, a, b *host, to netip.Addr) (client, served *core.TCP) {
	client, served, srv, _ := connected(t, w, a, b, to)
	srv.l.Close(w.now)
	return client, served
}

// refuse has a write of the connection be answered by a router that takes mtu bytes: by
// the packet that was last sent.
func refuse(t *testing.T, w *world, a *host, s *core.TCP, mtu int) {
	var about []byte
	a.lose = func(f []byte) bool {
		if len(f) > 1000 {
			about = append([]byte(nil), f[wire.EthernetLen:]...)
		}
		return true
	}
	_, err := s.Write(make([]byte, 50_000))
	require.NoError(t, err)
	w.run()
	a.lose = nil
	require.NotNil(t, about)
	w.in(a, frameTo(a, tooBig(about, mtu)))
}

// RFC 1191 6.2 and RFC 8201 5.2: what one connection hears of a path is for all to the
// same destination; RFC 1191 6.3, RFC 8201 5.3: for ten minutes.
func TestPathMTUOfDestination(t *testing.T) {
	for _, to := range []struct {
		name     string
		overhead int
	}{{"IPv4", 52}, {"IPv6", 72}} {
		t.Run(to.name, func(t *testing.T) {
			w, a, b := pair(t)
			dst, back := b4, a4
			if to.name == "IPv6" {
				dst, back = b6, a6
			}
			s, _ := joined(t, w, a, b, dst)
			refuse(t, w, a, s, 1300)
			require.Equal(t, 1300-to.overhead, s.Conn().Info().SendMSS)

			next, _ := joined(t, w, a, b, dst)
			require.Equal(t, 1300-to.overhead, next.Conn().Info().SendMSS)
			require.Equal(t, 1500-to.overhead+12, next.Conn().Info().RecvMSS, "what we take has nothing to do with it")

			// One that the other side has opened.
			_, served := joined(t, w, b, a, back)
			require.Equal(t, 1300-to.overhead, served.Conn().Info().SendMSS)

			w.pass(10 * time.Minute)
			last, _ := joined(t, w, a, b, dst)
			require.Equal(t, 1500-to.overhead, last.Conn().Info().SendMSS)
		})
	}
}

// RFC 5927 7.2: a message that contradicts what has arrived does not have its effect for
// long, if it was forged.
func TestForgedPathMTU(t *testing.T) {
	w, a, b := pair(t)
	s, _ := joined(t, w, a, b, b4)
	_, err := s.Write(make([]byte, 20_000))
	require.NoError(t, err)
	w.pass(time.Second)
	require.Equal(t, 20_000, b.readable(t))
	refuse(t, w, a, s, 600)
	require.NotZero(t, s.Conn().Info().PathMTUProbes)
	for range 10 {
		w.pass(time.Second)
		if s.Conn().Info().SendQueue == 0 {
			_, err = s.Write(make([]byte, 20_000))
			require.NoError(t, err)
		}
	}
	i := s.Conn().Info()
	require.Equal(t, 1500-52, i.SendMSS)
	require.Equal(t, tcp.MTUComplete, i.PathMTUState)
	next, _ := joined(t, w, a, b, b4)
	require.Equal(t, 1500-52, next.Conn().Info().SendMSS)
}
