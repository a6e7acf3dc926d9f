package core_test

// RFC 7323 7.1, for a whole host.

import (
	"testing"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/core"
	"smolnet/netstack/wire"
)

// RFC 7323 7.1: the timestamps of connections that begin at one time have nothing to do
// with each other, those of one name go on where its last connection's were.
func TestTimestampOffsets(t *testing.T) {
	w, h := alone(t)
	h.listen(w.now, core.ListenOptions{Local: port(80)})
	w.know(h, x4)
	stamps := map[uint32]bool{}
	for p := range uint16(20) {
		var last uint32
		for i := range 2 {
			w.in(h, synFrom(h, x4, 1000+p, wire.TCPOptions{MSS: 1460, HasTimestamps: true}))
			synAck := h.one().tcp
			require.True(t, synAck.Options.HasTimestamps)
			if i > 0 {
				require.Equal(t, last, synAck.Options.TSVal)
			}
			last = synAck.Options.TSVal
			w.in(h, fromX(h, 1000+p, synAck.Ack, 0, wire.RST, ""))
			require.Zero(t, h.c.Stats().Connections)
			h.take()
		}
		stamps[last] = true
	}
	require.Len(t, stamps, 20)
}
