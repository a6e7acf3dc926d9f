package tcp_test

import (
	"math"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/clock"
	"smolnet/netstack/errno"
	"smolnet/netstack/stream"
	"smolnet/netstack/tcp"
)

// newTransfer returns a run in which a sends n bytes to b, which reads at once, over
// a link that loses nothing but what finds no place in its queue.
func newTransfer(t *testing.T, n int, roundTrip time.Duration, rate int) *sim {
	const jumbo = 8980 // fewer segments, faster tests
	s := &sim{t: t, rng: rand.New(rand.NewPCG(1, 2)), now: epoch, pool: stream.NewPool(0)}
	s.link = &link{rng: s.rng, delay: roundTrip / 2, rate: rate, queue: roundTrip, mtu: jumbo, free: map[*end]clock.Time{}}
	makeEnd := func(name, local, remote string) *end {
		id := tcp.ID{Local: netip.MustParseAddrPort(local), Remote: netip.MustParseAddrPort(remote)}
		return &end{sim: s, name: name, id: id, mtu: jumbo, buf: make([]byte, jumbo), chunk: 1 << 20, readSize: 1 << 20, closeEarly: true}
	}
	s.a, s.b = makeEnd("a", "192.0.2.1:4321", "192.0.2.2:80"), makeEnd("b", "192.0.2.2:80", "192.0.2.1:4321")
	s.a.peer, s.b.peer = s.b, s.a
	s.a.out = make([]byte, n)
	return s
}

// transfer runs it and returns the sizes of a's send buffer and b's receive buffer
// in the end, and how long it took.
func (s *sim) transfer(at func(received int)) (send, recv int, took time.Duration) {
	s.t.Helper()
	s.a.open()
	s.a.c.Connect(s.now, 1, s.a.mtu)
	for !s.a.isDone || !s.b.isDone {
		if s.a.c != nil {
			send = max(send, s.a.c.Out.Limit())
		}
		if s.b.c != nil {
			recv = max(recv, s.b.c.In.Limit())
		}
		if len(s.b.in) == len(s.a.out) && took == 0 {
			took = s.now.Sub(epoch)
		}
		if at != nil {
			at(len(s.b.in))
		}
		s.step()
	}
	require.Equal(s.t, s.a.out, s.b.in)
	require.Zero(s.t, s.pool.InUse())
	return send, recv, took
}

// step is an instant of run.
func (s *sim) step() {
	for {
		p, ok := s.link.take(s.now)
		if !ok {
			break
		}
		p.to.receive(p.data)
	}
	next := s.link.next()
	for _, e := range []*end{s.a, s.b} {
		e.send()
		e.user()
		e.send()
		if e.c != nil {
			next = clock.Earliest(next, clock.Earliest(e.wakes, e.c.Deadline()))
		}
		if e.wait != nil && e.wait.Deadline().Due(s.now) {
			e.wait = nil
		}
	}
	next = clock.Earliest(next, s.link.next())
	if next.IsSet() {
		s.now = max(s.now, next)
	}
	if s.now.Sub(epoch) > pairTime {
		s.fail("stall")
	}
}

// A path that holds more than the buffers of the beginning: they grow to what it
// needs, twice what is under way, and not to what they might; and the transfer is
// done in the time that fixed large ones take.
func TestBuffersGrow(t *testing.T) {
	const rate, size = 10_000_000, 20 << 20
	for name, tt := range map[string]struct {
		cfg         tcp.Config
		roundTrip   time.Duration
		least, most int // sizes in the end
	}{
		"long":               {tcp.Config{}, 100 * time.Millisecond, 1500 << 10, 4 << 20},
		"no timestamps":      {tcp.Config{NoTimestamps: true}, 100 * time.Millisecond, 1500 << 10, 4 << 20},
		"longer than may":    {tcp.Config{}, 800 * time.Millisecond, 4 << 20, 4 << 20},
		"larger bounds":      {tcp.Config{MaxRecvBuffer: 64 << 20, MaxSendBuffer: 64 << 20}, 400 * time.Millisecond, 7 << 20, 24 << 20},
		"short":              {tcp.Config{}, 10 * time.Millisecond, 512 << 10, 768 << 10}, // a queue
		"very short":         {tcp.Config{}, 100 * time.Microsecond, 512 << 10, 512 << 10},
		"fixed":              {tcp.Config{RecvBuffer: 300_000, SendBuffer: 300_000}, 100 * time.Millisecond, 300_000, 300_000},
		"off":                {tcp.Config{MaxRecvBuffer: -1, MaxSendBuffer: -1}, 100 * time.Millisecond, 512 << 10, 512 << 10},
		"bounds of a little": {tcp.Config{MaxRecvBuffer: 100_000, MaxSendBuffer: 100_000}, 100 * time.Millisecond, 100_000, 100_000},
	} {
		t.Run(name, func(t *testing.T) {
			s := newTransfer(t, size, tt.roundTrip, rate)
			s.a.cfg, s.b.cfg = tt.cfg, tt.cfg
			send, recv, took := s.transfer(nil)
			t.Logf("send %d KiB, receive %d KiB, %v", send>>10, recv>>10, took)
			require.GreaterOrEqual(t, recv, tt.least)
			require.LessOrEqual(t, recv, tt.most)
			require.GreaterOrEqual(t, send, min(tt.least, 1<<20))
			// It follows the congestion window, which a queue makes larger.
			require.LessOrEqual(t, send, 2*tt.most)
		})
	}
}

// The window that is offered grows with the buffer, and its edge never moves back.
func TestGrownWindowIsOffered(t *testing.T) {
	s := newTransfer(t, 20<<20, 100*time.Millisecond, 10_000_000)
	widest := 0
	s.transfer(func(int) {
		if s.b.c != nil {
			widest = max(widest, s.b.c.Info().RecvWindow)
		}
	})
	require.Greater(t, widest, 1<<20)
}

// A reader that takes little does not have its buffer grow, however fast the peer.
func TestSlowReaderDoesNotGrow(t *testing.T) {
	s := newTransfer(t, 4<<20, 50*time.Millisecond, 10_000_000)
	s.b.readSize, s.b.idle = 20_000, 20*time.Millisecond
	_, recv, _ := s.transfer(nil)
	require.Equal(t, 512<<10, recv)
}

// Nor does one that writes little have its send buffer grow.
func TestSlowWriterDoesNotGrow(t *testing.T) {
	s := newTransfer(t, 4<<20, 50*time.Millisecond, 10_000_000)
	s.a.chunk, s.a.idle = 5_000, 20*time.Millisecond
	send, recv, _ := s.transfer(nil)
	require.Equal(t, 512<<10, send)
	require.Equal(t, 512<<10, recv)
}

// Sizes that the user sets stay, in both directions, from then on.
func TestSetBuffersEndsGrowth(t *testing.T) {
	s := newTransfer(t, 20<<20, 100*time.Millisecond, 10_000_000)
	set := false
	send, recv, _ := s.transfer(func(n int) {
		if n > 0 && !set {
			s.a.c.SetSendBuffer(700_000)
			s.b.c.SetRecvBuffer(600_000)
			set = true
		}
	})
	require.Equal(t, 700_000, send)
	require.Equal(t, 600_000, recv)
	h := newHarness(t)
	h.establish()
	h.c.SetSendBuffer(-5)
	h.c.SetRecvBuffer(0)
	require.Equal(t, 1<<10, h.c.Out.Limit())
	require.Equal(t, 1<<10, h.c.In.Limit())
	h.wantEvents(tcp.EventWritable)
	h.c.SetSendBuffer(math.MaxInt)
	require.Equal(t, 1<<30, h.c.Out.Limit())
}

// With half of the memory budget in use nothing grows, and it is counted.
func TestNoGrowthUnderPressure(t *testing.T) {
	s := newTransfer(t, 20<<20, 100*time.Millisecond, 10_000_000)
	s.pool = stream.NewPool(64 << 20)
	require.True(t, s.pool.Reserve(34<<20))
	s.a.open()
	s.a.c.Connect(s.now, 1, s.a.mtu)
	for len(s.b.in) < 4<<20 {
		s.step()
	}
	require.Equal(t, errno.OK, s.b.c.Err())
	require.Equal(t, 512<<10, s.b.c.In.Limit())
	require.Equal(t, 512<<10, s.a.c.Out.Limit())
	require.Positive(t, s.pool.Noted(stream.HoldWindows))
}

// Without window scaling there is no window that a larger buffer could give.
func TestNoGrowthWithoutScaling(t *testing.T) {
	s := newTransfer(t, 2<<20, 50*time.Millisecond, 10_000_000)
	s.a.cfg.NoWindowScale = true
	send, recv, _ := s.transfer(nil)
	require.Equal(t, 512<<10, send)
	require.Equal(t, 512<<10, recv)
}
