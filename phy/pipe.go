package phy

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"time"
)

// Bounds of memory devices.
const (
	// DefaultPipeQueue is the Queue of a [PipeConfig] that names none.
	DefaultPipeQueue = 256
	// MaxPipeQueue is the largest Queue of a [PipeConfig].
	MaxPipeQueue = 1 << 16

	// MaxPipeMemory is how many bytes of buffers each direction of a [Pipe] has
	// at most whose [PipeConfig] names no Queue.
	MaxPipeMemory = 4 << 20

	// MaxLoopbackMemory is how many bytes of buffers a [Loopback] has at most.
	MaxLoopbackMemory = 2 << 20

	// pipeSignalEvery is how many frames an end commits before it gets a
	// sleeping peer up, unless Flush comes first.
	pipeSignalEvery = 32

	// pipePublishEvery is how many frames an end commits or gives back before the
	// peer sees that: each time, lines of memory move from core to core. It is
	// sooner after pipePublishBytes, which should not leave the nearest cache, and
	// in short queues, which move in pipeQueueSteps. Whatever the number, the peer
	// sees what was committed when the end flushes, waits or finds no room, and
	// what was given back when it waits or finds no frame.
	pipePublishEvery = 16
	pipePublishBytes = 32 << 10
	pipeQueueSteps   = 8
)

// Before it sleeps a Wait looks a few times more, if what was moved since the last
// one that looked lets expect that more is about to come: to get a sleeping thread
// up takes the processor some 50 us, in which the link would stand still. After
// less it sleeps at once, as what a lone request waits for is another goroutine,
// which then runs where this one ran. Looks that were not needed are left for the
// Waits that follow, until there was as much again.
//
// A count bounds them, for clocks that stand still while anybody runs, and a time,
// for processors on which others run between one look and the next: those would
// keep a Wait from seeing that its time has passed.
const (
	pipeLooks      = 256
	pipeLookTime   = 100 * time.Microsecond
	pipeBusyFrames = 8
	pipeBusyBytes  = 4 << 10
)

// A PipeConfig says what a [Pipe] is like. The zero value is an Ethernet cable
// with an MTU of 1500 bytes.
type PipeConfig struct {
	Medium Medium
	// MTU is the largest IP packet, bytes, from [MinMTU] to [MaxMTU]. Zero
	// means 1500.
	MTU int
	// Queue is how many frames fit in each direction, including the one that
	// is being written and the one being read. Zero means [DefaultPipeQueue], or
	// what of them has room in [MaxPipeMemory] if each is as long as it may be;
	// [MaxPipeQueue] is the most. Buffers are made as they are needed, so the
	// memory used is that of the longest backlog there was, and the one last used
	// is the first to be used again.
	Queue int
	// MaxSuperFrame is the largest super-frame, bytes, up to 65535; zero means
	// none. A super-frame, of TCP or UDP, travels whole: nobody needs to cut it.
	// It needs TxChecksum.
	MaxSuperFrame int
	// TxChecksum lets senders leave transport checksums out; the receiver is
	// told by the frame's Offload.
	TxChecksum bool
	// RxChecksum tells the receivers that the link does not corrupt frames.
	RxChecksum bool
}

// Pipe returns the two ends of a link in memory: frames sent on one arrive at
// the other, complete and in order. A full link holds its sender back.
//
// When one end is closed, the other receives what was flushed before, and
// after that gets ErrClosed from every method; what it sends meanwhile goes
// nowhere.
//
// The error says which value of cfg is out of its range.
func Pipe(cfg PipeConfig) (a, b Device, err error) {
	mtu, err := checkMTU(cfg.MTU)
	if err != nil {
		return nil, nil, fmt.Errorf("phy: pipe: %w", err)
	}
	caps := Capabilities{
		Medium:        cfg.Medium,
		MTU:           mtu,
		MaxSuperFrame: cfg.MaxSuperFrame,
		UDPSegments:   cfg.MaxSuperFrame > 0,
		TxChecksum:    cfg.TxChecksum,
		RxChecksum:    cfg.RxChecksum,
	}
	queue := cfg.Queue
	if queue == 0 {
		queue = min(DefaultPipeQueue, MaxPipeMemory/caps.txRoom())
	}
	switch {
	case cfg.Medium != MediumEthernet && cfg.Medium != MediumIP:
		return nil, nil, fmt.Errorf("phy: pipe of unknown medium %d", cfg.Medium)
	case queue < 1 || queue > MaxPipeQueue:
		return nil, nil, fmt.Errorf("phy: pipe queue %d is not between 1 and %d", queue, MaxPipeQueue)
	case cfg.MaxSuperFrame < 0 || cfg.MaxSuperFrame > MaxMTU:
		return nil, nil, fmt.Errorf("phy: super-frame limit %d is not between 0 and %d", cfg.MaxSuperFrame, MaxMTU)
	case cfg.MaxSuperFrame > 0 && !cfg.TxChecksum:
		return nil, nil, fmt.Errorf("phy: super-frames need TxChecksum")
	}
	there, back := newLine(queue), newLine(queue)
	x := &pipeEnd{caps: caps, tx: there, rx: back, sleeper: newSleeper()}
	y := &pipeEnd{caps: caps, tx: back, rx: there, sleeper: newSleeper(), peer: x}
	x.peer = y
	return x, y, nil
}

// Loopback returns a device on which everything that is sent comes back: up to
// [DefaultPipeQueue] IP packets of at most mtu bytes, zero meaning 65535, or
// what of them has room in [MaxLoopbackMemory] if each is as long as it may be.
// An mtu out of the range of [Capabilities] is moved to its nearest end.
// Checksums may be left out, as nothing can happen to a packet.
func Loopback(mtu int) Device {
	if mtu == 0 {
		mtu = MaxMTU
	}
	caps := Capabilities{
		Medium:     MediumIP,
		MTU:        min(max(mtu, MinMTU), MaxMTU),
		TxChecksum: true,
		RxChecksum: true,
		Loopback:   true,
	}
	l := newLine(min(DefaultPipeQueue, MaxLoopbackMemory/caps.txRoom()))
	e := &pipeEnd{
		caps:    caps,
		tx:      l,
		rx:      l,
		sleeper: newSleeper(),
	}
	e.peer = e
	return e
}

// A line is one direction of a pipe. Buffers go round: the sender fills one,
// the queue takes it to the receiver, and free brings it back.
type line struct {
	queue ring[parcel]
	free  ring[uint32]
	bufs  [][]byte // made by the sender before their number first travels
	step  int      // frames that are published together

	starved atomic.Bool // the sender sleeps until buffers come back
	_       [cacheLine]byte

	// The sender's own.
	stock []uint32 // free buffers, the one last used on top: it is in the cache
	made  int      // of bufs
}

// A parcel is a frame under way: the first n bytes of buffer number buf.
type parcel struct {
	buf, n uint32
	off    Offload
}

func newLine(queue int) *line {
	return &line{
		queue: newRing[parcel](queue),
		free:  newRing[uint32](queue),
		bufs:  make([][]byte, queue),
		step:  min(max(queue/pipeQueueSteps, 1), pipePublishEvery),
		stock: make([]uint32, 0, queue),
	}
}

// hasRoom says whether take would find a buffer.
func (l *line) hasRoom() bool {
	return len(l.stock) > 0 || l.made < len(l.bufs) || !l.free.empty()
}

// take finds a free buffer of the given size for the sender.
func (l *line) take(size int) (i uint32, ok bool) {
	for {
		i, back := l.free.pop()
		if !back {
			break
		}
		l.stock = append(l.stock, i)
	}
	if n := len(l.stock); n > 0 {
		i, l.stock = l.stock[n-1], l.stock[:n-1]
		if n > 1 {
			prefetchWrite(&l.bufs[l.stock[n-2]][0])
		}
		return i, true
	}
	if l.made == len(l.bufs) {
		return 0, false
	}
	l.bufs[l.made] = make([]byte, size)
	l.made++
	return uint32(l.made - 1), true
}

// A pipeEnd is one end of a pipe, or the whole of a loopback, whose peer it is
// itself.
type pipeEnd struct {
	caps Capabilities
	tx   *line
	rx   *line
	peer *pipeEnd
	sleeper
	closed atomic.Bool
	_      [cacheLine]byte // the peer looks at what is above for every frame

	// The owner's own.
	room     []byte // lent by TxBuffer, nil if none
	roomBuf  uint32 // its number
	held     uint32 // number of the buffer lent by Receive
	heldLen  int    // bytes of the frame in it
	holding  bool   // there is one
	full     bool   // TxBuffer said so
	gone     bool   // the peer is, and everything it sent was received
	unsignal int    // frames committed since the peer was last notified
	txBytes  int    // committed and not published
	rxBytes  int    // released and not published
	frames   int    // moved since the last Wait that looked, both ways
	bytes    int    // of those
	looks    int    // left before Waits sleep
}

func (e *pipeEnd) Capabilities() Capabilities { return e.caps }

func (e *pipeEnd) Receive() (Frame, error) {
	if e.closed.Load() {
		return Frame{}, ErrClosed
	}
	e.release()
	last := e.peer.closed.Load() // looked at first: nothing follows it
	p, ok := e.rx.queue.pop()
	if !ok {
		e.giveBack()
		if last {
			e.gone = true
			return Frame{}, ErrClosed
		}
		return Frame{}, ErrWouldBlock
	}
	if next := e.rx.queue.next(); next != nil {
		prefetchRead(&e.rx.bufs[next.buf][0])
	}
	e.held, e.heldLen, e.holding = p.buf, int(p.n), true
	e.frames++
	e.bytes += int(p.n)
	return Frame{Data: e.rx.bufs[p.buf][:p.n:p.n], Offload: p.off}, nil
}

// release gives the buffer that Receive lent back to the sender, who sees that
// after the next giveBack.
func (e *pipeEnd) release() {
	if !e.holding {
		return
	}
	e.holding = false
	e.rx.free.push(e.held)
	e.rxBytes += e.heldLen
	if e.rx.free.unpublished() >= e.rx.step || e.rxBytes >= pipePublishBytes {
		e.giveBack()
	}
}

// giveBack shows the sender the buffers that were released. One that sleeps for
// room is got up when half the queue has gone, not for every frame. This end
// neither runs out of frames nor goes to sleep without having come by here.
func (e *pipeEnd) giveBack() {
	e.rxBytes = 0
	e.rx.free.publish()
	if e.rx.starved.Load() && e.rx.queue.len() <= len(e.rx.bufs)/2 {
		e.rx.starved.Store(false)
		e.peer.notify()
	}
}

func (e *pipeEnd) TxBuffer() ([]byte, error) {
	if e.closed.Load() || e.gone {
		return nil, ErrClosed
	}
	if e.room != nil {
		return e.room, nil
	}
	i, ok := e.tx.take(e.caps.txRoom())
	e.full = !ok
	if !ok {
		e.signal()
		return nil, ErrWouldBlock
	}
	e.roomBuf, e.room = i, e.tx.bufs[i]
	return e.room, nil
}

func (e *pipeEnd) Commit(n int, off Offload) error {
	if e.closed.Load() || e.gone {
		return ErrClosed
	}
	if err := e.caps.checkCommit(e.room, n, &off); err != nil {
		return err
	}
	off.ChecksumValid = false // not the sender's to say
	e.room = nil
	e.tx.queue.push(parcel{buf: e.roomBuf, n: uint32(n), off: off})
	e.txBytes += n
	e.frames++
	e.bytes += n
	switch e.unsignal++; {
	case e.unsignal == pipeSignalEvery:
		e.signal()
	case e.tx.queue.unpublished() >= e.tx.step, e.txBytes >= pipePublishBytes:
		e.publish()
	}
	return nil
}

func (e *pipeEnd) Flush() error {
	if e.closed.Load() || e.gone {
		return ErrClosed
	}
	e.signal()
	return nil
}

// publish shows the peer what was committed.
func (e *pipeEnd) publish() {
	e.txBytes = 0
	e.tx.queue.publish()
}

// signal gets the peer up if there is news for it.
func (e *pipeEnd) signal() {
	if e.unsignal > 0 {
		e.unsignal = 0
		e.publish()
		e.peer.notify()
	}
}

func (e *pipeEnd) Wait(d time.Duration) error {
	e.release()
	e.giveBack()
	e.signal()
	if d == 0 || e.look(d) {
		e.rise()
		return e.state()
	}
	e.announce()
	if e.full {
		// Asked only now: an answer to an older question, which may be on its
		// way, finds the sleep announced and so is never in vain.
		e.tx.starved.Store(true)
	}
	if e.ready() {
		e.rise()
	} else {
		e.park(d)
	}
	return e.state()
}

// look says whether a Wait of d need not sleep, if it has to after looking again
// and again.
func (e *pipeEnd) look(d time.Duration) bool {
	if e.frames >= pipeBusyFrames || e.bytes >= pipeBusyBytes {
		e.looks = pipeLooks
	}
	e.frames, e.bytes = 0, 0
	if e.woken.Load() || e.ready() {
		return true
	}
	if e.looks == 0 {
		return false
	}
	limit := pipeLookTime
	if d > 0 {
		limit = min(limit, d)
	}
	for start := time.Now(); e.looks > 0 && time.Since(start) < limit; {
		e.looks--
		runtime.Gosched()
		if e.woken.Load() || e.ready() {
			return true
		}
	}
	e.looks = 0 // what was expected has not come
	return false
}

// ready says whether there is something that Wait would wait for.
func (e *pipeEnd) ready() bool {
	if e.closed.Load() || e.peer.closed.Load() || !e.rx.queue.empty() {
		return true
	}
	return e.full && e.tx.hasRoom()
}

// state returns what Wait has to say. It takes note of room that has come
// back, so that this is said once.
func (e *pipeEnd) state() error {
	if e.full && e.tx.hasRoom() {
		e.full = false
	}
	// The peer's flag first: nothing follows it.
	if e.closed.Load() || (e.peer.closed.Load() && e.rx.queue.empty()) {
		return ErrClosed
	}
	return nil
}

func (e *pipeEnd) Wake() { e.wake() }

func (e *pipeEnd) Close() error {
	e.closed.Store(true)
	e.notify()
	e.peer.notify()
	return nil
}
