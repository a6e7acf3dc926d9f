package core_test

// RFC 5961 7 for a whole host, and RFC 6191 for dials.

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/core"
	"smolnet/netstack/errno"
	"smolnet/netstack/tcp"
	"smolnet/netstack/wire"
)

// A blind SYN on each of many connections: the answers are bounded for all together,
// those of TIME-WAIT among them, and the connections stay.
func TestChallengeRate(t *testing.T) {
	const rate, conns = 100, 60
	w, h := alone(t, func(c *core.Config, _ *core.InterfaceConfig) { c.Limits.ChallengeRate = rate })
	srv := h.listen(w.now, core.ListenOptions{Local: port(80)})
	w.know(h, x4)
	for p := range uint16(conns) {
		w.in(h, synFrom(h, x4, 1000+p, wire.TCPOptions{MSS: 1460}))
		synAck := h.one().tcp
		w.in(h, ackTo(h, 1000+p, &synAck, ""))
		srv.l.Taken()
		h.take()
		if p == conns-1 {
			srv.conns[p].Close()
			w.run()
			w.in(h, fromX(h, 1000+p, 101, synAck.Seq+2, wire.FIN|wire.ACK, ""))
			require.Equal(t, 1, h.c.Stats().TimeWait)
			h.take()
		}
	}
	before := h.c.Stats()
	counts := map[uint64]bool{}
	for range 8 {
		at := h.c.Stats()
		for range 5 {
			for p := range uint16(conns) {
				w.in(h, fromX(h, 1000+p, 50, 0, wire.SYN, ""))
			}
		}
		st := h.c.Stats()
		n := st.TCPChallengeAcks - at.TCPChallengeAcks
		require.GreaterOrEqual(t, n, uint64(rate/2))
		require.Less(t, n, uint64(rate*3/2))
		require.Len(t, h.take(), int(n))
		counts[n] = true
		w.pass(5 * time.Second)
		w.know(h, x4)
	}
	require.Greater(t, len(counts), 3)
	st := h.c.Stats()
	require.NotZero(t, st.TCPChallengeAcksDenied)
	require.Equal(t, before.Connections, st.Connections)
	for _, s := range srv.conns[:conns-1] {
		require.Equal(t, tcp.StateEstablished, s.Conn().State())
	}
}

// The bound for all is one on challenge ACKs. Keep-alives of many connections, which are
// segments outside of the window too, all have their answers (RFC 9293 3.8.4): their
// senders would give up otherwise.
func TestChallengeRateSparesKeepAlives(t *testing.T) {
	const conns = 60
	w, h := alone(t, func(c *core.Config, _ *core.InterfaceConfig) { c.Limits.ChallengeRate = 10 })
	srv := h.listen(w.now, core.ListenOptions{Local: port(80)})
	w.know(h, x4)
	var iss [conns]uint32
	for p := range uint16(conns) {
		w.in(h, synFrom(h, x4, 1000+p, wire.TCPOptions{MSS: 1460}))
		synAck := h.one().tcp
		iss[p] = synAck.Seq
		w.in(h, ackTo(h, 1000+p, &synAck, ""))
		srv.l.Taken()
		h.take()
	}
	for p := range uint16(conns) {
		w.in(h, fromX(h, 1000+p, 100, iss[p]+1, wire.ACK, ""))
	}
	require.Len(t, h.take(), conns)
	for range 50 { // but two ends that are confused do not go on for ever
		w.in(h, fromX(h, 1000, 100, iss[0]+1, wire.ACK, ""))
	}
	require.Less(t, len(h.take()), 10)
}

// A dial takes the place of a connection in TIME-WAIT, once a second has passed, and
// goes on with its numbers and timestamps.
func TestDialTimeWait(t *testing.T) {
	for _, stamps := range []bool{true, false} {
		w, a, b := pair(t, func(c *core.Config, _ *core.InterfaceConfig) { c.TCP.NoTimestamps = !stamps })
		srv := b.listen(w.now, core.ListenOptions{Local: port(80)})
		dial := func() (*core.TCP, error) {
			c, err := a.c.DialTCP(w.now, core.DialOptions{Local: port(5000), Remote: at(b4, 80)})
			w.run()
			return c, err
		}
		var last wire.TCP
		a.lose = func(f []byte) bool {
			if isTCP(f, wire.SYN, wire.SYN) {
				last = parse(t, f).tcp
			}
			return false
		}
		for i := range 3 {
			old := last
			c, err := dial()
			require.NoError(t, err)
			require.True(t, c.Connected())
			require.Len(t, srv.conns, i+1)
			if i > 0 {
				require.Positive(t, int32(last.Seq-old.Seq))
				require.Positive(t, int32(last.Options.TSVal-old.Options.TSVal))
			}
			c.Close()
			w.run()
			srv.conns[i].Close()
			srv.l.Taken()
			w.run()
			require.Equal(t, 1, a.c.Stats().TimeWait)
			_, err = dial()
			require.Equal(t, errno.AddrInUse, err)
			w.pass(1100 * time.Millisecond)
			if !stamps {
				_, err = dial()
				require.Equal(t, errno.AddrInUse, err)
				break
			}
		}
		if stamps {
			require.Equal(t, uint64(2), a.c.Stats().TCPTimeWaitReused)
		}
	}
}
