package tcp

// RFC 3168: explicit congestion notification. A router marks packets instead of
// dropping them; the receiver echoes the mark (ECE) until the sender says that it has
// reduced its window (CWR).
//
// What both ends agreed on in their SYNs never comes into force later: a connection
// whose peer has sent, or that itself has sent, a SYN without ECN sends no packet
// that may be marked.

import (
	"smolnet/netstack/clock"
	"smolnet/netstack/congestion"
	"smolnet/netstack/wire"
)

// An ECNMode says what a connection does about explicit congestion notification.
type ECNMode uint8

// The modes. Any other value counts as ECNAccept.
const (
	ECNAccept ECNMode = iota // use it if the peer asks, but do not ask: as Linux does
	ECNAsk                   // ask for it in SYNs, and use it if the peer agrees or asks
	ECNOff                   // do without
)

var ecnModeNames = [...]string{"accept", "ask", "off"}

// String returns the mode's name, such as "accept".
func (m ECNMode) String() string {
	if int(m) < len(ecnModeNames) {
		return ecnModeNames[m]
	}
	return "unknown"
}

// ecnSetup are the flags of a SYN that asks, an "ECN-setup SYN packet" of RFC 3168
// 6.1.1. The SYN-ACK that agrees has only the first of them.
const ecnSetup = wire.ECE | wire.CWR

// plainSynAfter is how many SYNs that ask may be lost before one goes out that does
// not: RFC 3168 6.1.1.1, for paths that drop what they do not know.
const plainSynAfter = 2

// An ecn is the state of RFC 3168.
type ecn struct {
	on    bool // both sides agreed: packets may be marked, and ECE counts
	hears bool // marks on what arrives are echoed
	asked bool // a SYN of ours asked
	plain bool // a SYN of ours did not
	echo  bool // a mark has arrived and no CWR since: acknowledgments have ECE
	cwr   bool // the window was reduced: the next new data has CWR

	// until: what was sent before it was out at the last reduction, and its marks
	// tell nothing new.
	until Seq
}

// ecnOn reports whether both sides agreed on ECN.
func (c *Conn) ecnOn() bool { return c.ecn.on }

// synECN returns the flags by which our SYN asks for ECN, or our SYN-ACK agrees.
//
// RFC 3168 6.1.1.1 would also have a SYN that was answered by a reset go out again
// without them. Ports that are closed are more frequent by far than what cannot
// stand these flags, and would be tried twice each.
func (c *Conn) synECN() wire.TCPFlags {
	e := &c.ecn
	switch {
	case c.state != StateSynSent:
		// RFC 3168 6.1.1: the SYN-ACK that answers a SYN with both flags has ECE
		// alone; otherwise neither.
		if e.on {
			return wire.ECE
		}
		return 0
	case c.cfg.ECN == ECNAsk && !e.plain && c.retries < plainSynAfter:
		e.asked = true
		return ecnSetup // RFC 3168 6.1.1: a SYN asks with ECE and CWR
	}
	// 6.1.1: who does not use ECN clears both. RFC 3168 6.1.1.1: a SYN to which there was
	// no reply goes out again "with CWR and ECE cleared".
	e.plain = true
	return 0
}

// takeECN takes what the peer's SYN or SYN-ACK says.
//
// AE is no part of RFC 3168, and what it says is left out: RFC 9768 3.1.2 has a SYN
// with AE, CWR and ECE ask for more accurate feedback than this, and take ECE alone
// as an answer that agrees to this.
func (c *Conn) takeECN(h *wire.TCP) {
	e := &c.ecn
	got := h.Flags & ecnSetup
	switch {
	case h.Flags.Has(wire.ACK):
		// RFC 3168 6.1.1: a SYN-ACK with both flags agrees to nothing: there are
		// hosts that send back whatever the reserved bits were. One that nobody asked
		// for agrees to nothing either.
		e.hears = e.asked && got == wire.ECE
		e.on = e.hears && !e.plain
	default:
		// A SYN of ours without the flags has been sent where opens are
		// simultaneous.
		e.on = got == ecnSetup && c.cfg.ECN != ECNOff && !e.plain
		e.hears = e.on
	}
}

// checkOwnSynECN looks at what the peer's SYN says in SYN-RECEIVED, once more. RFC 3168 6.1.1: a
// host that has received a SYN or SYN-ACK without the flags should not set ECT on
// data, whatever came before.
func (c *Conn) checkOwnSynECN(flags wire.TCPFlags) {
	want := ecnSetup
	if flags.Has(wire.ACK) {
		want = wire.ECE
	}
	if flags&ecnSetup != want {
		c.ecn.on, c.ecn.hears = false, false
	}
}

// noteMark takes note of what text in the window tells of congestion. RFC 3168 6.1.5:
// marks on packets outside of the receive window are ignored, or strangers could slow
// the sender down.
func (c *Conn) noteMark(s *segment) {
	e := &c.ecn
	if !e.hears {
		return
	}
	if s.has(wire.CWR) && e.echo {
		// RFC 3168 6.1.3: ECE is set "until it receives a CWR packet". A sender whose
		// window is small now should not wait for a delayed acknowledgment.
		e.echo = false
		c.ackNow = true
	}
	if s.marked {
		// RFC 3168 6.1.3: a mark sets ECE in the acknowledgments from here on,
		// delayed ones too. The first one goes out at once.
		c.stats.marks++
		c.ackNow = c.ackNow || !e.echo
		e.echo = true
	}
}

// receiveEcho takes an acknowledgment with ECE, with SND.UNA already moved.
//
// RFC 3168 5: a mark (CE) is answered as a loss would be. RFC 3168 6.1.2: the window is
// reduced, but not "more than once every window of data", whatever the reason was. The
// echo goes on until our CWR has got there, and that is behind ecn.until.
func (c *Conn) receiveEcho(now clock.Time) {
	v := &c.recovery
	c.stats.echoes++
	switch {
	case v.phase > congestion.Reducing:
		// There is congestion: to take the reduction back would not do, though it
		// may have had the wrong reason.
		v.marked = true
		return
	case v.phase != congestion.Open || !c.snd.una.After(c.ecn.until):
		return
	}
	single := c.congestion.Window() <= c.snd.mss
	c.stats.markReductions++
	if c.flight() > 0 {
		c.enterRecovery(now, congestion.Mark)
	} else {
		v.reduced = false
		c.noteReduction()
		c.control(now).OnCongestion(now, congestion.Mark, 0)
		c.control(now).OnRecovered(now, 0)
	}
	if single {
		// RFC 3168 6.1.2: with a window of one segment the sender "MUST reset the
		// retransmit timer", and "will then be able to send a new packet only when
		// the retransmit timer expires": that is the only way to be slower than a
		// segment each round trip.
		c.timers[timerPace] = now.Add(c.rtt.current(c.cfg.rtoBounds()))
		if c.outstanding() {
			c.armRetransmit(now)
		}
	}
}

// noteReduction is called whenever the controller is told to reduce its window.
//
// RFC 3168 6.1.2: the first new data after a reduction has CWR, whatever it was for,
// "a retransmit timeout, a Fast Retransmit, or in response to an ECN Notification".
func (c *Conn) noteReduction() {
	c.ecn.cwr = c.ecn.on
	c.ecn.until = c.snd.nxt
}

// forgetReduction takes noteReduction back: a mark that was held for part of what
// turned out to be a mistake counts when it is echoed again.
func (c *Conn) forgetReduction() {
	c.ecn.cwr = false
	c.ecn.until = c.snd.una - 1
}

// sendNew sends n bytes of Out from seq on that were never sent before, and the FIN if
// fin is set.
//
// RFC 3168 6.1.2: new data segments have ECT. RFC 3168 5.2: what is not missed when it is
// lost has none. RFC 3168 6.1.5: retransmissions have no ECT. RFC 3168 6.1.2: nor have
// retransmissions CWR. RFC 3168 6.1.6: nor have window probes, as
// a mark on what lies outside of the receiver's window would be lost. RFC 3168 6.1.4: nor
// have pure acknowledgments. All these are not sent by sendNew.
func (c *Conn) sendNew(now clock.Time, b []byte, seq Seq, n int, fin bool) Segment {
	e := &c.ecn
	flags := finIf(fin)
	if !e.on || n == 0 {
		return c.sendSegment(now, b, seq, n, flags) // RFC 3168 6.1.1: no ECT on data unless both agreed
	}
	// RFC 3168 6.1.1: who sets ECT sets and clears CWR correctly.
	if e.cwr {
		e.cwr = false
		flags |= wire.CWR
	}
	seg := c.sendSegment(now, b, seq, n, flags)
	// RFC 3168 5: "senders that only require a single ECT codepoint SHOULD use ECT(0)".
	seg.ECN = wire.ECT0
	return seg
}
