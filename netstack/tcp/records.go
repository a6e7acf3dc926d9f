package tcp

// What is in flight, as the sender remembers it: when each part was sent, and
// what has become of it. RFC 6675 2 calls it the scoreboard, RFC 8985 5.1 has what
// it wants to know of each segment. RFC 6675 3: every connection keeps one, and RFC
// 8985 6.1: what goes out is entered with its time, and not as lost.
//
// Invariant: records are not empty, and follow each other without gap or overlap
// from SND.UNA up to SND.NXT.

import (
	"smolnet/netstack/clock"
	"smolnet/netstack/stream"
)

// A record is a range of sequence numbers that went out at one instant and has
// fared alike since: one segment, or all of a burst.
type record struct {
	start, end Seq
	flags      recordFlags
	order      uint32     // of the last transmission among all
	sent       clock.Time // when that was, RFC 8985 4: the time of each, as fine as the driver's clock

	// What draft-cheng-iccrg-delivery-rate-estimation-02 3.2 keeps of the instant.
	delivered   uint64     // bytes that had been delivered
	deliveredAt clock.Time // when the last of them was
	firstSent   clock.Time // when what was delivered then was sent
}

// recordSize is the memory that a record takes, bytes.
const recordSize = 48

// recordFlags say what has become of a record.
type recordFlags uint8

const (
	recordSacked  recordFlags = 1 << iota // arrived, says a SACK
	recordLost                            // taken for lost; with recordResent: and on its way again
	recordResent                          // the last transmission was not the first
	recordRepeats                         // of what was sent before, RFC 6298 3: ambiguous
	recordLimited                         // sent while the application was the limit
	recordProbe                           // a larger segment than others, which has not been lost yet
	recordPartly                          // its beginning went out again, the rest could not be told apart
	recordJoined                          // some of it was sent earlier than it says, for want of memory
)

func (r *record) len() int               { return r.end.Sub(r.start) }
func (r *record) has(f recordFlags) bool { return r.flags&f != 0 }
func (r *record) waits() bool            { return r.flags&(recordLost|recordResent|recordSacked) == recordLost }

// like reports whether a record with flags f has fared as r has.
func (r *record) like(f recordFlags) bool {
	return (r.flags^f)&^(recordLimited|recordJoined) == 0
}
func (r *record) covers(seq Seq) bool { return !seq.Before(r.start) && seq.Before(r.end) }

const (
	// inlineRecords are kept in the connection itself: enough for a request and
	// its answer.
	inlineRecords = 2
	minRecords    = 16 // of a ring on its own; a power of two

	// maxRecords bounds a connection's records, to 1.5 MB: a flight of 64 MiB of which
	// every third segment is lost has as many.
	maxRecords = 1 << 15

	// spareRecords are those that there may be, beside two for each full segment in
	// flight, before SACKs make no more: honest ones end where segments do.
	spareRecords = 1 << 10
)

// records is the ring of them, in the order of their sequence numbers. Its memory
// is counted against the pool that its methods are given.
type records struct {
	ring   []record // a power of two; nil: inline
	head   int32
	n      int32
	inline [inlineRecords]record
}

func (r *records) len() int { return int(r.n) }

// slots returns the ring.
func (r *records) slots() []record {
	if r.ring == nil {
		return r.inline[:]
	}
	return r.ring
}

// at returns record number i, counted from the oldest.
func (r *records) at(i int) *record {
	s := r.slots()
	return &s[(int(r.head)+i)&(len(s)-1)]
}

// slot returns the place of record number i in the ring.
func (r *records) slot(i int) int { return (int(r.head) + i) & (len(r.slots()) - 1) }

// last returns the newest record; there is one.
func (r *records) last() *record { return r.at(int(r.n) - 1) }

// push adds a record at the end. If there is neither room nor memory it reports
// false.
func (r *records) push(pool *stream.Pool, rec *record) bool {
	if !r.grow(pool) {
		return false
	}
	r.n++
	*r.last() = *rec
	return true
}

// pop removes the oldest record.
func (r *records) pop() {
	r.head = (r.head + 1) & int32(len(r.slots())-1)
	r.n--
}

// find returns the number of the record that covers seq: len if it lies behind
// all of them, 0 if before.
func (r *records) find(seq Seq) int {
	lo, hi := 0, int(r.n)
	for lo < hi {
		mid := int(uint(lo+hi) / 2)
		if r.at(mid).end.After(seq) {
			hi = mid
		} else {
			lo = mid + 1
		}
	}
	return lo
}

// split cuts record number i at seq, which lies inside of it: the part from seq on
// becomes number i+1. It reports false if there was no room or memory.
func (r *records) split(pool *stream.Pool, i int, seq Seq) bool {
	if !r.grow(pool) {
		return false
	}
	r.open(i + 1)
	left, right := r.at(i), r.at(i+1)
	*right = *left
	left.end, right.start = seq, seq
	return true
}

// open makes room for a record before number i, moving what is less.
func (r *records) open(i int) {
	if i < int(r.n)-i {
		r.head = (r.head - 1) & int32(len(r.slots())-1)
		r.n++
		r.move(0, 1, i)
		return
	}
	r.n++
	r.move(i+1, i, int(r.n)-1-i)
}

// move copies k records from number from on to where number to is, a few at a time
// where the ring ends.
func (r *records) move(to, from, k int) {
	s := r.slots()
	for k > 0 {
		var n int
		if to < from {
			a, b := r.slot(to), r.slot(from)
			n = min(k, len(s)-max(a, b))
			copy(s[a:a+n], s[b:b+n])
			to, from = to+n, from+n
		} else {
			a, b := r.slot(to+k-1)+1, r.slot(from+k-1)+1
			n = min(k, a, b)
			copy(s[a-n:a], s[b-n:b])
		}
		k -= n
	}
}

// remove takes out the records from number i up to, and without, j.
func (r *records) remove(i, j int) {
	k := j - i
	if k <= 0 {
		return
	}
	if i < int(r.n)-j {
		r.move(k, 0, i)
		r.head = (r.head + int32(k)) & int32(len(r.slots())-1)
	} else {
		r.move(i, j, int(r.n)-j)
	}
	r.n -= int32(k)
}

// grow makes room for one more record.
func (r *records) grow(pool *stream.Pool) bool {
	s := r.slots()
	if int(r.n) < len(s) {
		return true
	}
	room := max(2*len(s), minRecords)
	if room > maxRecords {
		return false
	}
	more := room
	if r.ring != nil {
		more -= len(s)
	}
	if !pool.ReserveBefore(stream.ShrinkWindows, int64(more)*recordSize) {
		pool.Note(stream.ShrinkWindows)
		return false
	}
	ring := make([]record, room)
	for i := range int(r.n) {
		ring[i] = *r.at(i)
	}
	r.ring, r.head = ring, 0
	return true
}

// clear empties the ring and keeps its memory.
func (r *records) clear() { r.head, r.n = 0, 0 }

// free empties the ring and gives its memory back.
func (r *records) free(pool *stream.Pool) {
	if r.ring != nil {
		pool.Unreserve(int64(len(r.ring)) * recordSize)
	}
	r.ring = nil
	r.clear()
}
