package tcp

// Building segments, RFC 9293 3.1.

import (
	"math/bits"
	"time"

	"smolnet/netstack/clock"
	"smolnet/netstack/wire"
)

// paceQuantum is how far a paced sender may run ahead of its rate: clocks are
// too coarse to time every segment.
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
	return Segment{Len: head, Sum: sum, HasSum: true}
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

// sendSegment sends n bytes of Out from seq on, and the FIN if fin is set. More
// than a segment's worth is a super-segment. What it is cut into has its flags
// as they should be: PSH and FIN on the last piece, and only there.
func (c *Conn) sendSegment(now clock.Time, b []byte, seq Seq, n int, fin bool) Segment {
	var flags wire.TCPFlags
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
	end := seq.Add(n)
	if fin {
		flags |= wire.FIN
		end++
	}
	c.sent(now, seq, end, n)
	seg := c.putBefore(now, b, seq, flags, n)
	seg.Len += n
	seg.Sum = addSums(uint32(seg.Sum), uint32(sum))
	if n > c.snd.mss {
		seg.SegmentSize = uint16(c.snd.mss)
		c.stats.segmentsSent += uint64(c.pieces(n) - 1)
	}
	return seg
}

// sent takes note of a segment from seq to end with n bytes of data.
func (c *Conn) sent(now clock.Time, seq, end Seq, n int) {
	s := &c.snd
	if seq.Before(s.max) {
		c.stats.retransmits += uint64(c.pieces(n))
		c.rtt.resent(seq)
		c.lastResent = now
		s.resentTo = maxSeq(s.resentTo, end)
	} else if n > s.mss {
		c.rtt.start(now, seq.Add(s.mss)) // the first piece, as if it had gone alone
	} else {
		c.rtt.start(now, end)
	}
	s.max = maxSeq(s.max, end)
	s.nxt = maxSeq(s.nxt, end)
	if c.flight()+s.mss > c.congestion.Window() {
		s.limitedTo = s.nxt
	}
	c.stats.bytesSent += uint64(n)
	c.lastSent = now
	c.timers[timerProbe] = 0
	if !c.timers[timerRetransmit].IsSet() {
		c.armRetransmit(now) // RFC 6298 5.1
	}
	c.armUserTimeout(now)
	if n > 0 {
		c.armTrim(now)
	}
	c.congestion.OnSend(now, n, c.flight())
	c.pace(now, n)
}

// pace holds the next data back if the controller has a rate and n bytes have
// used up what it allows.
func (c *Conn) pace(now clock.Time, n int) {
	rate := c.congestion.PacingRate()
	if rate <= 0 {
		return
	}
	cost := time.Duration(int64(n) * int64(time.Second) / rate)
	c.paceFree = max(c.paceFree, now).Add(cost)
	if c.paceFree.Sub(now) > paceQuantum {
		c.timers[timerPace] = c.paceFree.Add(-paceQuantum)
	}
}

// b2i returns 1 for true.
func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}
