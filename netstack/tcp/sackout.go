package tcp

// RFC 2018 4 and RFC 2883 4: the selective acknowledgments that we send. What
// they are about, the spans that have arrived beyond RCV.NXT, is in ranges.go.
//
// Invariant: a header with sackLen(n) bytes of blocks is followed by n bytes of
// data, and together they are no more than a full segment without blocks. So
// what a segment holds does not depend on what there is to report: a full
// segment, and a super-segment, says nothing of it, and an acknowledgment of its
// own does.

import (
	"smolnet/netstack/stream"
	"smolnet/netstack/wire"
)

// keptRecent is how many blocks' order of arrival is remembered, and so how many
// may grow in one turn and all be told of.
const keptRecent = 32

// recency has a sequence number of each of the blocks that grew last, newest first.
// One that is in no span any more is of a block that was acknowledged since, or
// dropped.
type recency struct {
	seq   [keptRecent]Seq
	known uint8 // how many
	fresh uint8 // the first so many were not reported yet
}

// recencySize is the memory that it takes, bytes.
const recencySize = keptRecent*4 + 4

// A sackReport is what is remembered of what was reported, and is to be. The zero
// one is that of a connection that has got everything in order.
type sackReport struct {
	recent *recency // nil: nothing, or there was no memory for it
	dupDue bool     // dup was not reported yet
	dup    span     // what has arrived twice, RFC 2883
	early  uint8    // segments beyond the first gap, up to countedDups
	paired bool     // the last duplicate acknowledgment owed is for two segments

	duplicates uint32 // reported, for those who want to know
	reneged    uint32 // how often reported blocks were dropped
}

// countedDups is how many duplicate acknowledgments a peer counts before it takes
// a segment for lost: DupThresh of RFC 6675.
const countedDups = 3

// sackRoom returns how many blocks a header has room for.
func (c *Conn) sackRoom() int {
	room := wire.TCPMaxLen - wire.TCPLen - sackHead
	if c.ts.on {
		room -= timestampsLen
	}
	return room / sackBlockLen
}

const (
	sackHead     = 4 // kind and length, and two NOPs before them
	sackBlockLen = 8
)

// sackLen returns how many bytes of blocks go before n bytes of data.
func (c *Conn) sackLen(n int) int {
	r := &c.rcv
	if !c.sackOn || len(r.gaps.spans) == 0 && !r.sack.dupDue {
		return 0
	}
	size := sackHead + sackBlockLen*min(len(r.gaps.spans)+b2i(r.sack.dupDue), c.sackRoom())
	if n > 0 && n+size > c.snd.mss {
		return 0
	}
	return size
}

// putSACK puts the blocks into the options of a segment with n bytes of data. It
// reports false if they find no room there.
//
// RFC 2018 4: "the first SACK block ... MUST specify the contiguous block of data
// containing the segment which triggered this ACK", "The data receiver SHOULD
// include as many distinct SACK blocks as possible", "by repeating the most
// recently reported SACK blocks". RFC 2883 4: what has arrived twice comes before
// all of them, once, and the block that it is in right behind it.
func (c *Conn) putSACK(o *wire.TCPOptions, n int) bool {
	r := &c.rcv
	if !c.sackOn || len(r.gaps.spans) == 0 && !r.sack.dupDue {
		return true
	}
	if c.sackLen(n) == 0 {
		return false
	}
	room := c.sackRoom()
	first := 0 // block that is none of the spans
	add := func(s span) {
		for _, b := range o.SACK[first:o.NumSACK] {
			if b.Start == uint32(s.start) && b.End == uint32(s.end) {
				return
			}
		}
		if int(o.NumSACK) < room {
			o.SACK[o.NumSACK] = wire.SACKBlock{Start: uint32(s.start), End: uint32(s.end)}
			o.NumSACK++
		}
	}
	if r.sack.dupDue {
		r.sack.dupDue = false
		add(r.sack.dup)
		first = 1
		if s, ok := r.gaps.find(r.sack.dup.start); ok {
			add(s)
		}
	}
	if k := r.sack.recent; k != nil {
		// Several blocks may have grown since the last acknowledgment. Each of those
		// that are owed tells of what came first of the rest, so that the last one
		// begins with what came last.
		from := max(int(k.fresh)-(room-int(o.NumSACK)), 0)
		k.fresh = uint8(from)
		for _, seq := range k.seq[from:k.known] {
			if s, ok := r.gaps.find(seq); ok {
				add(s)
			}
		}
		if from > 0 {
			r.dupAcks = max(r.dupAcks, 1) // there is more to tell
		}
	}
	// Blocks whose turn was forgotten when others grew together: those nearest to
	// RCV.NXT are what the peer needs next.
	for _, s := range r.gaps.spans[:min(len(r.gaps.spans), room)] {
		add(s)
	}
	return true
}

// noteRecent remembers that the block with seq was the last that grew.
func (c *Conn) noteRecent(seq Seq) {
	r := &c.rcv
	grown, ok := r.gaps.find(seq)
	if !ok {
		return
	}
	k := r.sack.recent
	if k == nil {
		if !c.pool.ReserveBefore(stream.ShrinkWindows, recencySize) {
			return
		}
		k = new(recency)
		r.sack.recent = k
	}
	next, n, fresh := [keptRecent]Seq{seq}, 1, 1
	for i, old := range k.seq[:k.known] {
		if n < keptRecent && old.After(r.nxt) && (old.Before(grown.start) || !old.Before(grown.end)) {
			next[n] = old
			n++
			if i < int(k.fresh) {
				fresh = n
			}
		}
	}
	k.seq, k.known, k.fresh = next, uint8(n), uint8(fresh)
}

// forgetRecent is for when there are no blocks any more.
func (r *receiveSpace) forgetRecent() {
	if k := r.sack.recent; k != nil {
		k.known, k.fresh = 0, 0
	}
	r.sack.early = 0
}

// freeGaps gives back the memory of what arrived beyond RCV.NXT, but for the text.
func (c *Conn) freeGaps() {
	c.rcv.gaps.free(c.pool)
	if c.rcv.sack.recent != nil {
		c.pool.Unreserve(recencySize)
		c.rcv.sack.recent = nil
	}
}

// noteOverlap looks whether text from start up to end, which begins at or beyond
// RCV.NXT and is not in the spans yet, is there already, and reports whether any
// of it is. RFC 2883 4.1.3: of several such parts the first is reported.
func (c *Conn) noteOverlap(start, end Seq) bool {
	if !c.sackOn || !start.Before(end) {
		return false
	}
	s, ok := c.rcv.gaps.after(start)
	if !ok || !s.start.Before(end) {
		return false
	}
	c.noteDuplicate(maxSeq(start, s.start), minSeq(end, s.end))
	return true
}

// noteDuplicate has the next acknowledgment report that the sequence numbers from
// start up to end have arrived once more. RFC 2883 4: "each duplicate contiguous
// sequence of data received is reported in at most one D-SACK block". Of what
// comes before that is sent the first piece is.
func (c *Conn) noteDuplicate(start, end Seq) {
	if !c.sackOn {
		return
	}
	k := &c.rcv.sack
	k.duplicates++
	switch {
	case !k.dupDue:
		k.dup, k.dupDue = span{start, end}, true
	case !start.After(k.dup.end) && !end.Before(k.dup.start):
		k.dup = span{minSeq(start, k.dup.start), maxSeq(end, k.dup.end)}
	}
}
