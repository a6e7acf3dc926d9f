package link

import "sync"

// maxInbox is how many packets may have arrived at a device or bridge without
// having been taken by its owner. More are lost, as with a network card whose
// driver does not come.
const maxInbox = 4096

// An inbox is where packets wait that have arrived, until their owner comes.
type inbox struct {
	mu      sync.Mutex
	queue   transit
	store   store
	lent    []byte // by take
	overrun uint64
	batch   [1]parcel
}

func newInbox(mtu int) inbox {
	return inbox{store: store{size: mtu, limit: maxInbox}}
}

// put adds a copy of pkt.
func (b *inbox) put(pkt []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	own := b.store.take(pkt)
	if own == nil {
		b.overrun++
		return
	}
	b.queue.add(parcel{pkt: own})
}

// take returns the oldest packet, or nil. It is the caller's until it comes
// back.
func (b *inbox) take() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.giveBack()
	got := b.queue.due(0, b.batch[:0])
	if len(got) == 0 {
		return nil
	}
	b.lent, b.batch[0].pkt = got[0].pkt, nil
	return b.lent
}

// release is a take that takes nothing.
func (b *inbox) release() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.giveBack()
}

func (b *inbox) giveBack() {
	if b.lent != nil {
		b.store.give(b.lent)
		b.lent = nil
	}
}

func (b *inbox) empty() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.queue.n == 0
}

// lost returns how many packets found no room.
func (b *inbox) lost() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.overrun
}
