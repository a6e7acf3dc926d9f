package phytest

import (
	"bytes"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/phy"
)

func testCapabilities(l *link) {
	for _, d := range []phy.Device{l.a, l.b} {
		c := d.Capabilities()
		require.Contains(l.t, []phy.Medium{phy.MediumEthernet, phy.MediumIP}, c.Medium)
		require.GreaterOrEqual(l.t, c.MTU, phy.MinMTU)
		require.LessOrEqual(l.t, c.MTU, phy.MaxMTU)
		require.GreaterOrEqual(l.t, c.MaxSuperFrame, 0)
		require.LessOrEqual(l.t, c.MaxSuperFrame, phy.MaxMTU)
		require.True(l.t, c.MaxSuperFrame == 0 || c.TxChecksum, "segmentation needs checksums")
		require.True(l.t, !c.UDPSegments || c.MaxSuperFrame > 0, "segments are cut of super-frames")
		l.one(l.ends())
		require.Equal(l.t, c, d.Capabilities(), "must not change")
	}
}

func testIdle(l *link) {
	for _, d := range []phy.Device{l.a, l.b} {
		for range 3 {
			_, err := d.Receive()
			require.ErrorIs(l.t, err, phy.ErrWouldBlock)
			require.NoError(l.t, d.Flush())
		}
	}
}

func testTxBuffer(l *link) {
	x, y := l.ends()
	b, err := x.dev.TxBuffer()
	require.NoError(l.t, err)
	require.GreaterOrEqual(l.t, len(b), x.caps.Medium.HeaderLen()+max(x.caps.MTU, x.caps.MaxSuperFrame))
	n := x.fill(b, 0)
	_, err = y.dev.Receive()
	require.ErrorIs(l.t, err, phy.ErrWouldBlock, "nothing was committed")
	require.NoError(l.t, x.dev.Wait(0))
	again, err := x.dev.TxBuffer()
	require.NoError(l.t, err)
	require.Same(l.t, &b[0], &again[0])
	require.Len(l.t, again, len(b))
	require.NoError(l.t, x.check(again[:n], 0), "what was written must stay")

	require.NoError(l.t, x.dev.Commit(n, phy.Offload{}))
	require.NoError(l.t, x.dev.Flush())
	f, err := y.next()
	require.NoError(l.t, err)
	require.NoError(l.t, y.check(f.Data, 0))
	require.Equal(l.t, phy.Offload{}, f.Offload)
	_, err = y.dev.Receive()
	require.ErrorIs(l.t, err, phy.ErrWouldBlock, "one frame was committed")
}

func testCommitRefused(l *link) {
	x, y := l.ends()
	c := x.caps
	head := c.Medium.HeaderLen()
	require.ErrorIs(l.t, x.dev.Commit(head+ipHeaderLen, phy.Offload{}), phy.ErrFrameLength, "no buffer was asked for")

	b, err := x.dev.TxBuffer()
	require.NoError(l.t, err)
	n := x.fill(b, 0)
	for _, bad := range []int{-1, 0, head - 1, head + c.MTU + 1, len(b) + 1, 1 << 30} {
		require.ErrorIs(l.t, x.dev.Commit(bad, phy.Offload{}), phy.ErrFrameLength, "length %d", bad)
	}
	refused := []phy.Offload{
		{NeedsChecksum: true, GSOType: 99, SegmentSize: 100},
		{NeedsChecksum: true, GSOType: phy.GSOTCPv4},                       // no segment size
		{GSOType: phy.GSOTCPv4, SegmentSize: 100},                          // no checksum
		{NeedsChecksum: true, ChecksumStart: uint16(n - 1)},                // beyond the frame
		{NeedsChecksum: true, ChecksumStart: 1, ChecksumOffset: 1<<16 - 1}, // the sum does not fit 16 bits
	}
	if !c.TxChecksum {
		refused = append(refused, phy.Offload{NeedsChecksum: true, ChecksumStart: uint16(head), ChecksumOffset: 6})
	}
	if c.MaxSuperFrame == 0 {
		for _, gso := range []phy.GSOType{phy.GSOTCPv4, phy.GSOTCPv6} {
			refused = append(refused, phy.Offload{NeedsChecksum: true, GSOType: gso, SegmentSize: 100})
		}
	}
	if !c.UDPSegments {
		refused = append(refused, phy.Offload{NeedsChecksum: true, GSOType: phy.GSOUDP, SegmentSize: 100})
	}
	for _, off := range refused {
		require.ErrorIs(l.t, x.dev.Commit(n, off), phy.ErrOffload, "%+v", off)
	}

	same, err := x.dev.TxBuffer()
	require.NoError(l.t, err)
	require.Same(l.t, &b[0], &same[0], "the buffer is still lent")
	require.NoError(l.t, x.dev.Commit(n, phy.Offload{}))
	require.ErrorIs(l.t, x.dev.Commit(n, phy.Offload{}), phy.ErrFrameLength, "the buffer was sent already")
	require.NoError(l.t, x.dev.Flush())
	f, err := y.next()
	require.NoError(l.t, err)
	require.NoError(l.t, y.check(f.Data, 0), "the first that may arrive")
	_, err = y.dev.Receive()
	require.ErrorIs(l.t, err, phy.ErrWouldBlock)
}

// testBorrowedFrame fills the link behind a frame that is being looked at.
func testBorrowedFrame(l *link) {
	x, y := l.ends()
	require.NoError(l.t, x.send(1))
	f, err := y.next()
	require.NoError(l.t, err)
	want := bytes.Clone(f.Data)
	require.NoError(l.t, x.send(fillLimit))
	require.Equal(l.t, want, f.Data, "changed before the next Receive")
	for i := range f.Data { // it may be changed in place
		f.Data[i] = 0xee
	}
	require.NoError(l.t, y.took())
	for y.rx < x.tx {
		_, err := y.drain()
		require.NoError(l.t, err)
		require.NoError(l.t, x.dev.Flush())
	}
}

func testOrder(l *link) {
	x, y := l.ends()
	l.both(x, y, uint32(l.s.Frames))
}

// testOrderUnderWakes sends while others call Wake as fast as they can.
func testOrderUnderWakes(l *link) {
	x, y := l.ends()
	var stop atomic.Bool
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for !stop.Load() {
				for range 50 {
					l.a.Wake()
					l.b.Wake()
				}
				runtime.Gosched()
			}
		})
	}
	l.both(x, y, uint32(l.s.Frames/4))
	stop.Store(true)
	wg.Wait()
	l.one(x, y)
}

// fillUp sends on x until nothing more fits.
func (l *link) fillUp(x *end) {
	l.t.Helper()
	require.NoError(l.t, x.send(fillLimit))
	require.Less(l.t, x.tx, uint32(fillLimit), "the link has no bound")
	require.Positive(l.t, x.tx)
	for range 3 {
		_, err := x.dev.TxBuffer()
		require.ErrorIs(l.t, err, phy.ErrWouldBlock)
		require.ErrorIs(l.t, x.dev.Commit(frameLen(&x.caps, 0), phy.Offload{}), phy.ErrFrameLength, "nothing is lent")
		require.NoError(l.t, x.dev.Flush())
		require.NoError(l.t, x.dev.Wait(0))
	}
}

// testFull has a sender wait for room, with no other reason to get up.
func testFull(l *link) {
	x, y := l.ends()
	l.fillUp(x)
	n := x.tx + uint32(l.s.Frames/4)
	if l.loop() {
		require.NoError(l.t, x.run(n))
		return
	}
	sent := make(chan error, 1)
	go func() {
		for x.tx < n || !x.roomy() {
			err := x.dev.Wait(-1)
			if err == nil {
				err = x.send(n)
			}
			if err != nil {
				sent <- err
				return
			}
		}
		sent <- nil
	}()
	for y.rx < n {
		_, err := y.drain()
		require.NoError(l.t, err)
		if y.rx < n {
			require.NoError(l.t, y.dev.Wait(-1))
		}
	}
	require.NoError(l.t, <-sent)
}

// testFullBothWays starts with both ends blocked.
func testFullBothWays(l *link) {
	x, y := l.ends()
	l.fillUp(x)
	if !l.loop() {
		l.fillUp(y)
	}
	l.both(x, y, max(x.tx, y.tx)+uint32(l.s.Frames/4))
}

// testAllocations runs everything that happens per frame and per turn.
func testAllocations(l *link) {
	x, y := l.ends()
	var failed error
	fail := func(err error) {
		if err != nil && failed == nil {
			failed = err
		}
	}
	turn := func() {
		for range 8 {
			fail(x.send(x.tx + 1))
			fail(y.dev.Wait(-1))
			f, err := y.next()
			fail(err)
			fail(y.check(f.Data, y.rx))
			fail(y.took())
		}
		x.dev.Wake()
		fail(x.dev.Wait(-1))
		fail(x.dev.Wait(0))
		fail(x.dev.Wait(time.Microsecond))
	}
	for range 64 {
		turn() // buffers are made, timers too
	}
	require.Zero(l.t, testing.AllocsPerRun(100, turn))
	require.NoError(l.t, failed)
}
