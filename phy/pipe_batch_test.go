package phy

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// pipeEnds opens a pipe for IP packets that must open.
func pipeEnds(t testing.TB, cfg PipeConfig) (a, b *pipeEnd) {
	t.Helper()
	cfg.Medium = MediumIP
	x, y, err := Pipe(cfg)
	require.NoError(t, err)
	t.Cleanup(func() {
		x.Close()
		y.Close()
	})
	return x.(*pipeEnd), y.(*pipeEnd)
}

// commit sends k frames of n bytes without a flush.
func (e *pipeEnd) commit(t testing.TB, k, n int) {
	t.Helper()
	for range k {
		_, err := e.TxBuffer()
		require.NoError(t, err)
		require.NoError(t, e.Commit(n, Offload{}))
	}
}

// visible takes what can be received without a Wait, limit frames at most, and
// returns how many there were.
func (e *pipeEnd) visible(t testing.TB, limit int) (k int) {
	t.Helper()
	for ; k < limit; k++ {
		if _, err := e.Receive(); err != nil {
			require.ErrorIs(t, err, ErrWouldBlock)
			break
		}
	}
	return k
}

// roomLeft sends until there is no more room, and returns how many frames that
// were.
func (e *pipeEnd) roomLeft(t testing.TB) (k int) {
	t.Helper()
	for ; ; k++ {
		if _, err := e.TxBuffer(); err != nil {
			require.ErrorIs(t, err, ErrWouldBlock)
			return k
		}
		require.NoError(t, e.Commit(20, Offload{}))
	}
}

var pipeQueues = []int{1, 2, 3, 7, 8, 16, 31, 32, 33, 100, 256}

// TestPipePublishes: what was committed is seen a few frames later, and all of it
// after each of the calls that promise it. That this is a step at most and
// nothing ever stays behind is asked for every number of frames.
func TestPipePublishes(t *testing.T) {
	ways := map[string]func(*pipeEnd) error{
		"flush": (*pipeEnd).Flush,
		"wait":  func(e *pipeEnd) error { return e.Wait(0) },
		"no room": func(e *pipeEnd) error {
			if _, err := e.TxBuffer(); err != ErrWouldBlock {
				return fmt.Errorf("there was room, or another error: %v", err)
			}
			return nil
		},
	}
	for _, queue := range pipeQueues {
		for name, publish := range ways {
			for k := 1; k <= min(queue, 70); k++ {
				if name == "no room" {
					k = queue
				}
				a, b := pipeEnds(t, PipeConfig{Queue: queue, MTU: 68})
				a.commit(t, k, 20)
				seen := 0
				if k < queue { // else it is not given back, or there is room
					seen = b.visible(t, k)
				}
				require.True(t, k == queue || k-seen < a.tx.step, "queue %d: %d of %d frames", queue, seen, k)
				require.NoError(t, publish(a))
				require.Equal(t, k-seen, b.visible(t, queue), "queue %d, %s: %d frames", queue, name, k)
				require.Zero(t, a.txBytes)
			}
		}
	}
}

// TestPipePublishesBytes: long frames do not gather.
func TestPipePublishesBytes(t *testing.T) {
	a, b := pipeEnds(t, PipeConfig{Queue: 256, MTU: MaxMTU})
	a.commit(t, 1, pipePublishBytes-1)
	require.Zero(t, b.visible(t, 9))
	a.commit(t, 1, 1)
	require.Equal(t, 2, b.visible(t, 2))
	a.commit(t, 1, pipePublishBytes-1)
	require.Zero(t, b.visible(t, 9), "it was counted from the last time")
	require.NoError(t, a.Flush())
	a.commit(t, 1, 1)
	require.Equal(t, 1, b.visible(t, 9), "by Flush, too")

	// The same for buffers that come back: both long ones at once.
	a, b = pipeEnds(t, PipeConfig{Queue: 32, MTU: MaxMTU})
	a.commit(t, 31, pipePublishBytes/2)
	require.Equal(t, 1, a.roomLeft(t))
	require.Equal(t, 2, b.visible(t, 2))
	require.Zero(t, a.roomLeft(t), "one was released")
	require.Equal(t, 1, b.visible(t, 1))
	require.Equal(t, 2, a.roomLeft(t))
}

// TestPipeGivesBack: buffers that the receiver is through with are seen a few
// frames later, and all after a Receive that finds nothing, or a Wait.
func TestPipeGivesBack(t *testing.T) {
	for _, queue := range pipeQueues {
		for k := 1; k <= queue; k++ {
			a, b := pipeEnds(t, PipeConfig{Queue: queue, MTU: 68})
			require.Equal(t, queue, a.roomLeft(t))
			require.Equal(t, k, b.visible(t, k)) // the last is still lent
			back := a.roomLeft(t)
			require.Less(t, k-1-back, a.tx.step, "queue %d: of %d buffers", queue, k)
			require.NoError(t, b.Wait(0))
			require.Equal(t, k-back, a.roomLeft(t), "queue %d, wait: %d buffers", queue, k)
			require.Equal(t, queue, b.visible(t, queue+1))
			require.Equal(t, queue, a.roomLeft(t), "queue %d, nothing to receive", queue)
			require.Zero(t, b.rxBytes)
		}
	}
}

// TestPipeStarvedSender sleeps until half of the queue has gone, and no longer,
// also if the receiver never waits.
func TestPipeStarvedSender(t *testing.T) {
	for _, queue := range pipeQueues {
		synctest.Test(t, func(t *testing.T) {
			a, b := pipeEnds(t, PipeConfig{Queue: queue, MTU: 68})
			require.Equal(t, queue, a.roomLeft(t))
			a.frames, a.bytes = 0, 0 // looks would find room sooner
			up := make(chan error, 1)
			go func() { up <- a.Wait(-1) }()
			synctest.Wait()
			for left := queue; left > 0; left-- {
				require.Equal(t, 1, b.visible(t, 1))
				synctest.Wait()
				if left > queue/2+1 {
					require.Empty(t, up, "queue %d: up with %d left", queue, left)
				}
				if left < queue/2-b.rx.step {
					require.Len(t, up, 1, "queue %d: asleep with %d left", queue, left)
				}
			}
			_, err := b.Receive()
			require.ErrorIs(t, err, ErrWouldBlock)
			synctest.Wait()
			require.Len(t, up, 1, "queue %d: asleep with all received", queue)
			require.NoError(t, <-up)
			require.Equal(t, queue, a.roomLeft(t))
		})
	}
}

// TestPipeCloseAndBatches: what was flushed before a Close arrives, what was not
// is gone with its sender, and that it ends is said once all has been received.
func TestPipeCloseAndBatches(t *testing.T) {
	a, b := pipeEnds(t, PipeConfig{})
	a.commit(t, 5, 20)
	require.NoError(t, a.Flush())
	a.commit(t, 3, 20)
	require.NoError(t, a.Close())
	require.NoError(t, b.Wait(-1))
	for range 5 {
		_, err := b.Receive()
		require.NoError(t, err)
	}
	_, err := b.Receive()
	require.ErrorIs(t, err, ErrClosed)
	require.ErrorIs(t, b.Wait(-1), ErrClosed)
}

// TestPipeLooks: a Wait looks again only after traffic, so often and not oftener,
// and then sleeps as long as it was told.
func TestPipeLooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pipeEnds(t, PipeConfig{})
		sleeps := func(e *pipeEnd) {
			t.Helper()
			start := time.Now()
			require.NoError(t, e.Wait(time.Hour))
			require.Equal(t, time.Hour, time.Since(start))
			require.Zero(t, e.looks)
			require.Zero(t, e.frames+e.bytes)
		}
		for range 3 {
			a.commit(t, pipeBusyFrames-1, 20)
			require.NoError(t, a.Flush())
			require.True(t, b.look(0), "there are frames")
			require.Zero(t, b.looks)
			sleeps(a)

			a.commit(t, 1, 20)
			require.NoError(t, a.Flush())
			require.Equal(t, pipeBusyFrames, b.visible(t, 99))
			require.False(t, b.woken.Load())
			require.NoError(t, b.Wait(0))
			require.Equal(t, pipeBusyFrames, b.frames, "not a Wait that looks")
			b.Wake()
			require.NoError(t, b.Wait(-1))
			require.Equal(t, pipeLooks, b.looks, "they are left, as there was something")
			sleeps(b)
			sleeps(b)

			a.commit(t, 1, 1500) // few bytes, and many
			sleeps(a)
			for range pipeBusyBytes / 1000 {
				a.commit(t, 1, 1500)
			}
			a.Wake()
			require.NoError(t, a.Wait(-1))
			require.Equal(t, pipeLooks, a.looks)
			sleeps(a)
			require.Equal(t, 1+pipeBusyBytes/1000, b.visible(t, 99))
			b.Wake()
			require.NoError(t, b.Wait(-1))
			sleeps(b)
		}
	})
}

// TestPipeLooksAmongOthers: a Wait does not go on looking if every look lets
// another goroutine run for a while: its own time would pass unseen.
func TestPipeLooksAmongOthers(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	a, b := pipeEnds(t, PipeConfig{})
	var turns atomic.Int32
	var stop atomic.Bool
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		for !stop.Load() {
			for start := time.Now(); time.Since(start) < 2*pipeLookTime; {
			}
			turns.Add(1)
			runtime.Gosched()
		}
	}()
	a.commit(t, pipeBusyFrames, 20)
	require.NoError(t, a.Flush())
	require.Equal(t, pipeBusyFrames, b.visible(t, 99))
	require.False(t, b.look(-1))
	require.Less(t, int(turns.Load()), pipeLooks/8)
	require.Zero(t, b.looks, "nor does the next one")
	stop.Store(true)
	<-stopped
}
