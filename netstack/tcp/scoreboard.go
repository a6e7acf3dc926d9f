package tcp

// RFC 6675 (the scoreboard and what is in flight), RFC 2018 and RFC 2883 as the
// data sender has them.
//
// Invariant: the amounts are those of the records' flags.

import (
	"smolnet/netstack/clock"
	"smolnet/netstack/wire"
)

// A scoreboard is what the sender knows of what it has in flight.
type scoreboard struct {
	records records
	sacked  int32 // bytes that SACKs have told of
	lost    int32 // bytes taken for lost, those on their way again included
	resent  int32 // bytes on their way again, those of a tail loss probe included
	waiting int32 // bytes that are lost and not on their way again

	// pieces is how many segments the SACKs tell of: an upper bound while
	// segments are acknowledged, exact when nothing was.
	pieces int32
	// waitFrom: no record before it is lost and not on its way again.
	waitFrom Seq
	// known are the blocks of the last SACK, which the next one mostly repeats.
	known [2]span
}

// An arrival gathers what one acknowledgment tells, as its parts are looked at.
type arrival struct {
	prior     int        // bytes in flight before
	fack      Seq        // RACK.fack before
	acked     int        // bytes that the cumulative acknowledgment covers for the first time
	delivered int        // bytes known to have arrived for the first time
	dsack     span       // what arrived twice, RFC 2883; empty: nothing
	original  bool       // something arrived that was sent only once
	last      bool       // something arrived whose last transmission it is, as far as can be told
	rtt       clock.Time // when the newest of what was sent once was sent; zero: no measure
	echo      uint32     // with hasEcho: the timestamp that came back
	hasEcho   bool
	probed    bool // a probe of the path's MTU arrived
	rate      rateSample
}

// inFlight returns how much is in the network: pipe of RFC 6675 4.
//
// Without SACK every duplicate acknowledgment counts as the arrival of a segment
// (RFC 5681 3.2 step 4): left.
func (c *Conn) inFlight() int {
	b := &c.board
	out := c.snd.nxt.Sub(c.snd.una) - int(b.sacked+b.lost-b.resent)
	return max(out-c.snd.left, 0)
}

// takeSacks enters the blocks of a SACK, RFC 6675 5.1 and RFC 2018 5. RFC 6675 5: every
// acknowledgment that has some updates the scoreboard. Those that make no sense are left out: RFC 2018 5.1 leaves a receiver free to report what
// it likes, and an attacker too.
func (c *Conn) takeSacks(now clock.Time, s *segment, a *arrival) {
	blocks := s.h.Options.SACK[:s.h.Options.NumSACK]
	first := 0
	if c.takeDsack(s.ack, blocks, a) {
		first = 1
	}
	b := &c.board
	var believed [len(b.known)]span
	for i := first; i < len(blocks); i++ {
		k := span{Seq(blocks[i].Start), Seq(blocks[i].End)}
		if k.start.Before(c.snd.una) || !k.start.Before(c.snd.nxt) || k.end.After(c.snd.nxt) {
			continue
		}
		if k.start = maxSeq(k.start, s.ack); !k.start.Before(k.end) {
			continue
		}
		news := k
		for _, known := range b.known {
			news = news.without(known)
		}
		if all := c.sackRange(now, news, a); all && i-first < len(believed) {
			believed[i-first] = k
		}
	}
	b.known = believed
}

// without returns what of s does not lie in known, if known covers an end of it,
// else s.
func (s span) without(known span) span {
	if !known.start.Before(known.end) {
		return s
	}
	if !known.start.After(s.start) && known.end.After(s.start) {
		s.start = minSeq(known.end, maxSeq(s.end, s.start))
	}
	if !known.end.Before(s.end) && known.start.Before(s.end) {
		s.end = maxSeq(known.start, s.start)
	}
	return s
}

// takeDsack looks whether the first block reports a duplicate. RFC 2883 4: it does
// if it lies below the cumulative acknowledgment, or inside the second block.
func (c *Conn) takeDsack(ack Seq, blocks []wire.SACKBlock, a *arrival) bool {
	if len(blocks) == 0 {
		return false
	}
	d := span{Seq(blocks[0].Start), Seq(blocks[0].End)}
	if !d.start.Before(d.end) {
		return false
	}
	below := !d.end.After(ack)
	inside := len(blocks) > 1 && !d.start.Before(Seq(blocks[1].Start)) && !d.end.After(Seq(blocks[1].End))
	if !below && !inside {
		return false
	}
	// What was never sent did not arrive twice, nor did what was sent long ago:
	// RFC 3708 3, against duplicates that an attacker makes up.
	if d.end.After(c.snd.nxt) || d.start.Before(c.snd.una-Seq(c.snd.maxWnd)) {
		return true
	}
	a.dsack = d
	c.stats.duplicates++
	return true
}

// sackRange marks a range as arrived. It reports false if there was no memory to tell
// all of it from what has not arrived, which is then left as it was. RFC 6675 4: what
// is SACKed is not removed from Out, for the peer may change its mind.
func (c *Conn) sackRange(now clock.Time, k span, a *arrival) bool {
	b := &c.board
	r := &b.records
	all := true
	for i := r.find(k.start); i < r.len(); i++ {
		rec := r.at(i)
		if !rec.start.Before(k.end) {
			break
		}
		if rec.has(recordSacked) {
			continue
		}
		if rec.start.Before(k.start) {
			if !c.believes() || !r.split(c.pool, i, k.start) {
				all = false
				continue
			}
			i++
			rec = r.at(i)
		}
		part := *rec
		part.end = minSeq(rec.end, k.end)
		sacked := rec.flags&^(recordLost|recordResent|recordPartly) | recordSacked
		switch {
		case i > 0 && r.at(i-1).like(sacked):
			// It has arrived as what is before it, and is one with that from now on: there
			// are no more records than there are holes, however many acknowledgments tell
			// of what lies between them.
			r.at(i - 1).end = part.end
			rec.start = part.end
			if rec.len() == 0 {
				r.remove(i, i+1)
				i--
			}
		case part.end != rec.end && (!c.believes() || !r.split(c.pool, i, part.end)):
			return false
		default:
			r.at(i).flags = sacked
		}
		c.proves(&part, part.len())
		c.arrived(now, &part, a)
		b.pieces += int32(c.pieces(part.len()))
		b.mark(&part, sacked)
	}
	return all
}

// believes reports whether a SACK may tell parts of a record from each other. Who
// acknowledges single bytes would have us remember, and search, many more records than
// there are segments.
func (c *Conn) believes() bool {
	return c.board.records.len() < 2*(c.flight()/c.snd.mss)+spareRecords
}

// takeCumulative removes everything below ack from the scoreboard.
func (c *Conn) takeCumulative(now clock.Time, ack Seq, a *arrival) {
	b := &c.board
	r := &b.records
	for r.len() > 0 {
		rec := r.at(0)
		if !rec.start.Before(ack) {
			break
		}
		whole := !rec.end.After(ack)
		part := *rec
		if !whole {
			part.end = ack
		}
		if !part.has(recordSacked) {
			c.proves(rec, part.len())
			c.arrived(now, &part, a)
		}
		b.count(&part, -1)
		if !whole {
			rec.start = ack
			if rec.has(recordPartly) {
				c.markLost(rec)
			}
			break
		}
		r.pop()
	}
	if b.sacked == 0 {
		b.pieces = 0
		b.known = [2]span{}
	}
	b.waitFrom = maxSeq(b.waitFrom, ack)
}

// arrived takes note of a record, or part of one, that has just become known to
// have arrived.
func (c *Conn) arrived(now clock.Time, rec *record, a *arrival) {
	a.delivered += rec.len()
	if rec.has(recordProbe) {
		a.probed = true
	}
	if !rec.has(recordRepeats) {
		a.original = a.original || !rec.end.After(c.recovery.end)
		if rec.sent > a.rtt && !rec.has(recordJoined) {
			a.rtt = rec.sent
		}
	}
	c.rackArrived(now, rec, a)
	a.rate.take(rec)
}

// markLost takes the unacknowledged part of a record for lost, RFC 6675 4, once or
// (if it was on its way again) once more.
func (c *Conn) markLost(rec *record) {
	b := &c.board
	if rec.has(recordProbe) {
		c.probeMissed()
	} else if !rec.waits() {
		c.rate.lost += int32(rec.len())
	}
	b.mark(rec, rec.flags&^(recordResent|recordPartly|recordProbe)|recordLost)
	b.waitFrom = minSeq(b.waitFrom, rec.start)
}

// mark gives a record other flags.
func (b *scoreboard) mark(rec *record, f recordFlags) {
	b.count(rec, -1)
	rec.flags = f
	b.count(rec, 1)
}

// count adds a record to the amounts, or takes it out of them: sign is 1 or -1.
func (b *scoreboard) count(rec *record, sign int32) {
	n := sign * int32(rec.len())
	if rec.has(recordSacked) {
		b.sacked += n
	}
	if rec.has(recordLost) {
		b.lost += n
	}
	if rec.has(recordResent) {
		b.resent += n
	}
	if rec.waits() {
		b.waiting += n
	}
}

// markAllLost takes everything that has not arrived for lost.
func (c *Conn) markAllLost() {
	r := &c.board.records
	for i := range r.len() {
		if rec := r.at(i); !rec.has(recordSacked) {
			c.markLost(rec)
		}
	}
}

// forgetSacks has nothing sacked any more. RFC 2018 8: "After a retransmit timeout
// the data sender SHOULD turn off all of the SACKed bits, since the timeout might
// indicate that the data receiver has reneged."
func (c *Conn) forgetSacks() {
	b := &c.board
	for i := range b.records.len() {
		b.records.at(i).flags &^= recordSacked
	}
	b.sacked, b.pieces = 0, 0
	b.known = [2]span{}
}

// firstWaiting returns the number of the first record that is lost and not on its
// way again, len if there is none.
func (b *scoreboard) firstWaiting() int {
	n := b.records.len()
	if b.waiting == 0 {
		return n
	}
	for i := b.records.find(b.waitFrom); i < n; i++ {
		if rec := b.records.at(i); rec.waits() {
			b.waitFrom = rec.start
			return i
		}
	}
	return n
}

// reset forgets everything in flight, without memory or with it.
func (b *scoreboard) reset(una Seq) {
	b.records.clear()
	b.waitFrom = una
	b.sacked, b.lost, b.resent, b.waiting, b.pieces = 0, 0, 0, 0, 0
	b.known = [2]span{}
}
