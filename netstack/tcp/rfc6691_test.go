package tcp_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/tcp"
)

// RFC 6691 2: "the value sent in the TCP MSS Option ... should be equal to the
// effective MTU minus the fixed IP and TCP headers", whatever options are in use.
func TestMSSIgnoresOptions(t *testing.T) {
	for _, ts := range []bool{false, true} {
		h := newHarness(t)
		h.cfg.NoTimestamps = !ts
		h.connect()
		syn := h.want(TCP{Flags: SYN})
		require.Equal(t, ts, syn.Options.HasTimestamps)
		require.EqualValues(t, ethMSS, syn.Options.MSS)
	}
}

// RFC 6691, RFC 9293 3.7.1: "the sender must reduce the amount of TCP data in
// any given packet by the number of octets used by the IP and TCP options."
func TestOptionsReduceData(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.peer.HasTimestamps = true
		h.to(tcp.StateEstablished)
		const eff = ethMSS - 12
		data := pattern(3 * eff)
		h.write(data)
		h.want(TCP{Seq: 1, Ack: 1, Flags: ACK}, data[:eff])
		h.want(TCP{Seq: 1 + eff, Ack: 1, Flags: ACK}, data[eff:2*eff])
		h.want(TCP{Seq: 1 + 2*eff, Ack: 1, Flags: ACK}, data[2*eff:3*eff])
		h.wantNone()
	})
}
