package phy

import (
	"sync"
	"sync/atomic"
)

// Bounds of what waits for one device of a [Fanout]. What exceeds them is lost
// and counted, as in a network card whose ring is full: one slow stack must not
// hold up the others.
const (
	maxHandoverFrames = 4096
	maxHandoverBytes  = 4 << 20
)

// A handover is a queue of copied frames with many producers and one consumer.
// The frames lie one behind the other in one buffer, each in one piece, and
// start from its beginning whenever the queue is empty: what is in use is in the
// cache, and the rest of the buffer was never touched. It is made when first
// needed.
type handover struct {
	waiting atomic.Int32 // frames that were not popped: looked at without the lock
	lent    bool         // the consumer's: the frame at head is in its hands

	mu      sync.Mutex // guards what follows
	buf     []byte
	frames  []handed // a ring
	head, n int      // the frames in use, the one that is lent included
	end     int      // of the frame last pushed, in buf
	closed  bool
	counts  FanoutStats
}

// A handed frame lies at buf[at:at+size].
type handed struct {
	at, size int
	off      Offload
}

// push appends a copy of a frame. It reports false, and counts, if there is no
// room.
func (h *handover) push(f *Frame) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	at, ok := h.room(len(f.Data))
	if !ok {
		h.counts.Dropped++
		return false
	}
	copy(h.buf[at:], f.Data)
	h.frames[(h.head+h.n)%maxHandoverFrames] = handed{at, len(f.Data), f.Offload}
	h.n++
	h.end = at + len(f.Data)
	h.counts.HandedOver++
	h.waiting.Add(1)
	return true
}

// room finds a place for size bytes: behind the last frame or, if the buffer
// ends before that, at its beginning.
func (h *handover) room(size int) (at int, ok bool) {
	if h.closed || h.n == maxHandoverFrames {
		return 0, false
	}
	if h.buf == nil {
		h.buf = make([]byte, maxHandoverBytes)
		h.frames = make([]handed, maxHandoverFrames)
	}
	if h.n == 0 {
		return 0, size <= len(h.buf)
	}
	oldest := h.frames[h.head].at
	switch {
	case h.end <= oldest: // the newest are before the oldest already
		return h.end, size <= oldest-h.end
	case size <= len(h.buf)-h.end:
		return h.end, true
	}
	return 0, size <= oldest
}

// empty reports whether there is nothing to pop.
func (h *handover) empty() bool { return h.waiting.Load() == 0 }

// pop lends the oldest frame until the next pop or release: the consumer's.
func (h *handover) pop() (f Frame, ok bool) {
	if h.empty() {
		return f, false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.giveBack()
	if h.closed {
		return f, false
	}
	p := &h.frames[h.head]
	h.lent = true
	h.waiting.Add(-1)
	return Frame{Data: h.buf[p.at : p.at+p.size : p.at+p.size], Offload: p.off}, true
}

// release ends the loan: the consumer's.
func (h *handover) release() {
	if !h.lent {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.giveBack()
}

func (h *handover) giveBack() {
	if h.lent {
		h.lent = false
		h.head = (h.head + 1) % maxHandoverFrames
		h.n--
	}
}

// close refuses what is pushed from now on, and forgets the rest. A frame that
// is lent stays good.
func (h *handover) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	h.buf, h.frames = nil, nil
	h.waiting.Store(0)
}

func (h *handover) stats() FanoutStats {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.counts
}
