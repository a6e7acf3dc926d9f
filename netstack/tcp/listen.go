package tcp

// RFC 9293 3.10.7.2: SEGMENT ARRIVES in LISTEN.

import (
	"smolnet/netstack/clock"
	"smolnet/netstack/wire"
)

// CheckListen is the LISTEN state's look at a segment. DropNone: it is a SYN
// that may open a connection; ActionReset: it has an ACK and is answered by a
// RST. Everything else is dropped.
func CheckListen(h *wire.TCP) (Action, wire.Drop) {
	switch {
	case h.Flags.Has(wire.RST):
		return ActionNone, wire.DropIgnored // first: "an incoming RST should be ignored"
	case h.Flags.Has(wire.ACK):
		return ActionReset, wire.DropBadAck // second: "any acknowledgment is bad"
	case !h.Flags.Has(wire.SYN):
		return ActionNone, wire.DropBadFlags // fourth
	}
	return ActionNone, wire.DropNone // third
}

// Discard ends a connection in SYN-RECEIVED without a word to the peer: nobody was
// told that it existed.
func (c *Conn) Discard() {
	c.finish()
	c.check()
}

// Accept is a passive OPEN by a SYN that the owner's LISTEN has checked with
// CheckListen: the state becomes SYN-RECEIVED, and Send has a SYN-ACK. iss and
// mtu are as for Connect. The owner keeps its LISTEN: RFC 9293 MUST-41 and
// MUST-42, other connections of the port are not disturbed.
//
// Text or a FIN on the SYN is not accepted: the SYN alone is acknowledged, and
// the peer sends the rest again.
func (c *Conn) Accept(now clock.Time, iss Seq, mtu int, syn *wire.TCP) {
	c.open(now, iss, mtu)
	c.passive = true // RFC 9293 MUST-11, 3.5
	c.takeSyn(now, syn)
	c.setState(StateSynReceived)
	c.lastReceived = now
	c.check()
}
