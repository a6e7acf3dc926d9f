package link

import (
	"encoding/binary"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func newLink(t testing.TB, there, back Config) *Link {
	t.Helper()
	l, err := New(there, back)
	require.NoError(t, err)
	t.Cleanup(l.Close)
	return l
}

// TestLink sends both ways at once, and looks at what arrives and when.
func TestLink(t *testing.T) {
	const n = 1000
	const delay = 3 * ms
	cfg := Config{Delay: delay, Rate: 1e9, Queue: n}
	l := newLink(t, cfg, cfg)
	epoch := time.Now() // later than the link's own, so that nothing looks early
	var arrived sync.WaitGroup
	for _, e := range []*End{l.A(), l.B()} {
		arrived.Add(n)
		want := uint64(0)
		e.Receive(func(pkt []byte) {
			if want++; want > n {
				t.Errorf("packet %d", want)
				return
			}
			defer arrived.Done()
			if got := binary.BigEndian.Uint64(pkt); got != want || len(pkt) != 16+int(want) {
				t.Errorf("packet %d of %d bytes in the place of %d", got, len(pkt), want)
			}
			sent := time.Duration(binary.BigEndian.Uint64(pkt[8:]))
			took := time.Since(epoch) - sent
			if least := delay + time.Duration(len(pkt)*8); took < least {
				t.Errorf("packet %d took %v, which is less than %v", want, took, least)
			}
		})
	}
	for i := uint64(1); i <= n; i++ {
		var head [16]byte
		binary.BigEndian.PutUint64(head[:], i)
		binary.BigEndian.PutUint64(head[8:], uint64(time.Since(epoch)))
		require.True(t, l.A().Send(head[:8], head[8:], make([]byte, i)))
		require.True(t, l.B().Send(head[:], make([]byte, i)))
	}
	arrived.Wait()
	l.Close()
	there, back := l.Stats()
	for _, s := range []Stats{there, back} {
		t.Logf("lateness %+v", s.Lateness)
		require.Positive(t, s.Lateness.Mean)
		s.Lateness = Lateness{}
		require.Equal(t, Stats{Sent: n, Delivered: n}, s)
	}
}

// TestLinkDrops counts what never arrives. A packet takes most of a second, so
// none leaves while the test runs.
func TestLinkDrops(t *testing.T) {
	slow := Config{Rate: 1000, Queue: 3, MTU: 100}
	l := newLink(t, slow, Config{Loss: 1})
	require.Equal(t, 100, l.A().MTU())
	require.Equal(t, DefaultMTU, l.B().MTU())
	for i := range 5 {
		require.Equal(t, i < 3, l.A().Send(make([]byte, 100)), "packet %d", i)
	}
	require.False(t, l.A().Send(make([]byte, 60), make([]byte, 41)))
	require.True(t, l.B().Send(make([]byte, 1500)), "what is lost later was taken")
	there, back := l.Stats()
	require.Equal(t, Stats{Sent: 6, UnderWay: 3, QueueFull: 2, TooLong: 1}, there)
	require.Equal(t, Stats{Sent: 1, Lost: 1}, back)
}

func TestLinkInterrupt(t *testing.T) {
	l := newLink(t, Config{}, Config{})
	require.NoError(t, l.Interrupt(0, time.Hour))
	require.True(t, l.A().Send(make([]byte, 10)))
	require.True(t, l.B().Send(make([]byte, 10)))
	require.Error(t, l.Interrupt(0, time.Hour))
	there, back := l.Stats()
	require.Equal(t, Stats{Sent: 1, InOutage: 1}, there)
	require.Equal(t, Stats{Sent: 1, InOutage: 1}, back)
}

// TestLinkMemory: what nobody receives has a bound.
func TestLinkMemory(t *testing.T) {
	l := newLink(t, Config{MTU: MaxMTU}, Config{})
	for range MaxMemory / MaxMTU {
		require.True(t, l.A().Send(make([]byte, 1)))
	}
	require.False(t, l.A().Send(make([]byte, 1)))
	there, _ := l.Stats()
	require.Equal(t, uint64(1), there.Overflow)
}

// TestLinkReordered: one that overtakes does not wait for the one before it.
func TestLinkReordered(t *testing.T) {
	l := newLink(t, Config{Jitter: 20 * ms, Reorder: true, Seed: 3}, Config{})
	const n = 100
	var got []byte
	all := make(chan struct{})
	l.B().Receive(func(pkt []byte) {
		if got = append(got, pkt[0]); len(got) == n {
			close(all)
		}
	})
	for i := range byte(n) {
		l.A().Send([]byte{i})
	}
	<-all
	require.NotEqual(t, sequence(n), got)
	require.ElementsMatch(t, sequence(n), got)
}

func sequence(n int) (b []byte) {
	for i := range n {
		b = append(b, byte(i))
	}
	return b
}

func TestLinkBeforeReceive(t *testing.T) {
	l := newLink(t, Config{}, Config{})
	require.True(t, l.A().Send([]byte("early")))
	got := make(chan string, 1)
	l.B().Receive(func(pkt []byte) { got <- string(pkt) })
	require.Equal(t, "early", <-got)
	require.True(t, l.A().Send([]byte("late")))
	require.Equal(t, "late", <-got)
}

func TestLinkClose(t *testing.T) {
	l := newLink(t, Config{Delay: time.Minute}, Config{})
	for _, e := range []*End{l.A(), l.B()} {
		e.Receive(func([]byte) { t.Error("received") })
	}
	require.True(t, l.A().Send([]byte("x")))
	l.Close()
	l.Close()
	require.False(t, l.A().Send([]byte("x")))
	there, _ := l.Stats()
	require.Equal(t, Stats{Sent: 1, UnderWay: 1}, there)
}

// TestLinkManySenders: ends may be shared, and counts add up.
func TestLinkManySenders(t *testing.T) {
	l := newLink(t, Config{Rate: 10e9, Queue: 20, Loss: 0.1}, Config{})
	received := uint64(0)
	l.B().Receive(func([]byte) { received++ })
	var senders sync.WaitGroup
	for range 4 {
		senders.Go(func() {
			for range 5000 {
				l.A().Send(make([]byte, 500))
			}
		})
	}
	senders.Wait()
	l.Close()
	s, _ := l.Stats()
	require.Equal(t, uint64(20_000), s.Sent)
	require.Equal(t, received, s.Delivered)
	require.Equal(t, s.Sent, s.Delivered+s.QueueFull+s.Lost+s.UnderWay)
}

func TestLinkAllocations(t *testing.T) {
	l := newLink(t, Config{Rate: 10e9, Delay: 50 * us}, Config{})
	got := make(chan struct{}, 64)
	l.B().Receive(func([]byte) { got <- struct{}{} })
	pkt := make([]byte, 1500)
	round := func() {
		for range cap(got) {
			l.A().Send(pkt[:40], pkt[40:])
		}
		for range cap(got) {
			<-got
		}
	}
	round()
	require.Zero(t, testing.AllocsPerRun(50, round))
}

// BenchmarkLink is what a packet costs, at a rate that keeps 100 under way.
func BenchmarkLink(b *testing.B) {
	l := newLink(b, Config{}, Config{})
	room := make(chan struct{}, 100)
	l.B().Receive(func([]byte) { <-room })
	pkt := make([]byte, 1500)
	b.ReportAllocs()
	for b.Loop() {
		room <- struct{}{}
		l.A().Send(pkt)
	}
}
