package tcp_test

import (
	"bytes"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/clock"
	"smolnet/netstack/stream"
	"smolnet/netstack/tcp"
	"smolnet/netstack/wire"
)

// What a Conn shares with other goroutines, In, Out and WindowUpdateDue, is
// used by a writer and a reader while the owner serves both ends. The race
// detector is the judge, and the bytes.
func TestSharedWithUsers(t *testing.T) {
	const size = 2 << 20
	cfg := tcp.Config{RecvBuffer: 64 << 10, SendBuffer: 64 << 10}
	id := newHarness(t).id
	pool := stream.NewPool(0)
	var a, b tcp.Conn
	a.Init(id, &cfg, pool)
	b.Init(tcp.ID{Local: id.Remote, Remote: id.Local}, &cfg, pool)
	want := []byte(pattern(size))
	var got []byte
	var done atomic.Bool
	go func() {
		for rest := want; len(rest) > 0; {
			n := a.Out.Write(rest[:min(len(rest), 3000)])
			rest = rest[n:]
			if n == 0 {
				runtime.Gosched()
			}
		}
	}()
	finished := make(chan struct{})
	go func() {
		buf := make([]byte, 5000)
		for len(got) < size {
			n := b.In.Read(buf)
			got = append(got, buf[:n]...)
			b.WindowUpdateDue()
			if n == 0 {
				runtime.Gosched()
			}
		}
		done.Store(true)
		close(finished)
	}()
	now := clock.Time(epoch)
	a.Connect(now, 1, ethMTU)
	buf := make([]byte, ethMTU)
	var h TCP
	move := func(from, to *tcp.Conn) {
		for {
			w, ok := from.Send(now, buf)
			if !ok {
				return
			}
			payload, err := wire.ParseTCP(buf[:w.Len], &h)
			require.NoError(t, err)
			if to.State() == tcp.StateClosed && h.Flags == SYN {
				to.Accept(now, 2, ethMTU, &h)
				continue
			}
			to.Receive(now, &h, payload)
		}
	}
	for !done.Load() {
		move(&a, &b)
		move(&b, &a)
		now = now.Add(10 * time.Microsecond)
		runtime.Gosched()
	}
	<-finished
	require.True(t, bytes.Equal(want, got))
	require.Zero(t, a.Info().Timeouts)
}
