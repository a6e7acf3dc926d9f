package core_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/core"
	"smolnet/netstack/wire"
)

// RFC 9293 3.10.7.8: a FIN again restarts the 2 MSL, which are 60 seconds; nothing
// else does, and a reset does not end them.
func TestTimeWaitRestarts(t *testing.T) {
	for _, tt := range []struct {
		name  string
		flags wire.TCPFlags
		seq   uint32
		left  int // records after another 30 seconds
	}{
		{"FIN", wire.FIN | wire.ACK, 101, 1},
		{"ACK", wire.ACK, 102, 0},
		{"RST", wire.RST, 102, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
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
			send(wire.FIN|wire.ACK, 101, iss+2)
			require.Equal(t, 1, h.c.Stats().TimeWait)
			w.pass(40 * time.Second)
			send(tt.flags, tt.seq, iss+2)
			require.Equal(t, 1, h.c.Stats().TimeWait)
			w.pass(30 * time.Second)
			require.Equal(t, tt.left, h.c.Stats().TimeWait)
			w.pass(31 * time.Second)
			require.Zero(t, h.c.Stats().TimeWait)
			require.Zero(t, h.c.Stats().Memory)
		})
	}
}
