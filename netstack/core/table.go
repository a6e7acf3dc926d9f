package core

import (
	"iter"
	"math/bits"

	"smolnet/netstack/siphash"
)

// A table finds sockets or records by their 4-tuple. It is a hash table by
// linear hashing: it grows and shrinks by one bucket at a time, so that no
// insertion has to move more than a few entries however many there are, and its
// memory follows their number. The hash is keyed: peers choose their addresses
// and ports, but cannot know which of them meet in a bucket.
//
// The entries are chained in what they belong to, see chain.
type table[T tabled[T]] struct {
	key  siphash.Key
	segs []*[segBuckets]T // of buckets; all of it that is needed now
	size uint32           // buckets in use; zero only before the first entry
	mask uint32           // size, rounded up to a power of two, less one
	n    int
}

// A chain is an entry's place in a table; embed it in the entry.
type chain[T any] struct {
	next T // in the same bucket
	hash uint32
}

// tabled is what entries of a table are: pointers with a chain and a name.
type tabled[T any] interface {
	comparable
	chained() *chain[T]
	named(k connKey) bool
}

const (
	// segBuckets is the number of buckets that are allocated at once.
	segBuckets = 256
	// bucketsPerEntry bounds how long the search is: with two, one of four or
	// five entries has another one before it.
	bucketsPerEntry = 2
	// shrinkShare is the part of the buckets, one in so many, that are in use
	// before the table shrinks.
	shrinkShare = 4 * bucketsPerEntry
)

func (t *table[T]) init(key siphash.Key) { t.key = key }

// len returns the number of entries.
func (t *table[T]) len() int { return t.n }

// bucket returns bucket number i, which is below size.
func (t *table[T]) bucket(i uint32) *T { return &t.segs[i/segBuckets][i%segBuckets] }

// home returns the number of the bucket for a hash.
func (t *table[T]) home(hash uint32) uint32 {
	i := hash & t.mask
	if i >= t.size {
		i &= t.mask >> 1
	}
	return i
}

// find returns the entry with name k, or nil.
func (t *table[T]) find(k *connKey) T {
	var none T
	if t.n == 0 {
		return none
	}
	hash := t.hashOf(k)
	for e := *t.bucket(t.home(hash)); e != none; {
		c := e.chained()
		if c.hash == hash && e.named(*k) {
			return e
		}
		e = c.next
	}
	return none
}

// add puts in e, whose name is k and not in the table.
func (t *table[T]) add(k *connKey, e T) {
	c := e.chained()
	c.hash = t.hashOf(k)
	if t.size == 0 {
		t.segs = append(t.segs, new([segBuckets]T))
		t.size, t.mask = segBuckets, segBuckets-1
	}
	t.push(c.hash, e)
	t.n++
	for range bucketsPerEntry {
		if uint64(t.size) < uint64(t.n)*bucketsPerEntry {
			t.grow()
		}
	}
}

// push puts e first in its bucket.
func (t *table[T]) push(hash uint32, e T) {
	b := t.bucket(t.home(hash))
	e.chained().next = *b
	*b = e
}

// remove takes e out, which is in the table.
func (t *table[T]) remove(e T) {
	var none T
	c := e.chained()
	at := t.bucket(t.home(c.hash))
	for *at != e {
		at = &(*at).chained().next
	}
	*at = c.next
	c.next = none
	t.n--
	for range shrinkShare {
		if t.size > segBuckets && uint64(t.size) > uint64(t.n)*shrinkShare {
			t.shrink()
		}
	}
}

// grow adds a bucket, and moves there what belongs there: all of it is in one
// other bucket.
func (t *table[T]) grow() {
	if t.size == 1<<31 {
		return
	}
	if t.size%segBuckets == 0 && int(t.size/segBuckets) == len(t.segs) {
		t.segs = append(t.segs, new([segBuckets]T))
	}
	if t.size > t.mask {
		t.mask = t.mask<<1 | 1
	}
	from := t.bucket(t.size & (t.mask >> 1))
	t.size++
	t.rehash(from)
}

// shrink takes the last bucket away, and moves what is in it.
func (t *table[T]) shrink() {
	t.size--
	last := t.bucket(t.size)
	t.mask = 1<<bits.Len32(t.size-1) - 1
	t.rehash(last)
	// One segment stays in reserve, for a table that grows again at once.
	if used := int(t.size+segBuckets-1) / segBuckets; len(t.segs) > used+1 {
		t.segs[len(t.segs)-1] = nil
		t.segs = t.segs[:len(t.segs)-1]
	}
}

// rehash puts the entries of a bucket where they belong now.
func (t *table[T]) rehash(b *T) {
	var none T
	e := *b
	*b = none
	for e != none {
		c := e.chained()
		next := c.next
		t.push(c.hash, e)
		e = next
	}
}

// all returns the entries in no particular order. The one that was yielded may
// be removed meanwhile if the iteration ends with it.
func (t *table[T]) all() iter.Seq[T] {
	return func(yield func(T) bool) {
		var none T
		for i := range t.size {
			for e := *t.bucket(i); e != none; e = e.chained().next {
				if !yield(e) {
					return
				}
			}
		}
	}
}

// hashOf returns the hash of a 4-tuple.
func (t *table[T]) hashOf(k *connKey) uint32 {
	return uint32(siphash.Table(&t.key, &k.local, &k.remote, k.localPort, k.remotePort))
}
