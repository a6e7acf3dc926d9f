package tcp

// Building segments, RFC 9293 3.1.

import (
	"math/bits"
	"time"

	"smolnet/netstack/clock"
	"smolnet/netstack/congestion"
	"smolnet/netstack/wire"
)

// paceQuantum is how far a paced sender may run ahead of its rate, and how far it
// may catch up with it: clocks are too coarse to time every segment, and late.
const paceQuantum = time.Millisecond

// header returns a header with what all segments of the connection share. RFC
// 9293 MUST-45, 3.9.1.1: the local address and port never change.
func (c *Conn) header(seq Seq, flags wire.TCPFlags) wire.TCP {
	return wire.TCP{
		SrcPort: c.id.Local.Port(), DstPort: c.id.Remote.Port(),
		Seq: uint32(seq), Flags: flags,
	}
}

// headerLen returns the length of the headers that put writes, without what
// sackLen adds.
func (c *Conn) headerLen() int {
	if c.ts.on {
		return wire.TCPLen + timestampsLen
	}
	return wire.TCPLen
}

// put writes the header of a segment of the synchronised states that has no data
// to b.
func (c *Conn) put(now clock.Time, b []byte, seq Seq, flags wire.TCPFlags) Segment {
	return c.putBefore(now, b, seq, flags, 0)
}

// putBefore writes the header of a segment of the synchronised states, of which
// n bytes of data follow, to b and returns it as a segment without data. It is
// headerLen and sackLen(n) long. Every such segment has the ACK, so it settles
// what is owed of that, unless it has no room for what there is to be told.
func (c *Conn) putBefore(now clock.Time, b []byte, seq Seq, flags wire.TCPFlags, n int) Segment {
	if c.ecn.echo {
		flags |= wire.ECE
	}
	h := c.header(seq, flags|wire.ACK)
	h.Ack = uint32(c.rcv.nxt)
	h.Window = c.announce()
	if c.ts.on {
		// RFC 7323 3.2: once negotiated, "the TSopt MUST be sent in every
		// non-<RST> segment".
		c.ts.put(now, &h.Options)
	}
	told := c.putSACK(&h.Options, n)
	c.ackNow = c.ackNow && !told
	c.timers[timerDelayedAck] = 0
	c.rcv.lastAck = c.rcv.nxt
	c.stats.segmentsSent++
	if !c.Sums {
		return Segment{Len: h.Put(b)}
	}
	head, sum := h.PutSum(b)
	return Segment{Len: head, Sum: HasSum | uint32(sum)}
}

// putData copies the bytes of Out at seq to b. It returns their sum if Sums asks
// for it.
func (c *Conn) putData(b []byte, seq Seq) uint16 {
	off := c.outOffset(seq)
	if !c.Sums {
		c.Out.CopyAt(off, b)
		return 0
	}
	var sum uint32 // of 16-bit numbers, as many as there are pages in a segment
	for at := 0; at < len(b); {
		p := c.Out.PeekAt(off + uint64(at))
		if len(p) == 0 {
			break // as in CopyAt
		}
		n := copy(b[at:], p)
		s := wire.Sum(p[:n], 0)
		if at%2 != 0 {
			s = bits.ReverseBytes16(s) // RFC 1071 2 (B): it begins in the middle of a word
		}
		sum += uint32(s)
		at += n
	}
	return addSums(sum>>16, sum&0xffff)
}

// addSums returns the ones' complement sum of two numbers of 16 bits.
func addSums(a, b uint32) uint16 {
	x := a + b
	return uint16(x>>16 + x)
}

// sendSegment sends n bytes of Out from seq on with flags, such as the FIN. More
// than a segment's worth is a super-segment. What it is cut into has its flags
// as they should be: PSH and FIN on the last piece, and only there.
func (c *Conn) sendSegment(now clock.Time, b []byte, seq Seq, n int, flags wire.TCPFlags) Segment {
	var sum uint16
	if n > 0 {
		head := c.headerLen() + c.sackLen(n)
		sum = c.putData(b[head:head+n], seq)
		if seq.Add(n) == c.dataEnd() {
			// RFC 9293 MUST-61, 3.9.1.2: "the TCP implementation ... MUST set
			// the PSH bit in the last buffered segment". SHLD-27: and in no
			// other, so that pushes are merged.
			flags |= wire.PSH
		}
	}
	c.sent(now, n)
	seg := c.putBefore(now, b, seq, flags, n)
	seg.Len += n
	if c.Sums {
		seg.Sum = HasSum | uint32(addSums(seg.Sum&^HasSum, uint32(sum)))
	}
	if n > c.snd.mss {
		seg.SegmentSize = uint16(c.snd.mss)
		c.stats.segmentsSent += uint64(c.pieces(n) - 1)
	}
	return seg
}

// record takes note of n sequence numbers from SND.NXT on that are sent now. It
// reports false if there is no memory to do so: then they must not be sent.
func (c *Conn) record(now clock.Time, n int) bool { return c.recordAs(now, n, 0) }

// recordAs is record with flags. What has others than what was sent before never counts
// as one with it.
func (c *Conn) recordAs(now clock.Time, n int, flags recordFlags) bool {
	s, r := &c.snd, &c.board.records
	again := s.nxt.Before(s.max) // in a window that shrank
	if again {
		flags |= recordRepeats
	}
	end := s.nxt.Add(n)
	if r.len() > 0 && r.last().order == c.rate.order && r.last().like(flags) && c.atOnce(r.last(), now) {
		r.last().end = end // one transmission, so far
	} else if !c.recordApart(now, end, flags) {
		return false
	}
	if again {
		c.stats.retransmits += uint64(c.pieces(n))
		c.rtt.resent(s.nxt)
		c.lastResent = now
		s.resentTo = maxSeq(s.resentTo, end)
	} else {
		c.rtt.start(now, s.nxt.Add(min(n, s.mss))) // the first piece, as if it had gone alone
	}
	s.nxt = end
	s.max = maxSeq(s.max, s.nxt) // RFC 6675 5 step C.3: HighData
	// RFC 7661 4.2: a window of which at least half is in use is validated.
	if 2*c.inFlight() >= c.congestion.Window() {
		s.limitedTo = s.nxt
	}
	return true
}

// recordApart takes note of what is sent now, up to end, in a record of its own.
func (c *Conn) recordApart(now clock.Time, end Seq, flags recordFlags) bool {
	r := &c.board.records
	empty := r.len() == 0
	var apart record
	rec := &apart
	if empty { // there is room, and so it is written where it stays
		rec = r.at(0)
	}
	*rec = record{start: c.snd.nxt, end: end, flags: flags}
	c.rate.stamp(now, rec, empty)
	switch {
	case empty:
		r.n = 1
	case r.push(c.pool, rec):
	case r.last().like(rec.flags):
		// Without memory. What is older counts as sent now: it is taken for lost later
		// than it might be, never sooner.
		last := r.last()
		rec.start, rec.flags = last.start, rec.flags|recordJoined
		*last = *rec
	default:
		return false
	}
	return true
}

// repeat takes note of n sequence numbers from the start of record number i on that
// are sent again now, and returns how many are to be sent. RFC 6675 5 step C.2: HighRxt
// is wherever recordResent ends.
func (c *Conn) repeat(now clock.Time, i, n int) int {
	s, b := &c.snd, &c.board
	r := &b.records
	start := r.at(i).start
	end := start.Add(n)
	j := i + 1
	for j < r.len() && r.at(j).start.Before(end) {
		j++
	}
	rest := *r.at(j - 1)
	rest.start = end
	r.remove(i+1, j)
	rec := r.at(i)
	rec.end = rest.end
	again := rec.flags | recordResent | recordRepeats
	switch {
	case !rest.end.After(end):
	case r.split(c.pool, i, end):
		*r.at(i + 1) = rest
	case i+1 < r.len() && r.at(i+1).waits():
		// Without memory for the rest it joins what waits behind it.
		rec.end = end
		r.at(i + 1).start = end
		r.at(i + 1).flags |= rest.flags
	case i > 0 && (r.at(i-1).flags^again)&^recordLimited == 0:
		// Or what went out again before it counts as sent now.
		*rec = rest
		i--
		b.waiting -= int32(n)
		b.resent += int32(n)
		r.at(i).end = end
	default:
		// Or the rest counts as sent, until the first part is acknowledged.
		end = rest.end
		rec.flags |= recordPartly
	}
	rec = r.at(i)
	b.mark(rec, rec.flags&^recordProbe|recordResent|recordRepeats)
	c.rate.stamp(now, rec, false)
	if i > 0 {
		c.joinRepeats(i)
	}
	pieces := c.pieces(n)
	c.stats.retransmits += uint64(pieces)
	c.rtt.resent(start)
	c.lastResent = now
	s.resentTo = maxSeq(s.resentTo, end)
	c.noteRepeat(now, start, n)
	return n
}

// atOnce reports whether what goes out at now counts as sent with a record: it was sent
// at the same time, or in full segments so shortly before that no clock that tells of
// losses would see a difference. So there are not many more than atOnceShare records for
// each round trip however fast the path.
func (c *Conn) atOnce(rec *record, now clock.Time) bool {
	return rec.sent == now || now.Sub(rec.sent) <= c.rtt.min/atOnceShare && rec.len()%c.snd.mss == 0
}

// atOnceShare is the part of a round trip, one in so many, that counts as one instant.
const atOnceShare = 1024

// joinRepeats has record number i, which was just sent again, be one with what was sent
// again right before it: one transmission, as super-segments are.
func (c *Conn) joinRepeats(i int) {
	r := &c.board.records
	before, rec := r.at(i-1), r.at(i)
	if before.order == rec.order-1 && before.flags == rec.flags && c.atOnce(before, rec.sent) {
		before.end = rec.end
		r.remove(i, i+1)
		c.rate.order--
	}
}

// sent takes note of a segment with n bytes of data that goes out, for the first time
// or again.
func (c *Conn) sent(now clock.Time, n int) {
	c.stats.bytesSent += uint64(n)
	first := c.lastSent != now || c.flight() <= max(n+1, 2*c.snd.mss)
	c.lastSent = now
	c.timers[timerProbe] = 0
	if !c.timers[timerRetransmit].IsSet() {
		c.armRetransmit(now) // RFC 6298 5.1
	}
	c.armUserTimeout(now)
	if n > 0 {
		c.armTrim(now)
	}
	if first { // else it is armed as it would be
		c.armProbe(now)
	}
	if !c.congestion.deaf || c.recovery.phase != congestion.Open {
		c.congestion.OnSend(now, n, c.inFlight())
	}
	c.pace(now, n)
}

// noteIdle notes that there is nothing to send although the window has room:
// draft-cheng-iccrg-delivery-rate-estimation-02 3.4.
func (c *Conn) noteIdle() {
	b := &c.board
	if pipe := c.inFlight(); b.waiting == 0 && pipe < c.congestion.Window() {
		c.rate.limitedTo = max(c.rate.delivered+uint64(pipe), 1)
	}
}

// pace holds the next data back if the controller has a rate and n bytes have
// used up what it allows.
func (c *Conn) pace(now clock.Time, n int) {
	rate := c.congestion.PacingRate()
	if rate <= 0 {
		return
	}
	// As if the pieces of a super-segment had gone one by one. A full segment a second
	// is the least: a rate from when next to nothing could be sent does not outlast that.
	mss := c.snd.mss
	rate = max(rate, int64(mss))
	cost := time.Duration(int64(n/mss)*(int64(mss)*int64(time.Second)/rate) + int64(n%mss)*int64(time.Second)/rate)
	c.paceFree = max(c.paceFree, c.paceFrom(now)).Add(cost)
	if q := c.paceQuantum(); c.paceFree.Sub(now) > q {
		c.timers[timerPace] = c.paceFree.Add(-q)
	}
}

// paceQuantum returns how far the connection may run ahead of its rate.
func (c *Conn) paceQuantum() time.Duration { return max(paceQuantum, c.cfg.TimerSlack) }

// paceFrom returns from when on what was not sent may be made up for: who has waited
// for a timer that came late makes up for all of it, up to half a round trip.
func (c *Conn) paceFrom(now clock.Time) clock.Time {
	from := now.Add(-c.paceQuantum())
	if c.paceFired == now {
		from = min(from, now.Add(-c.rtt.srtt/2))
	}
	return from
}

// finIf returns the FIN flag if fin is set.
func finIf(fin bool) wire.TCPFlags {
	if fin {
		return wire.FIN
	}
	return 0
}

// b2i returns 1 for true.
func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}
