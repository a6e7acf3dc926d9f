package work

import (
	"context"
	"errors"
	"net"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/bench/env"
)

// A crooked host dials connections that are not quite what they should be.
type crooked struct {
	env.Env
	dialled *atomic.Int32
	wrap    func(n int, c net.Conn) net.Conn
}

func (h crooked) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	c, err := h.Env.Dial(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return h.wrap(int(h.dialled.Add(1)), c), nil
}

// measureCrooked runs a work over smolnet, with such connections.
func measureCrooked(t *testing.T, run func(context.Context, *env.Pair, Options) (Result, error), length time.Duration, wrap func(n int, c net.Conn) net.Conn) (Result, error) {
	row := Row{Name: "x", Link: env.Link{MTU: 1500}, Run: run}
	row.Make = func(name string, cfg env.Config) (*env.Pair, error) {
		p, err := env.Make(name, cfg)
		require.NoError(t, err)
		return env.NewPair(crooked{p.Client, new(atomic.Int32), wrap}, p.Server, p.Close), nil
	}
	return row.Measure(context.Background(), env.Smolnet, env.Config{}, Options{Time: length})
}

// A writer is a connection with a Write of its own.
type writer struct {
	net.Conn
	write func(c net.Conn, b []byte) (int, error)
}

func (w writer) Write(b []byte) (int, error) { return w.write(w.Conn, b) }

// TestFailedFlow: one of many connections that fails is not hidden by the others.
func TestFailedFlow(t *testing.T) {
	broken := errors.New("broken")
	left := atomic.Int32{}
	left.Store(5)
	_, err := measureCrooked(t, bulk(3), 10*time.Second, func(n int, c net.Conn) net.Conn {
		if n != 2 {
			return c
		}
		return writer{c, func(c net.Conn, b []byte) (int, error) {
			if left.Add(-1) < 0 {
				return 0, broken
			}
			return c.Write(b)
		}}
	})
	require.ErrorIs(t, err, broken)
}

// TestFailedReader: a connection that is reset where it is read is an error, too.
func TestFailedReader(t *testing.T) {
	left := atomic.Int32{}
	left.Store(5)
	_, err := measureCrooked(t, bulk(2), 10*time.Second, func(n int, c net.Conn) net.Conn {
		if n != 2 {
			return c
		}
		return writer{c, func(c net.Conn, b []byte) (int, error) {
			if left.Add(-1) < 0 {
				c.(interface{ SetLinger(int) error }).SetLinger(0)
				c.Close()
				return len(b), nil
			}
			return c.Write(b)
		}}
	})
	require.Error(t, err)
}

// TestLostBytes: what is written and not read is an error.
func TestLostBytes(t *testing.T) {
	writes := 0
	_, err := measureCrooked(t, bulk(1), 20*time.Millisecond, func(_ int, c net.Conn) net.Conn {
		return writer{c, func(c net.Conn, b []byte) (int, error) {
			if writes++; writes == 3 {
				return len(b), nil
			}
			return c.Write(b)
		}}
	})
	require.ErrorContains(t, err, "bytes were written")
}

// TestWarmUpWaits: what is slow to begin is not measured before it has begun.
func TestWarmUpWaits(t *testing.T) {
	const length, writes = 100 * time.Microsecond, 100 // which take longer
	patience, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for name, run := range map[string]func(context.Context, *env.Pair, Options) (Result, error){
		"bulk": bulk(2), "round trips": roundTrips(1, 2),
	} {
		late := make(chan struct{}) // until the other connection has done so many
		left := writes
		res, err := measureCrooked(t, run, length, func(n int, c net.Conn) net.Conn {
			return writer{c, func(c net.Conn, b []byte) (int, error) {
				if n == 2 {
					select {
					case <-late:
					case <-patience.Done():
						return 0, patience.Err()
					}
				} else if left--; left == 0 {
					close(late)
				}
				return c.Write(b)
			}}
		})
		require.NoError(t, err, name)
		require.LessOrEqual(t, left, 0, "%s ended before all had begun", name)
		require.Positive(t, res.Metrics[0].Value, name)
	}
}

// TestSomethingIsCounted: operations that take longer than the time have a figure.
func TestSomethingIsCounted(t *testing.T) {
	const each = 30 * time.Millisecond
	synctest.Test(t, func(t *testing.T) {
		tr, err := repeat(context.Background(), Options{Time: time.Millisecond}, 2, func(int) func() error {
			return func() error { time.Sleep(each); return nil }
		})
		require.NoError(t, err)
		require.Positive(t, tr.times.Count())
		require.InEpsilon(t, each, tr.times.Quantile(0), 0.01)
	})
}

// TestDatagramErrors: a side that fails, or another length, is an error.
func TestDatagramErrors(t *testing.T) {
	failing := errors.New("abc")
	good := func() (int, error) { runtime.Gosched(); return datagramCredit, nil }
	bad := func() (int, error) { return 0, failing }
	for _, sides := range [][2]func() (int, error){{good, bad}, {bad, good}} {
		in, err := net.ListenPacket("udp4", "127.0.0.1:0")
		require.NoError(t, err)
		closed := make(chan struct{})
		receive := func() (int, error) {
			select {
			case <-closed:
				return 0, net.ErrClosed
			default:
				return sides[1]()
			}
		}
		conn := closer{in, closed}
		var res Result
		err = newDatagramFlow().measure(context.Background(), Options{Time: 10 * time.Second}, conn, sides[0], receive, &res)
		require.ErrorIs(t, err, failing)
		require.Empty(t, res.Metrics)
	}
	require.NoError(t, whole(datagramSize, nil))
	require.Error(t, whole(datagramSize+1, nil))
	require.ErrorIs(t, whole(0, failing), failing)
}

// A closer tells when it is closed.
type closer struct {
	net.PacketConn
	closed chan struct{}
}

func (c closer) Close() error {
	close(c.closed)
	return c.PacketConn.Close()
}

func TestNotes(t *testing.T) {
	var r Result
	r.note("")
	require.Empty(t, r.Note)
	r.note("a")
	r.note("")
	r.note("b")
	require.Equal(t, "a; b", r.Note)
}
