package tcp

// RFC 9293 3.5.2 (reset generation) and 3.5.3 (reset processing).

import (
	"smolnet/netstack/clock"
	"smolnet/netstack/errno"
	"smolnet/netstack/wire"
)

// Reset fills out with the RST that answers h, which carried n bytes, where no
// connection is (RFC 9293 3.10.7.1). False: h is a RST itself and must not be
// answered.
func Reset(h *wire.TCP, n int, out *wire.TCP) bool {
	if h.Flags.Has(wire.RST) {
		return false
	}
	*out = wire.TCP{SrcPort: h.DstPort, DstPort: h.SrcPort, Flags: wire.RST}
	if h.Flags.Has(wire.ACK) {
		// <SEQ=SEG.ACK><CTL=RST>
		out.Seq = h.Ack
		return true
	}
	// <SEQ=0><ACK=SEG.SEQ+SEG.LEN><CTL=RST,ACK>
	s := segment{flags: h.Flags}
	out.Ack = h.Seq + uint32(n+s.len())
	out.Flags |= wire.ACK
	return true
}

// reset takes a RST that is to be believed: RFC 9293 3.10.7.4, second step, by
// state.
func (c *Conn) reset() {
	switch c.state {
	case StateSynReceived:
		if c.passive {
			// "Return this connection to LISTEN state ... The user need not
			// be informed."
			c.finish()
			return
		}
		c.fail(errno.ConnRefused)
	case StateClosing, StateLastAck:
		// "Enter the CLOSED state": both sides have closed, and nothing is
		// lost but the last acknowledgment.
		c.finish()
	default:
		// MUST-12: "connection reset".
		c.fail(errno.ConnReset)
	}
}

// sendReset sends the RST of an ABORT: <SEQ=SND.NXT><CTL=RST>, with the ACK
// that tells middleboxes which connection is meant. Beyond the peer's window,
// after a probe or where it shrank, the peer would drop it without a word.
func (c *Conn) sendReset(now clock.Time, b []byte) Segment {
	c.resetDue = false
	seq := c.ackSeq()
	if c.snd.una == c.snd.iss {
		seq = c.snd.max // the SYN takes no room in a window
	}
	h := c.header(seq, wire.RST|wire.ACK)
	h.Ack = uint32(c.rcv.nxt)
	if c.ts.on {
		c.ts.put(now, &h.Options) // RFC 7323 3.2: a RST should have it too
	}
	c.stats.segmentsSent++
	return Segment{Len: h.Put(b)}
}
