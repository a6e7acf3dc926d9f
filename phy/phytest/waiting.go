package phytest

import (
	"math"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/phy"
)

func testWaitDurations(l *link) {
	for _, d := range []phy.Device{l.a, l.b} {
		start := time.Now()
		for range 1000 {
			require.NoError(l.t, d.Wait(0))
		}
		require.Less(l.t, time.Since(start), time.Second, "Wait(0) sleeps")

		for _, pause := range []time.Duration{time.Nanosecond, time.Microsecond, 5 * time.Millisecond, 40 * time.Millisecond} {
			waits := 0
			for start, left := time.Now(), pause; left > 0; left = pause - time.Since(start) {
				require.NoError(l.t, d.Wait(left)) // never a negative one, which has no end
				waits++
			}
			require.LessOrEqual(l.t, waits, 100, "Wait does not sleep")
		}
		for _, long := range []time.Duration{-1, math.MinInt64, time.Hour, math.MaxInt64} {
			d.Wake()
			require.NoError(l.t, d.Wait(long))
		}
	}
}

// testWaitForFrame has frames arrive before and during a Wait.
func testWaitForFrame(l *link) {
	x, y := l.ends()
	for range 3 {
		require.NoError(l.t, x.send(x.tx+1))
		for range 3 { // as often as one likes while it is there
			require.NoError(l.t, y.dev.Wait(-1))
		}
		f, err := y.next()
		require.NoError(l.t, err)
		require.NoError(l.t, y.check(f.Data, y.rx), "must survive Wait")
		require.NoError(l.t, y.took())
	}
	if l.loop() {
		return
	}
	l.atAnyMoment(func(i uint32) error { return x.send(i + 1 + 3) }, func() error {
		f, err := y.next()
		if err != nil {
			return err
		}
		if err := y.check(f.Data, y.rx); err != nil {
			return err
		}
		return y.took()
	})
}

func testWakeBefore(l *link) {
	for _, d := range []phy.Device{l.a, l.b} {
		for range 100 {
			for range 5 { // however many
				d.Wake()
			}
			require.NoError(l.t, d.Wait(-1))
		}
	}
	l.one(l.ends())
}

// testWakeDuring has each Wake come at some moment before, during or after the
// owner's decision to sleep.
func testWakeDuring(l *link) {
	for _, d := range []phy.Device{l.a, l.b} {
		var ball atomic.Uint32
		seen := uint32(0)
		call := func(i uint32) error {
			ball.Store(i + 1)
			d.Wake()
			return nil
		}
		l.atAnyMoment(call, func() error {
			for ball.Load() == seen {
				if err := d.Wait(-1); err != nil {
					return err
				}
			}
			seen++
			return nil
		})
	}
}

// atAnyMoment calls act many times and has answer, on another goroutine, wait
// for the effect of each. The time between an answer and the next act goes
// from nothing to what it takes to fall asleep.
func (l *link) atAnyMoment(act func(i uint32) error, answer func() error) {
	l.t.Helper()
	rounds := uint32(l.s.Frames / 4)
	var answered atomic.Uint32
	errs := make(chan error, 1)
	go func() {
		for answered.Load() < rounds {
			if err := answer(); err != nil {
				answered.Store(rounds)
				errs <- err
				return
			}
			answered.Add(1)
		}
		errs <- nil
	}()
	for i := range rounds {
		for spins := 1; answered.Load() < i; spins++ {
			if spins%100 == 0 {
				runtime.Gosched()
			}
		}
		for range mix(i) % (1 << (i % 11)) { // short ones more often
			answered.Load()
		}
		require.NoError(l.t, act(i))
	}
	require.NoError(l.t, <-errs)
}

func testCloseDuringWait(l *link) {
	waiting := make(chan error)
	go func() {
		for {
			if err := l.a.Wait(-1); err != nil {
				waiting <- err
				return
			}
			waiting <- nil
		}
	}()
	l.a.Wake()
	require.NoError(l.t, <-waiting)
	l.settle() // in Wait again
	require.NoError(l.t, l.a.Close())
	for err := range waiting {
		if err != nil {
			require.ErrorIs(l.t, err, phy.ErrClosed)
			break
		}
	}
}

func testAfterClose(l *link) {
	x, _ := l.ends()
	b, err := l.a.TxBuffer()
	require.NoError(l.t, err)
	n := x.fill(b, 0)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() { l.a.Close() })
	}
	wg.Wait()
	require.NoError(l.t, l.a.Close(), "once more")
	for range 2 {
		_, err = l.a.Receive()
		require.ErrorIs(l.t, err, phy.ErrClosed)
		_, err = l.a.TxBuffer()
		require.ErrorIs(l.t, err, phy.ErrClosed)
		require.ErrorIs(l.t, l.a.Commit(n, phy.Offload{}), phy.ErrClosed)
		require.ErrorIs(l.t, l.a.Flush(), phy.ErrClosed)
		require.ErrorIs(l.t, l.a.Wait(0), phy.ErrClosed)
		require.ErrorIs(l.t, l.a.Wait(time.Hour), phy.ErrClosed)
		require.ErrorIs(l.t, l.a.Wait(-1), phy.ErrClosed)
		l.a.Wake()
	}
	require.Equal(l.t, l.caps, l.a.Capabilities())
}
