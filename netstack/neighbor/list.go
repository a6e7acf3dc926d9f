package neighbor

// rank orders entries by their use to us. A full table gives up the first
// entry of the lowest rank that is not empty.
type rank uint8

const (
	rankFailed     rank = iota // did not answer
	rankUnused                 // learned from a packet of theirs, never looked up
	rankIncomplete             // being resolved
	rankStale                  // was used
	rankActive                 // in use
	numRanks
	rankNone = numRanks // permanent entries are in no list
)

// What an entry's links are for.
const (
	linkRank   = iota // one of the ranks
	linkHolder        // those that have packets waiting
	numLinks
)

type link[W any] struct {
	prev, next *entry[W]
}

// A list is a queue of entries linked through links[which].
type list[W any] struct {
	which       int
	first, last *entry[W]
}

func (l *list[W]) push(e *entry[W]) {
	e.links[l.which] = link[W]{prev: l.last}
	if l.last != nil {
		l.last.links[l.which].next = e
	} else {
		l.first = e
	}
	l.last = e
}

func (l *list[W]) remove(e *entry[W]) {
	k := e.links[l.which]
	if k.prev != nil {
		k.prev.links[l.which].next = k.next
	} else {
		l.first = k.next
	}
	if k.next != nil {
		k.next.links[l.which].prev = k.prev
	} else {
		l.last = k.prev
	}
	e.links[l.which] = link[W]{}
}
