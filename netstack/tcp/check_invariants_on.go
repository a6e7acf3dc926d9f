//go:build invariants

package tcp

import "fmt"

// check panics with the connection printed if it contradicts itself.
func (c *Conn) check() {
	for _, why := range []string{c.checkSend(), c.checkScoreboard(), c.checkReceive(), c.checkTimers()} {
		if why != "" {
			panic(fmt.Sprintf("tcp: %s: %v", why, c))
		}
	}
}

func (c *Conn) checkSend() string {
	s := &c.snd
	if c.state == StateClosed || c.state == StateTimeWait {
		return ""
	}
	buffered := c.Out.Len()
	if !c.state.synchronized() {
		buffered = 1 // the SYN
		if c.fast != nil {
			buffered += c.fast.result.Sent
		}
	}
	if s.finQueued && c.state.synchronized() {
		buffered++
	}
	switch {
	case s.nxt.Before(s.una):
		return "SND.NXT is before SND.UNA"
	case s.max.Before(s.nxt):
		return "SND.NXT is beyond what was sent"
	case s.max.Sub(s.una) > buffered:
		return "more in flight than buffered"
	case s.left < 0, s.left > 0 && s.left > s.max.Sub(s.una):
		return "more left the network than was in it"
	case c.state.synchronized() && s.una != c.outSeq(c.Out.Start()) && !(s.finQueued && s.una == s.finSeq+1):
		return "Out does not start at SND.UNA"
	}
	return ""
}

func (c *Conn) checkScoreboard() string {
	s, b := &c.snd, &c.board
	if !c.state.synchronized() || c.state == StateTimeWait {
		return ""
	}
	next := s.una
	var sacked, lost, resent, waiting int32
	for i := range b.records.len() {
		rec := b.records.at(i)
		if rec.start != next || !rec.start.Before(rec.end) {
			return fmt.Sprintf("record %d of %d: %+v does not begin at +%d", i, b.records.len(), *rec, next-s.iss)
		}
		if rec.waits() && rec.start.Before(b.waitFrom) {
			return fmt.Sprintf("record %d waits before +%d", i, b.waitFrom-s.iss)
		}
		if rec.has(recordSacked) {
			sacked += int32(rec.len())
			if rec.has(recordLost | recordResent) {
				return fmt.Sprintf("record %d has arrived and is lost", i)
			}
		}
		if rec.has(recordLost) {
			lost += int32(rec.len())
		}
		if rec.has(recordResent) {
			resent += int32(rec.len())
		}
		if rec.waits() {
			waiting += int32(rec.len())
		}
		next = rec.end
	}
	switch {
	case next != s.nxt:
		return fmt.Sprintf("records end at +%d", next-s.iss)
	case sacked != b.sacked, lost != b.lost, resent != b.resent:
		return fmt.Sprintf("scoreboard says %d sacked, %d lost, %d resent; records %d, %d, %d", b.sacked, b.lost, b.resent, sacked, lost, resent)
	case waiting != b.waiting:
		return fmt.Sprintf("scoreboard says %d waiting, records %d", b.waiting, waiting)
	case b.sacked == 0 && b.pieces != 0:
		return "segments sacked but no bytes"
	}
	return ""
}

func (c *Conn) checkReceive() string {
	r := &c.rcv
	if !c.state.synchronized() || c.state == StateTimeWait {
		return ""
	}
	if r.adv.Before(r.nxt) {
		return "RCV.NXT is beyond the window"
	}
	if !c.readClosed && !r.finDone && r.irs+1+Seq(uint32(c.In.Next())) != r.nxt {
		return "In does not end at RCV.NXT"
	}
	last := r.nxt
	for i, g := range r.gaps.spans {
		if !g.start.After(last) || !g.start.Before(g.end) {
			return fmt.Sprintf("span %d out of order or touching: %v", i, g)
		}
		last = g.end
	}
	if last.After(r.adv) {
		return "span beyond the window"
	}
	if r.finSeen && !r.finDone && last.After(r.finSeq) {
		return "data beyond the FIN"
	}
	return ""
}

func (c *Conn) checkTimers() string {
	t := &c.timers
	switch c.state {
	case StateClosed:
		if t.earliest().IsSet() {
			return "timer set in CLOSED"
		}
		return ""
	case StateTimeWait:
		if !t[timerLinger].IsSet() {
			return "TIME-WAIT for ever"
		}
		return ""
	}
	if t[timerLoss].IsSet() && c.flight() == 0 {
		return "loss timer set, nothing out"
	}
	if c.outstanding() && !t[timerRetransmit].IsSet() && !t[timerProbe].IsSet() && !c.probe.due {
		return "data out and no timer"
	}
	if t[timerKeepAlive].IsSet() && !c.keep.on {
		return "keep-alive timer set, keep-alive off"
	}
	if t[timerUser].IsSet() && !c.outstanding() {
		return "user timer set, nothing out"
	}
	if t[timerDelayedAck].IsSet() && c.rcv.lastAck == c.rcv.nxt {
		return "delayed ACK of nothing"
	}
	return ""
}

// String returns what matters of the connection, for messages.
func (c *Conn) String() string {
	s, r := &c.snd, &c.rcv
	return fmt.Sprintf("%v %v-%v: snd iss %d una +%d nxt +%d max +%d wnd %d mss %d fin %v phase %v left %d sacked %d lost %d resent %d; "+
		"rcv irs %d nxt +%d adv +%d fin %v/%v gaps %d; retries %d probe %+v timers %v; In %v; Out %v",
		c.state, c.id.Local, c.id.Remote, s.iss, s.una-s.iss, s.nxt-s.iss, s.max-s.iss, s.wnd, s.mss, s.finQueued,
		c.recovery.phase, s.left, c.board.sacked, c.board.lost, c.board.resent, r.irs, r.nxt-r.irs, r.adv-r.irs, r.finSeen, r.finDone, len(r.gaps.spans), c.retries,
		c.probe, c.timers, &c.In, &c.Out)
}
