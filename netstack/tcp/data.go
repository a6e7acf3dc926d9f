package tcp

// RFC 9293 3.10.7.4, seventh and eighth step: segment text and FIN. RFC 9293
// 3.8.6.3 and RFC 5681 4.2: when to acknowledge.
//
// Invariant: In ends at RCV.NXT (until the FIN, or until nobody reads any
// more), and the gaps' spans lie beyond RCV.NXT and inside the window.

import (
	"smolnet/netstack/clock"
	"smolnet/netstack/wire"
)

const (
	// quickAcks is how many segments of a new connection are acknowledged at
	// once, so that the peer's slow start is not slowed further.
	quickAcks = 16

	// maxDupAcks bounds the duplicate acknowledgments that are owed at a time.
	// A peer needs three to see a loss and one for each further segment to
	// keep its clock; a turn of the owner hardly brings more than this.
	maxDupAcks = 64
)

// receiveText is the seventh step, in ESTABLISHED, FIN-WAIT-1 and FIN-WAIT-2.
func (c *Conn) receiveText(now clock.Time, s *segment) {
	p := s.payload
	if len(p) == 0 {
		return
	}
	if c.orphan {
		// RFC 9293 SHLD-3, 3.6.1: "if new data is received after CLOSE is
		// called, its TCP implementation SHOULD send a RST to show that data
		// was lost".
		s.drop = wire.DropClosed
		c.finish()
		c.resetDue = true
		return
	}
	c.noteMark(s)
	if c.rcv.finSeen { // nothing comes after the FIN
		p = p[:max(min(len(p), c.rcv.finSeq.Sub(s.seq)), 0)]
		if len(p) == 0 {
			s.drop = wire.DropDuplicate
			return
		}
	}
	if s.seq == c.rcv.nxt {
		if drop := c.takeText(now, p); drop != wire.DropNone {
			s.drop = drop
		}
		if c.tune.recvMost != 0 {
			c.tuneRecv(now, s.h.Options.TSEcr)
		}
		return
	}
	c.noteText(now, p)
	c.receiveAhead(s, p)
	if c.tune.recvMost != 0 {
		c.tuneRecv(now, s.h.Options.TSEcr)
	}
}

// noteText is what all text is good for, in order or not.
func (c *Conn) noteText(now clock.Time, p []byte) {
	if len(p) > int(c.rcv.segment) {
		c.noteSize(len(p))
	}
	c.tune.got += uint32(len(p))
	c.lastText = now
	c.armTrim(now)
}

// noteSize learns the size of the peer's full segments from one with n bytes. A
// super-frame is several of them: no more than the largest that the peer may
// make is believed.
func (c *Conn) noteSize(n int) {
	most := c.rcv.mss
	if c.ts.on {
		most -= timestampsLen // minMSS is more
	}
	c.rcv.segment = max(c.rcv.segment, uint16(min(n, int(most))))
}

// takeText takes text that begins at RCV.NXT. The drop says why there was no
// taking it.
func (c *Conn) takeText(now clock.Time, p []byte) wire.Drop {
	c.noteText(now, p)
	r := &c.rcv
	n := len(p)
	end := c.In.Next()
	gaps := !r.gaps.empty()
	if !c.readClosed {
		n = c.placeInOrder(p)
		gaps = !r.gaps.empty()
	}
	if n == 0 {
		c.ackNow = true
		return wire.DropNoMemory
	}
	old := r.nxt
	r.nxt = r.nxt.Add(n)
	if gaps {
		c.noteOverlap(old, r.nxt)
		r.nxt = r.gaps.advance(r.nxt)
	}
	r.adv = maxSeq(r.adv, r.nxt)
	r.dupAcks = 0
	grown := uint64(r.nxt.Sub(old))
	c.stats.bytesReceived += grown
	if !c.readClosed {
		c.In.Extend(end + grown)
		if gaps && r.gaps.empty() {
			r.forgetRecent()
			c.In.DropAhead() // what was placed but could not be noted
		}
		if !c.HoldText {
			c.In.Publish()
		}
		c.events |= EventReadable
	}
	c.scheduleAck(now, gaps || n < len(p))
	return wire.DropNone
}

// placeInOrder puts text at RCV.NXT in In and returns how much of it fitted. If
// the memory budget is used up, what has arrived ahead makes room: that was
// not acknowledged and will come again, while a gap that is never filled would
// keep everything where it is.
func (c *Conn) placeInOrder(p []byte) int {
	end := c.In.Next()
	n := c.In.Deliver(p) // straight to a reader that waits
	if n == len(p) {
		return n
	}
	n = int(c.In.WriteAt(end+uint64(n), p[n:]) - end)
	if n < min(len(p), c.In.Room()) && !c.rcv.gaps.empty() {
		c.dropAhead()
		n = int(c.In.WriteAt(end, p) - end)
	}
	return n
}

// dropAhead forgets what has arrived ahead of a gap. RFC 2018 8: the receiver
// may drop what it has reported; that "is discouraged, but may be used if the
// receiver runs out of buffer space".
func (c *Conn) dropAhead() {
	r := &c.rcv
	if c.sackOn && !r.gaps.empty() && c.state.receives() {
		r.sack.reneged++
	}
	r.forgetRecent()
	c.freeGaps()
	c.In.DropAhead()
}

// scheduleAck owes the acknowledgment of text in order, at once or later.
func (c *Conn) scheduleAck(now clock.Time, atOnce bool) {
	r := &c.rcv
	delay := c.cfg.delayedAck()
	switch {
	case atOnce:
		// RFC 5681 4.2: "a TCP receiver SHOULD send an immediate ACK when it
		// receives a data segment that fills in all or part of a gap".
		c.ackNow = true
	case r.quickAcks > 0:
		r.quickAcks--
		c.ackNow = true
	case r.nxt.Sub(r.lastAck) >= 2*int(r.segment):
		// RFC 9293 SHLD-19, 3.8.6.3: "at least every second full-sized
		// segment". MUST-58: of more that have arrived, the last one.
		c.ackNow = true
	case delay <= 0:
		c.ackNow = true
	case !c.timers[timerDelayedAck].IsSet():
		// RFC 9293 SHLD-18, MUST-40. MAY-16: PSH changes nothing; what is
		// pushed is read at once anyway, and the answer carries the ACK.
		c.timers[timerDelayedAck] = now.Add(delay)
	}
}

// receiveAhead keeps text that begins beyond RCV.NXT. RFC 9293 SHLD-31, 3.10.7.4:
// segments "SHOULD be held for later processing"; how many is a question of
// memory only, of which the last part is for text in order.
func (c *Conn) receiveAhead(s *segment, p []byte) {
	r := &c.rcv
	c.stats.outOfOrder++
	n := len(p)
	if !c.readClosed {
		off := c.inOffset(s.seq)
		n = int(c.In.WriteAt(off, p) - off)
	}
	end := s.seq.Add(n)
	spans := len(r.gaps.spans)
	twice := c.noteOverlap(s.seq, end)
	if n == 0 || !r.gaps.add(c.pool, s.seq, end) {
		s.drop = wire.DropNoMemory
		if r.gaps.empty() {
			c.In.DropAhead() // no span, no page
		}
		c.oweDupAck(true)
		return
	}
	if c.sackOn {
		c.noteRecent(s.seq)
	}
	c.oweDupAck(twice || len(r.gaps.spans) > spans)
}

// oweDupAck owes a duplicate acknowledgment. RFC 9293 MAY-13 and RFC 5681 4.2: "a TCP
// receiver SHOULD send an immediate duplicate ACK when an out-of-order segment
// arrives". A peer that knows of loss only by counting them needs one for each
// segment although several may have arrived before Send is asked.
//
// With SACK the blocks tell what has arrived, and as many acknowledgments go out as
// it takes to tell of all blocks that have grown: more are no news to a peer by RFC
// 6675 or RFC 8985, and no more than a spare. So two segments that only make a block longer and arrive
// in one turn share an acknowledgment. One that does not, by what apart says, has
// its own, and so have the first ones, up to the third duplicate, which peers wait
// for (RFC 5681 3.2).
func (c *Conn) oweDupAck(apart bool) {
	r := &c.rcv
	k := &r.sack
	if c.sackOn && !apart && k.early >= countedDups && r.dupAcks > 0 && !k.paired {
		k.paired = true
		return
	}
	k.paired = false
	k.early = min(k.early+1, countedDups)
	r.dupAcks = min(r.dupAcks+1, maxDupAcks)
}

// receiveFin is the eighth step. A FIN ahead of missing data is remembered.
func (c *Conn) receiveFin(now clock.Time, s *segment) {
	r := &c.rcv
	if s.has(wire.FIN) && !r.finSeen {
		seq := s.seq.Add(len(s.payload))
		if seq.Before(r.nxt) || !r.gaps.empty() && r.gaps.end().After(seq) {
			s.drop = wire.DropBadHeader // data that came earlier lies behind it
			return
		}
		if seq != r.nxt && len(s.payload) == 0 {
			c.oweDupAck(true)
		}
		r.finSeen, r.finSeq = true, seq
	}
	if !r.finSeen || r.nxt != r.finSeq {
		return
	}
	// "Advance RCV.NXT over the FIN, and send an acknowledgment for the FIN."
	r.finDone = true
	r.nxt++
	r.adv = maxSeq(r.adv, r.nxt)
	r.dupAcks = 0
	c.shared.close()
	c.ackNow = true
	c.events |= EventPeerClosed
	switch c.state {
	case StateEstablished:
		c.setState(StateCloseWait)
	case StateFinWait1:
		// Had our FIN been acknowledged by this segment, the fifth step
		// would have entered FIN-WAIT-2.
		c.setState(StateClosing)
	case StateFinWait2:
		c.enterTimeWait(now)
	}
}
