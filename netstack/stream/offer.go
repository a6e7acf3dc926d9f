package stream

import "sync/atomic"

// An Offer is the buffer of a consumer that waits for the stream to have
// something. The producer fills it with what comes next and so saves the way by a
// page: one copy of each byte, and memory. The zero value is ready for use, and
// it may be used again and again, for one stream at a time.
//
// The consumer makes an offer when it has found the stream empty, then waits
// until it is told of something new, and then withdraws the offer, whatever it
// was told. In between it is not the consumer: the producer is.
type Offer struct {
	b     []byte
	n     int    // bytes that were filled in; the producer's, once it has claimed the offer
	from  uint64 // Start when it did
	state atomic.Uint32
}

// States of an offer.
const (
	offerIdle    uint32 = iota // the consumer's
	offerMade                  // the producer may claim it, or the consumer withdraw it
	offerClaimed               // the producer's until Publish
	offerFilled                // the consumer's, with n bytes in it
)

// Offer lets the producer fill b, which is not empty, until Withdraw. It is the
// consumer's.
func (s *Stream) Offer(o *Offer, b []byte) {
	o.b, o.n = b, 0
	o.state.Store(offerMade)
	s.offer.Store(o)
}

// Withdraw takes the offer back and returns how many bytes of the buffer were
// filled. They count as read. It reports false if the producer is about to fill
// it: then the consumer waits for its Publish and calls Withdraw again. It is the
// consumer's.
func (s *Stream) Withdraw(o *Offer) (n int, ok bool) {
	switch {
	case o.state.CompareAndSwap(offerMade, offerIdle):
		s.offer.Store(nil)
	case o.state.Load() == offerClaimed:
		return 0, false
	}
	o.state.Store(offerIdle)
	o.b = nil
	return o.n, true
}

// Deliver puts as much of b as it can, which comes at Next, in the consumer's
// buffer, if that waits with one and nothing comes before or after b in the
// stream. It moves Next, and returns how much that was. It is the producer's.
func (s *Stream) Deliver(b []byte) int {
	o := s.offer.Load()
	if o == nil || s.top != s.next {
		return 0
	}
	switch o.state.Load() {
	case offerMade:
		if s.start.Load() != s.next || !o.state.CompareAndSwap(offerMade, offerClaimed) {
			return 0
		}
		o.from = s.next
		s.vacate()
	case offerClaimed:
		if o.from+uint64(o.n) != s.next {
			return 0 // something is in between
		}
	default:
		return 0
	}
	n := copy(o.b[o.n:], b)
	o.n += n
	s.next += uint64(n)
	s.top = s.next
	return n
}

// vacate gives back the page in which an empty stream stands, and forgets pages of
// long ago, so that the stream can go on at any offset.
func (s *Stream) vacate() {
	start := s.start.Load()
	slots := s.slots()
	if start%PageSize != 0 { // else its page was never in use
		s.drop(slotOf(slots, start/PageSize))
	}
	for i := range slots {
		if slots[i].Load() != nil {
			slots[i].Store(nil)
		}
	}
}

// publishOffer gives the consumer its buffer back if the producer has claimed it.
// What was published before says that the stream goes on after it.
func (s *Stream) publishOffer() {
	o := s.offer.Load()
	if o == nil || o.state.Load() != offerClaimed {
		return
	}
	s.start.Store(o.from + uint64(o.n))
	s.offer.Store(nil)
	o.state.Store(offerFilled)
}

// delivered returns the offset below which bytes went to the consumer's buffer,
// zero if it does not wait with one.
func (s *Stream) delivered() uint64 {
	if o := s.offer.Load(); o != nil && o.state.Load() == offerClaimed {
		return o.from + uint64(o.n)
	}
	return 0
}
