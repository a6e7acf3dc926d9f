package conn_test

import (
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/conn"
)

// requireTimeout checks what crypto/tls and net/http look for, with the very
// assertions that they use.
func requireTimeout(t testing.TB, err error) {
	t.Helper()
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	ne, ok := err.(net.Error)
	require.True(t, ok, "%T is no net.Error", err)
	require.True(t, ne.Timeout())
	require.True(t, ne.(interface{ Temporary() bool }).Temporary(), "crypto/tls asks")
	require.IsType(t, &net.OpError{}, err)
}

func TestReadDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s, _ := established(t)
		b := make([]byte, 10)
		read := func() (time.Duration, error) {
			start := time.Now()
			_, err := c.Read(b)
			return time.Since(start), err
		}

		require.NoError(t, c.SetReadDeadline(time.Now().Add(time.Second)))
		took, err := read()
		requireTimeout(t, err)
		require.Equal(t, time.Second, took)
		took, err = read()
		requireTimeout(t, err)
		require.Zero(t, took, "it stays expired")

		_, err = s.Write([]byte("x"))
		require.NoError(t, err)
		synctest.Wait()
		_, err = read()
		requireTimeout(t, err) // the deadline comes before the data
		n, err := c.Read(nil)
		require.NoError(t, err) // the empty slice comes before the deadline
		require.Zero(t, n)

		require.NoError(t, c.SetReadDeadline(time.Time{}))
		_, err = read()
		require.NoError(t, err)

		// A deadline that is moved while Read waits.
		require.NoError(t, c.SetReadDeadline(time.Now().Add(time.Second)))
		time.AfterFunc(500*time.Millisecond, func() { c.SetReadDeadline(time.Now().Add(3 * time.Second)) })
		took, err = read()
		requireTimeout(t, err)
		require.Equal(t, 3500*time.Millisecond, took)

		// One in the past wakes Read at once.
		require.NoError(t, c.SetReadDeadline(time.Time{}))
		time.AfterFunc(time.Second, func() { c.SetReadDeadline(time.Unix(1, 0)) })
		took, err = read()
		requireTimeout(t, err)
		require.Equal(t, time.Second, took)

		// One that is taken back does not end anything.
		require.NoError(t, c.SetDeadline(time.Now().Add(time.Second)))
		time.AfterFunc(500*time.Millisecond, func() { c.SetDeadline(time.Time{}) })
		time.AfterFunc(5*time.Second, func() { s.Write([]byte("y")) })
		took, err = read()
		require.NoError(t, err)
		require.Equal(t, 5*time.Second, took.Truncate(time.Millisecond))
	})
}

func TestWriteDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s, _ := established(t, smallBuffers)
		require.NoError(t, c.SetWriteDeadline(time.Now().Add(time.Second)))
		start := time.Now()
		const size = 1 << 20
		n, err := c.Write(make([]byte, size))
		requireTimeout(t, err)
		require.Equal(t, time.Second, time.Since(start))
		require.Positive(t, n)
		require.Less(t, n, size)

		m, err := c.Write([]byte("x"))
		requireTimeout(t, err)
		require.Zero(t, m)
		_, err = c.Write(nil)
		requireTimeout(t, err) // as in package net, which asks the deadline first

		// Exactly what was counted arrives.
		require.NoError(t, c.SetWriteDeadline(time.Time{}))
		require.NoError(t, c.CloseWrite())
		got := 0
		b := make([]byte, 4096)
		for {
			m, err := s.Read(b)
			got += m
			if err != nil {
				break
			}
		}
		require.Equal(t, n, got)
	})
}

// TestDeadlineRace moves deadlines from several goroutines while others read:
// every Read ends, and none ends before a deadline that was never taken back.
func TestDeadlineRace(t *testing.T) {
	c, s, _ := established(t)
	const rounds = 2000
	moved := make(chan struct{})
	go func() {
		defer close(moved)
		for i := range rounds {
			switch i % 3 {
			case 0:
				c.SetReadDeadline(time.Now().Add(time.Duration(i%50) * time.Microsecond))
			case 1:
				c.SetReadDeadline(time.Time{})
			default:
				c.SetReadDeadline(time.Unix(1, 0))
			}
		}
		c.SetReadDeadline(time.Time{})
		s.Write([]byte("end"))
	}()
	b := make([]byte, 3)
	for {
		n, err := c.Read(b)
		if err == nil {
			require.Equal(t, "end", string(b[:n]))
			break
		}
		requireTimeout(t, err)
	}
	<-moved
}

func TestNoAllocations(t *testing.T) {
	c, s, _ := established(t)
	b := make([]byte, 100)
	step := func(name string, allowed float64, f func()) {
		f()
		require.LessOrEqual(t, testing.AllocsPerRun(200, f), allowed, name)
	}
	step("SetReadDeadline", 0, func() { c.SetReadDeadline(time.Now().Add(time.Hour)) })
	step("SetWriteDeadline", 0, func() { c.SetWriteDeadline(time.Now().Add(time.Hour)) })
	step("clear", 0, func() { c.SetDeadline(time.Time{}) })
	step("round trip", 0, func() {
		if _, err := c.Write(b); err != nil {
			t.Error(err)
		}
		readFull(t, s, b)
	})
	big := make([]byte, 128<<10)
	if raceEnabled {
		return // sync.Pool forgets on purpose, so that pages are made anew
	}
	step("128 KiB", 1, func() { // the collector may take a page from the pool
		go c.Write(big)
		readFull(t, s, big)
	})
}

func readFull(t testing.TB, c *conn.TCP, b []byte) {
	for n := 0; n < len(b); {
		m, err := c.Read(b[n:])
		if err != nil {
			t.Error(err)
			return
		}
		n += m
	}
}
