package link

import "time"

// A parcel is a packet under way.
type parcel struct {
	at  time.Duration // it arrives
	pkt []byte        // from a store
}

// transit holds the parcels under way in the order in which they arrive, those
// of the same instant in the order in which they came. Most come in order,
// which costs next to nothing. The zero transit is empty.
type transit struct {
	slots    []parcel // a power of two, or none
	first, n int
}

func (t *transit) slot(i int) *parcel { return &t.slots[(t.first+i)&(len(t.slots)-1)] }

// add puts p in its place.
func (t *transit) add(p parcel) {
	if t.n == len(t.slots) {
		t.grow()
	}
	i := t.n
	for ; i > 0 && t.slot(i-1).at > p.at; i-- {
		*t.slot(i) = *t.slot(i - 1)
	}
	*t.slot(i) = p
	t.n++
}

func (t *transit) grow() {
	slots := make([]parcel, max(64, 2*len(t.slots)))
	for i := range t.n {
		slots[i] = *t.slot(i)
	}
	t.slots, t.first = slots, 0
}

// next returns when the next parcel arrives, if there is one.
func (t *transit) next() (at time.Duration, ok bool) {
	if t.n == 0 {
		return 0, false
	}
	return t.slot(0).at, true
}

// due moves what has arrived at now to the end of into, as far as its capacity
// goes.
func (t *transit) due(now time.Duration, into []parcel) []parcel {
	for t.n > 0 && len(into) < cap(into) && t.slot(0).at <= now {
		into = append(into, *t.slot(0))
		*t.slot(0) = parcel{}
		t.first = (t.first + 1) & (len(t.slots) - 1)
		t.n--
	}
	return into
}

// A store is a number of buffers that go round. The one that came back last is
// used first: it is in the cache, and no more are made than were ever out at
// once.
type store struct {
	size  int // of each, bytes
	limit int // how many
	made  int
	free  [][]byte
}

// take returns a copy of what the parts hold together, which is not more than
// the size of a buffer, or nil if all buffers are out.
func (s *store) take(parts ...[]byte) []byte {
	var b []byte
	switch n := len(s.free); {
	case n > 0:
		b, s.free = s.free[n-1], s.free[:n-1]
	case s.made < s.limit:
		b = make([]byte, s.size)
		s.made++
	default:
		return nil
	}
	b = b[:0]
	for _, p := range parts {
		b = append(b, p...)
	}
	return b
}

// give brings a buffer back.
func (s *store) give(b []byte) { s.free = append(s.free, b) }
