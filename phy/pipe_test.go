package phy_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/phy"
	"smolnet/phy/phytest"
)

// pipe opens a pipe that must open.
func pipe(t testing.TB, cfg phy.PipeConfig) (a, b phy.Device) {
	t.Helper()
	a, b, err := phy.Pipe(cfg)
	require.NoError(t, err)
	t.Cleanup(func() {
		a.Close()
		b.Close()
	})
	return a, b
}

// put sends one frame that starts with the given number.
func put(t testing.TB, d phy.Device, n int, seq uint32) {
	t.Helper()
	b, err := d.TxBuffer()
	require.NoError(t, err)
	binary.BigEndian.PutUint32(b, seq)
	require.NoError(t, d.Commit(n, phy.Offload{}))
	require.NoError(t, d.Flush())
}

var pipes = map[string]phy.PipeConfig{
	"zero":     {},
	"ip":       {Medium: phy.MediumIP, MTU: 1400},
	"smallest": {Medium: phy.MediumIP, MTU: phy.MinMTU},
	"largest":  {MTU: phy.MaxMTU, Queue: 8},
	"queue 1":  {Queue: 1},
	"queue 2":  {Queue: 2},
	"queue 3":  {Queue: 3, Medium: phy.MediumIP},
	"offloads": {MaxSuperFrame: 65535, TxChecksum: true, RxChecksum: true, Queue: 16},
}

func TestPipe(t *testing.T) {
	for name, cfg := range pipes {
		open := func(t *testing.T) (a, b phy.Device) { return pipe(t, cfg) }
		frames := 20000
		if cfg.Queue == 0 || cfg.MTU > 9000 { // little to see but copies
			frames = 4000
		}
		t.Run(name, phytest.Suite{Open: open, Frames: often(frames)}.Run)
		t.Run(name+" in virtual time", phytest.Suite{Open: open, Frames: often(frames), Virtual: true}.Run)
	}
}

// TestPipeAsItIs runs the suite as the authors of other devices would.
func TestPipeAsItIs(t *testing.T) {
	phytest.TestDevice(t, func(t *testing.T) (a, b phy.Device) { return pipe(t, phy.PipeConfig{}) })
}

func TestLoopback(t *testing.T) {
	for _, mtu := range []int{0, 1500, phy.MinMTU} {
		open := func(*testing.T) (a, b phy.Device) {
			d := phy.Loopback(mtu)
			return d, d
		}
		t.Run(fmt.Sprint(mtu), phytest.Suite{Open: open, Frames: often(4000)}.Run)
		t.Run(fmt.Sprint(mtu, " in virtual time"), phytest.Suite{Open: open, Frames: often(4000), Virtual: true}.Run)
	}
}

func TestLoopbackCapabilities(t *testing.T) {
	for mtu, want := range map[int]int{-1: 68, 0: 65535, 67: 68, 1500: 1500, 65536: 65535} {
		c := phy.Loopback(mtu).Capabilities()
		require.Equal(t, phy.Capabilities{Medium: phy.MediumIP, MTU: want, Loopback: true, TxChecksum: true, RxChecksum: true}, c)
	}
}

// TestLoopbackMemory: a loopback takes frames until it is full, and what they
// are in stays within its bound.
func TestLoopbackMemory(t *testing.T) {
	for mtu, frames := range map[int]int{65535: 32, 9000: 233, 1500: phy.DefaultPipeQueue} {
		d := phy.Loopback(mtu)
		n, memory := 0, 0
		for {
			b, err := d.TxBuffer()
			if err != nil {
				require.ErrorIs(t, err, phy.ErrWouldBlock)
				break
			}
			memory += cap(b)
			require.NoError(t, d.Commit(mtu, phy.Offload{}))
			n++
		}
		require.Equal(t, frames, n, "MTU %d", mtu)
		require.LessOrEqual(t, memory, phy.MaxLoopbackMemory, "MTU %d", mtu)
		require.NoError(t, d.Close())
	}
}

// TestPipeMemory: a queue that nobody asked for is no longer than its bound in
// bytes allows, and a shorter backlog takes less: the buffers go round.
func TestPipeMemory(t *testing.T) {
	for _, test := range []struct {
		cfg    phy.PipeConfig
		frames int
	}{
		{phy.PipeConfig{}, phy.DefaultPipeQueue},
		{phy.PipeConfig{MTU: 9000}, phy.DefaultPipeQueue},
		{phy.PipeConfig{MTU: 65535}, phy.MaxPipeMemory / 65549},
		{phy.PipeConfig{TxChecksum: true, MaxSuperFrame: 65535}, phy.MaxPipeMemory / 65549},
		{phy.PipeConfig{TxChecksum: true, MaxSuperFrame: 65535, Queue: 100}, 100},
	} {
		a, b := pipe(t, test.cfg)
		n := 0
		for ; ; n++ {
			if _, err := a.TxBuffer(); err != nil {
				require.ErrorIs(t, err, phy.ErrWouldBlock)
				break
			}
			require.NoError(t, a.Commit(60, phy.Offload{}))
		}
		require.Equal(t, test.frames, n, "%+v", test.cfg)
		// One frame under way at a time needs one buffer and the one that the
		// receiver still holds.
		used := map[*byte]bool{}
		for i := range 100 {
			room, err := b.TxBuffer()
			require.NoError(t, err)
			used[&room[0]] = true
			put(t, b, 60, uint32(i))
			for {
				if _, err := a.Receive(); err != nil {
					break
				}
			}
		}
		require.LessOrEqual(t, len(used), 2)
	}
}

func TestPipeConfigRanges(t *testing.T) {
	for _, bad := range []phy.PipeConfig{
		{MTU: 67}, {MTU: 65536}, {MTU: -1},
		{Queue: -1}, {Queue: phy.MaxPipeQueue + 1},
		{TxChecksum: true, MaxSuperFrame: 65536}, {TxChecksum: true, MaxSuperFrame: -1},
		{MaxSuperFrame: 9000},
		{Medium: 7},
	} {
		_, _, err := phy.Pipe(bad)
		require.Error(t, err, "%+v", bad)
	}
	a, _ := pipe(t, phy.PipeConfig{})
	require.Equal(t, phy.Capabilities{MTU: 1500}, a.Capabilities())
	a, _ = pipe(t, phy.PipeConfig{Medium: phy.MediumIP, MTU: 68, TxChecksum: true, RxChecksum: true, MaxSuperFrame: 4000})
	require.Equal(t, phy.Capabilities{
		Medium: phy.MediumIP, MTU: 68, TxChecksum: true, RxChecksum: true, MaxSuperFrame: 4000, UDPSegments: true,
	}, a.Capabilities())
}

// TestPipeQueueIsExact: as many frames as configured, counting the one that
// the receiver looks at.
func TestPipeQueueIsExact(t *testing.T) {
	for _, queue := range []int{1, 2, 3, 100, 256} {
		a, b := pipe(t, phy.PipeConfig{Queue: queue})
		for i := range queue {
			put(t, a, 60, uint32(i))
		}
		_, err := a.TxBuffer()
		require.ErrorIs(t, err, phy.ErrWouldBlock)
		f, err := b.Receive()
		require.NoError(t, err)
		require.Zero(t, binary.BigEndian.Uint32(f.Data))
		_, err = a.TxBuffer()
		require.ErrorIs(t, err, phy.ErrWouldBlock, "the frame is still lent")
		_, _ = b.Receive()
		require.NoError(t, b.Wait(0)) // the latest at which a sees that
		put(t, a, 60, uint32(queue))
	}
}

// TestPipeOffloads: what the sender left out is told to the receiver.
func TestPipeOffloads(t *testing.T) {
	a, b := pipe(t, phy.PipeConfig{MTU: 1000, TxChecksum: true, MaxSuperFrame: 20000})
	for _, gso := range []phy.GSOType{phy.GSOTCPv4, phy.GSOTCPv6, phy.GSOUDP} {
		room, err := a.TxBuffer()
		require.NoError(t, err)
		require.Len(t, room, 20014)
		want := phy.Offload{
			NeedsChecksum: true, GSOType: gso, HeaderLen: 54, SegmentSize: 946,
			ChecksumStart: 34, ChecksumOffset: 16,
		}
		marked := want
		marked.ChecksumValid = true // not for a sender to say
		require.NoError(t, a.Commit(20014, marked))
		require.NoError(t, a.Flush())
		f, err := b.Receive()
		require.NoError(t, err)
		require.Len(t, f.Data, 20014)
		require.Equal(t, want, f.Offload)
	}

	_, err := a.TxBuffer()
	require.NoError(t, err)
	require.ErrorIs(t, a.Commit(1015, phy.Offload{}), phy.ErrFrameLength)
	require.ErrorIs(t, a.Commit(1015, phy.Offload{NeedsChecksum: true, ChecksumStart: 34, ChecksumOffset: 6}), phy.ErrFrameLength)
	require.NoError(t, a.Commit(1014, phy.Offload{NeedsChecksum: true, ChecksumStart: 34, ChecksumOffset: 6}))
}

// TestPipePeerCloses: a cable whose other end is gone. What was under way
// arrives, then it is over.
func TestPipePeerCloses(t *testing.T) {
	a, b := pipe(t, phy.PipeConfig{})
	for i := range 3 {
		put(t, a, 60, uint32(i))
	}
	require.NoError(t, a.Close())
	put(t, b, 60, 0) // goes nowhere
	for i := range 3 {
		require.NoError(t, b.Wait(-1))
		f, err := b.Receive()
		require.NoError(t, err)
		require.Equal(t, uint32(i), binary.BigEndian.Uint32(f.Data))
	}
	for range 2 {
		require.ErrorIs(t, b.Wait(-1), phy.ErrClosed)
		_, err := b.Receive()
		require.ErrorIs(t, err, phy.ErrClosed)
		_, err = b.TxBuffer()
		require.ErrorIs(t, err, phy.ErrClosed)
		require.ErrorIs(t, b.Commit(60, phy.Offload{}), phy.ErrClosed)
		require.ErrorIs(t, b.Flush(), phy.ErrClosed)
	}
	require.NoError(t, b.Close())
}

// TestPipePeerClosesDuringWait, both with an empty and with a full queue.
func TestPipePeerClosesDuringWait(t *testing.T) {
	for _, full := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			a, b := pipe(t, phy.PipeConfig{Queue: 2})
			if full {
				put(t, b, 60, 0)
				put(t, b, 60, 0)
				_, err := b.TxBuffer()
				require.ErrorIs(t, err, phy.ErrWouldBlock)
			}
			ended := make(chan error)
			go func() { ended <- b.Wait(-1) }()
			synctest.Wait()
			require.NoError(t, a.Close())
			require.ErrorIs(t, <-ended, phy.ErrClosed)
		})
	}
}

// TestPipeSleepsExactly: in virtual time, Wait with nothing to do lasts as
// long as it was told.
func TestPipeSleepsExactly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pipe(t, phy.PipeConfig{})
		for _, d := range []time.Duration{1, time.Millisecond, time.Hour, 1000 * time.Hour} {
			start := time.Now()
			require.NoError(t, a.Wait(d))
			require.Equal(t, d, time.Since(start))
		}
		go func() {
			time.Sleep(3 * time.Second)
			a.Wake()
			time.Sleep(4 * time.Second)
			put(t, b, 60, 0)
		}()
		start := time.Now()
		require.NoError(t, a.Wait(time.Hour))
		require.Equal(t, 3*time.Second, time.Since(start))
		require.NoError(t, a.Wait(-1))
		require.Equal(t, 7*time.Second, time.Since(start))
		_, err := a.Receive()
		require.NoError(t, err)
	})
}

// TestPipeFlushWakes: a sleeping receiver gets up at Flush, at the sender's
// Wait, when many frames have gathered or no more fit, and not before.
func TestPipeFlushWakes(t *testing.T) {
	commit := func(a phy.Device, n int) {
		for range n {
			a.TxBuffer()
			a.Commit(60, phy.Offload{})
		}
	}
	for name, test := range map[string]struct {
		queue int
		push  func(a phy.Device)
	}{
		"flush": {0, func(a phy.Device) { a.Flush() }},
		"wait":  {0, func(a phy.Device) { a.Wait(0) }},
		"many":  {0, func(a phy.Device) { commit(a, 31) }},
		"full":  {10, func(a phy.Device) { commit(a, 10) }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, b := pipe(t, phy.PipeConfig{Queue: test.queue})
				up := false
				done := make(chan error)
				go func() {
					err := b.Wait(-1)
					up = true
					done <- err
				}()
				synctest.Wait()
				commit(a, 1)
				synctest.Wait()
				require.False(t, up)
				test.push(a)
				require.NoError(t, <-done)
			})
		})
	}
}

// TestPipeRoomWakesOnce: room that came back ends one Wait, not every one.
func TestPipeRoomWakesOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pipe(t, phy.PipeConfig{Queue: 1})
		put(t, a, 60, 0)
		_, err := a.TxBuffer()
		require.ErrorIs(t, err, phy.ErrWouldBlock)
		_, err = b.Receive()
		require.NoError(t, err)
		require.NoError(t, b.Wait(0)) // the frame is given back
		start := time.Now()
		require.NoError(t, a.Wait(time.Hour))
		require.Zero(t, time.Since(start))
		require.NoError(t, a.Wait(time.Hour))
		require.Equal(t, time.Hour, time.Since(start))
	})
}

// pingPong passes frames in both directions between two goroutines, which
// sleep whenever they can do nothing else.
func pingPong(t testing.TB, cfg phy.PipeConfig, frames uint32) {
	a, b := pipe(t, cfg)
	drive := func(d phy.Device) error {
		for rx, tx := uint32(0), uint32(0); rx < frames || tx < frames; {
			for {
				f, err := d.Receive()
				if errors.Is(err, phy.ErrWouldBlock) {
					break
				}
				if err != nil {
					return err
				}
				if got := binary.BigEndian.Uint32(f.Data); got != rx {
					return fmt.Errorf("frame %d is number %d", rx, got)
				}
				rx++
			}
			for tx < frames {
				room, err := d.TxBuffer()
				if errors.Is(err, phy.ErrWouldBlock) {
					break
				}
				if err != nil {
					return err
				}
				binary.BigEndian.PutUint32(room, tx)
				if err := d.Commit(60, phy.Offload{}); err != nil {
					return err
				}
				tx++
			}
			if err := d.Flush(); err != nil {
				return err
			}
			if rx < frames || tx < frames {
				if err := d.Wait(-1); err != nil {
					return err
				}
			}
		}
		return nil
	}
	done := make(chan error)
	go func() { done <- drive(b) }()
	require.NoError(t, drive(a))
	require.NoError(t, <-done)
}

// TestPipeLosesNoWakeup: with queues this small both sides sleep all the time,
// for frames and for room at once; with those of more than eight a Wait looks
// again before. A lost notification hangs.
func TestPipeLosesNoWakeup(t *testing.T) {
	for _, queue := range []int{1, 2, 3, 4, 17} {
		frames := often(300_000)
		if testing.Short() {
			frames /= 10
		}
		pingPong(t, phy.PipeConfig{Queue: queue, MTU: 68}, uint32(frames))
	}
}

func BenchmarkPipe(b *testing.B) {
	for _, size := range []int{60, 1500} {
		b.Run(fmt.Sprintf("one goroutine/%d", size), func(b *testing.B) {
			x, y := pipe(b, phy.PipeConfig{Medium: phy.MediumIP})
			payload := make([]byte, size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				room, _ := x.TxBuffer()
				copy(room, payload)
				_ = x.Commit(size, phy.Offload{})
				_ = x.Flush()
				if f, err := y.Receive(); err != nil || len(f.Data) != size {
					b.Fatal(len(f.Data), err)
				}
			}
		})
		b.Run(fmt.Sprintf("two goroutines/%d", size), func(b *testing.B) {
			x, y := pipe(b, phy.PipeConfig{Medium: phy.MediumIP})
			payload := make([]byte, size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			n := b.N
			done := make(chan error)
			go func() {
				for rx := 0; rx < n; {
					if _, err := y.Receive(); err == nil {
						rx++
					} else if err := y.Wait(-1); err != nil {
						done <- err
						return
					}
				}
				done <- nil
			}()
			for tx := 0; tx < n; {
				room, err := x.TxBuffer()
				if err != nil {
					if err := x.Wait(-1); err != nil {
						b.Fatal(err)
					}
					continue
				}
				copy(room, payload)
				_ = x.Commit(size, phy.Offload{})
				tx++
			}
			_ = x.Flush()
			if err := <-done; err != nil {
				b.Fatal(err)
			}
		})
	}
	b.Run("round trip", func(b *testing.B) {
		x, y := pipe(b, phy.PipeConfig{Medium: phy.MediumIP})
		echo := func(d phy.Device) error {
			for {
				if _, err := d.Receive(); err == nil {
					_, _ = d.TxBuffer()
					_ = d.Commit(60, phy.Offload{})
					return d.Flush()
				}
				if err := d.Wait(-1); err != nil {
					return err
				}
			}
		}
		done := make(chan error, 1)
		go func() {
			for {
				if err := echo(y); err != nil {
					done <- err
					return
				}
			}
		}()
		put(b, x, 60, 0)
		for b.Loop() {
			if err := echo(x); err != nil {
				b.Fatal(err)
			}
		}
		x.Close()
		<-done
	})
	b.Run("wake while awake", func(b *testing.B) {
		x, _ := pipe(b, phy.PipeConfig{})
		for b.Loop() {
			x.Wake()
		}
	})
}
