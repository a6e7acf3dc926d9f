package tcp

// RFC 9293 3.6.1 and 3.10.7.4 in TIME-WAIT; RFC 6191 (reopening), RFC 1337
// (resets).

import (
	"net/netip"
	"time"

	"smolnet/netstack/clock"
	"smolnet/netstack/wire"
)

// A TimeWait is what is left of a connection in TIME-WAIT: enough to answer
// what is still under way, and to let a new connection of the same name in
// early. At most 120 bytes.
type TimeWait struct {
	local, remote         [16]byte // IPv4 in its IPv6 form
	localPort, remotePort uint16
	window                uint16 // as the last segment had it
	sndNxt                Seq
	rcvNxt                Seq
	deadline              clock.Time
	hold                  time.Duration
	challenges            limiter
	ts                    timestamps
}

// enterTimeWait enters TIME-WAIT, or CLOSED where there is none.
func (c *Conn) enterTimeWait(now clock.Time) {
	hold := c.cfg.timeWait()
	if hold < 0 {
		owed := c.ackNow
		c.finish()
		c.ackNow = owed
		return
	}
	c.setState(StateTimeWait)
	c.timers[timerLinger] = now.Add(hold) // RFC 9293 MUST-13, 3.6.1: 2 MSL
	c.events |= EventTimeWait
}

// TimeWait returns the record that stands for a connection in TIME-WAIT.
func (c *Conn) TimeWait() TimeWait {
	return TimeWait{
		local: c.id.Local.Addr().As16(), localPort: c.id.Local.Port(),
		remote: c.id.Remote.Addr().As16(), remotePort: c.id.Remote.Port(),
		deadline: c.timers[timerLinger], hold: c.cfg.timeWait(), challenges: c.challenges,
		sndNxt: c.snd.max, rcvNxt: c.rcv.nxt, ts: c.ts,
		window: uint16(min(c.rcv.adv.Sub(c.rcv.nxt)>>c.rcv.scale, unscaledMost)),
	}
}

// receiveTimeWait is what a Conn does until its owner has taken the record: the
// same as the record.
func (c *Conn) receiveTimeWait(now clock.Time, s *segment) (Action, wire.Drop) {
	w := c.TimeWait()
	action, drop := w.Receive(now, s.h, len(s.payload))
	c.timers[timerLinger] = w.deadline
	c.challenges = w.challenges
	if action == ActionAck {
		c.ackNow = true
		action = ActionNone
	}
	return action, drop
}

// ID returns the connection's name, without zones.
func (w *TimeWait) ID() ID {
	return ID{
		Local:  netip.AddrPortFrom(netip.AddrFrom16(w.local).Unmap(), w.localPort),
		Remote: netip.AddrPortFrom(netip.AddrFrom16(w.remote).Unmap(), w.remotePort),
	}
}

// Deadline returns when the record can be forgotten.
func (w *TimeWait) Deadline() clock.Time { return w.deadline }

// Receive takes a segment with n bytes of payload. The action is ActionNone,
// ActionAck or ActionReopen.
func (w *TimeWait) Receive(now clock.Time, h *wire.TCP, n int) (Action, wire.Drop) {
	s := segment{flags: h.Flags}
	start := Seq(h.Seq).Sub(w.rcvNxt)
	switch {
	case s.has(wire.RST):
		// RFC 1337 4, fix (F1): "Ignore RST segments in TIME-WAIT state", or
		// an old one ends it before its time.
		return ActionNone, wire.DropIgnored
	case s.has(wire.SYN):
		if !s.has(wire.ACK|wire.FIN) && w.reopens(h) {
			return ActionReopen, wire.DropNone // RFC 9293 MAY-2
		}
		return w.challenge(now, wire.DropBadFlags) // RFC 5961 4.2
	case w.ts.on && !h.Options.HasTimestamps:
		return ActionNone, wire.DropPAWS // RFC 7323 3.2
	case !s.has(wire.ACK):
		return ActionNone, wire.DropBadFlags
	case s.has(wire.FIN) && start+n+1 == 0:
		// "The only thing that can arrive in this state is a retransmission
		// of the remote FIN. Acknowledge it, and restart the 2 MSL timeout."
		w.deadline = now.Add(w.hold)
		if w.ts.on && !w.ts.old(now, h.Options.TSVal) {
			w.ts.recent, w.ts.recentAt = h.Options.TSVal, now
		}
		return ActionAck, wire.DropDuplicate
	case n > 0 || s.has(wire.FIN) || start != 0 || Seq(h.Ack).After(w.sndNxt):
		return w.challenge(now, wire.DropOutOfWindow)
	}
	return ActionNone, wire.DropIgnored
}

func (w *TimeWait) challenge(now clock.Time, drop wire.Drop) (Action, wire.Drop) {
	if !w.challenges.allow(now) {
		return ActionNone, wire.DropRateLimited
	}
	return ActionAck, drop
}

// reopens reports whether a SYN may open a new connection, RFC 6191 2. RFC 9293
// SHLD-4: timestamps make TIME-WAIT that much shorter.
func (w *TimeWait) reopens(syn *wire.TCP) bool {
	o := &syn.Options
	later := Seq(syn.Seq).After(w.rcvNxt)
	switch {
	case w.ts.on && o.HasTimestamps:
		age := int32(o.TSVal - w.ts.recent)
		return age > 0 || age == 0 && later
	case o.HasTimestamps:
		return true // "regardless of the Initial Sequence Number"
	}
	return later
}

// reopenGap is how far beyond the old connection's sequence numbers those of a
// new one begin at least: more than an unscaled window.
const reopenGap = 1<<16 + 1

// NextISS returns the initial sequence number for the connection that ActionReopen
// lets in: iss, unless that is in reach of the old one's numbers. RFC 9293 MAY-2,
// 3.6.1, (1): it may be accepted if the TCP "assigns its initial sequence number for
// the new connection to be larger than the largest sequence number it used on the
// previous connection incarnation".
func (w *TimeWait) NextISS(iss Seq) Seq { return maxSeq(iss, w.sndNxt+reopenGap) }

// reuseAfter is how old a record is at least when we open the connection anew
// ourselves: the peer then finds a later timestamp, whatever its clock's grain.
const reuseAfter = time.Second

// Reusable reports whether an active OPEN may take the place of the record, with
// NextISS and Conn.Succeed. RFC 6191 2 says when a peer in TIME-WAIT lets a SYN in:
// with a later timestamp it does, and ours go on from those of the old connection.
func (w *TimeWait) Reusable(now clock.Time) bool {
	return w.ts.on && w.deadline.IsSet() && now.Sub(w.deadline.Add(-w.hold)) >= reuseAfter
}

// Succeed has a connection that was just opened go on with the timestamps of the one
// that a record is of, whose name it has: whatever offset its owner gave to either.
func (c *Conn) Succeed(w *TimeWait) {
	if w.ts.on {
		c.ts.offset = w.ts.offset
	}
}

// Ack fills out with the acknowledgment that ActionAck asks for.
func (w *TimeWait) Ack(now clock.Time, out *wire.TCP) {
	*out = wire.TCP{
		SrcPort: w.localPort, DstPort: w.remotePort,
		Seq: uint32(w.sndNxt), Ack: uint32(w.rcvNxt), Flags: wire.ACK, Window: w.window,
	}
	if w.ts.on {
		w.ts.put(now, &out.Options)
	}
}
