package tcp

// The parts of the receive stream that have arrived ahead of a gap.
//
// Invariant: spans are not empty, in order, and apart from each other.

import "smolnet/netstack/stream"

// A span is the sequence numbers from start up to, and without, end.
type span struct{ start, end Seq }

// spanSize is the memory that a span takes, bytes.
const spanSize = 8

const (
	minSpans = 8
	// maxSpans bounds the spans of a connection. It is more than the gaps
	// that full segments can leave in the largest window; who leaves more
	// sends crumbs, and has to send some of them again.
	maxSpans = 1 << 15
)

// ranges is a set of sequence numbers. The zero ranges is empty. Its memory is
// counted against the pool that its methods are given; nil: not counted.
type ranges struct {
	spans []span
}

func (r *ranges) empty() bool { return len(r.spans) == 0 }

// end returns the end of the last span; there is one.
func (r *ranges) end() Seq { return r.spans[len(r.spans)-1].end }

// search returns the index of the first span that ends at or after seq: the
// first that a span starting at seq touches or precedes.
func (r *ranges) search(seq Seq) int {
	// Segments mostly arrive in order even behind a gap.
	lo, hi := 0, len(r.spans)
	if hi > 0 {
		switch last := r.spans[hi-1]; {
		case last.end.Before(seq):
			return hi
		case !last.start.After(seq):
			return hi - 1
		}
	}
	for lo < hi {
		mid := int(uint(lo+hi) / 2)
		if r.spans[mid].end.Before(seq) {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}

// after returns the first span that ends beyond seq.
func (r *ranges) after(seq Seq) (span, bool) {
	i := r.search(seq)
	if i < len(r.spans) && r.spans[i].end == seq {
		i++
	}
	if i == len(r.spans) {
		return span{}, false
	}
	return r.spans[i], true
}

// find returns the span that has a sequence number.
func (r *ranges) find(seq Seq) (span, bool) {
	s, ok := r.after(seq)
	return s, ok && !s.start.After(seq)
}

// add puts the sequence numbers from start up to end into the set. It reports
// false, and changes nothing, if that needed a span and there was no memory or
// room for one.
func (r *ranges) add(pool *stream.Pool, start, end Seq) bool {
	if !start.Before(end) {
		return true
	}
	i := r.search(start)
	j := i // spans[i:j] become part of the new one
	for j < len(r.spans) && !r.spans[j].start.After(end) {
		start = minSeq(start, r.spans[j].start)
		end = maxSeq(end, r.spans[j].end)
		j++
	}
	if i == j {
		if !r.grow(pool) {
			return false
		}
		r.spans = append(r.spans, span{})
		copy(r.spans[i+1:], r.spans[i:])
	} else if j > i+1 {
		r.spans = append(r.spans[:i+1], r.spans[j:]...)
	}
	r.spans[i] = span{start, end}
	return true
}

// advance removes everything that is contiguous with what has arrived up to
// next, and returns up to where that is.
func (r *ranges) advance(next Seq) Seq {
	n := 0
	for n < len(r.spans) && !r.spans[n].start.After(next) {
		next = maxSeq(next, r.spans[n].end)
		n++
	}
	if n > 0 {
		r.spans = append(r.spans[:0], r.spans[n:]...)
	}
	return next
}

// grow makes room for one more span.
func (r *ranges) grow(pool *stream.Pool) bool {
	n := len(r.spans)
	if n < cap(r.spans) {
		return true
	}
	if n >= maxSpans {
		return false
	}
	room := max(2*n, minSpans)
	if pool != nil && !pool.ReserveBefore(stream.ShrinkWindows, int64(room-n)*spanSize) {
		pool.Note(stream.ShrinkWindows)
		return false
	}
	spans := make([]span, n, room)
	copy(spans, r.spans)
	r.spans = spans
	return true
}

// free empties the set and gives its memory back.
func (r *ranges) free(pool *stream.Pool) {
	if pool != nil && r.spans != nil {
		pool.Unreserve(int64(cap(r.spans)) * spanSize)
	}
	r.spans = nil
}
