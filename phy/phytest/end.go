package phytest

import (
	"errors"
	"sync/atomic"

	"github.com/stretchr/testify/require"

	"smolnet/phy"
)

// An end drives one device as a stack does.
type end struct {
	dev     phy.Device
	caps    phy.Capabilities
	rx, tx  uint32 // frames received and sent so far
	scratch []byte // room for the frame that should have come
	pattern []byte // see newPattern

	// On links with a window:
	window   int
	peer     *end
	received atomic.Uint32 // rx, for the peer
}

// ends returns the two ends of the link, which are one on a loopback.
func (l *link) ends() (x, y *end) {
	make := func(d phy.Device) *end {
		return &end{
			dev: d, caps: d.Capabilities(), window: l.s.Window,
			scratch: make([]byte, longest+phy.EthernetHeaderLen), pattern: newPattern(),
		}
	}
	x = make(l.a)
	x.peer = x
	if l.loop() {
		return x, x
	}
	y = make(l.b)
	x.peer, y.peer = y, x
	return x, y
}

// drain receives what has arrived, checks it, and returns how much it was.
func (e *end) drain() (int, error) {
	for n := 0; ; n++ {
		f, err := e.dev.Receive()
		if errors.Is(err, phy.ErrWouldBlock) {
			return n, nil
		}
		if err != nil {
			return n, err
		}
		if err := e.check(f.Data, e.rx); err != nil {
			return n, err
		}
		e.rx++
		e.received.Store(e.rx)
	}
}

// send commits frames until n are sent in all or the link takes no more.
func (e *end) send(n uint32) error {
	for e.tx < n {
		if e.window > 0 && e.tx-e.peer.received.Load() >= uint32(e.window) {
			break
		}
		b, err := e.dev.TxBuffer()
		if errors.Is(err, phy.ErrWouldBlock) {
			break
		}
		if err != nil {
			return err
		}
		if err := e.dev.Commit(e.fill(b, e.tx), phy.Offload{}); err != nil {
			return err
		}
		e.tx++
	}
	return e.dev.Flush()
}

// roomy says whether the device has room, and so does not hold a frame back
// that it will send when it is next called.
func (e *end) roomy() bool {
	_, err := e.dev.TxBuffer()
	return !errors.Is(err, phy.ErrWouldBlock)
}

// run goes on until n frames have been sent and n have been received.
func (e *end) run(n uint32) error {
	for {
		got, err := e.drain()
		if err != nil {
			return err
		}
		if got > 0 && e.window > 0 {
			e.peer.dev.Wake() // its window has opened
		}
		if err := e.send(n); err != nil {
			return err
		}
		if e.rx == n && e.tx == n && e.roomy() {
			return nil
		}
		if err := e.dev.Wait(-1); err != nil {
			return err
		}
	}
}

// next waits for the next frame and returns it unchecked.
func (e *end) next() (phy.Frame, error) {
	for {
		f, err := e.dev.Receive()
		if !errors.Is(err, phy.ErrWouldBlock) {
			return f, err
		}
		if err := e.dev.Wait(-1); err != nil {
			return phy.Frame{}, err
		}
	}
}

// both runs x and y, in a goroutine each, until each has sent and received n
// frames in all.
func (l *link) both(x, y *end, n uint32) {
	l.t.Helper()
	if l.loop() {
		require.NoError(l.t, x.run(n))
		return
	}
	done := make(chan error, 1)
	go func() { done <- y.run(n) }()
	err := x.run(n)
	require.NoError(l.t, <-done, "second device")
	require.NoError(l.t, err, "first device")
}

// one sends one frame from x and checks that it is the next to arrive at y.
func (l *link) one(x, y *end) {
	l.t.Helper()
	require.NoError(l.t, x.send(x.tx+1))
	f, err := y.next()
	require.NoError(l.t, err)
	require.NoError(l.t, y.check(f.Data, y.rx))
	require.NoError(l.t, y.took())
}

// took notes that the frame from next was the right one, and gives it back.
func (e *end) took() error {
	e.rx++
	e.received.Store(e.rx)
	return e.dev.Wait(0)
}
