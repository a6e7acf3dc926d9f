package conn_test

import (
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/conn"
	"smolnet/listener"
	"smolnet/netstack"
	"smolnet/phy"
)

// portsForMany is the number of listeners that many connections are spread
// over: each of them has as many ephemeral ports as there are.
const portsForMany = 16

// A crowd is many connections between two stacks.
type crowd struct {
	t         testing.TB
	l         *link
	listeners []*listener.TCP
	addrs     []netip.AddrPort
	keep      []*conn.TCP // both ends, in pairs
}

func newCrowd(t testing.TB) *crowd {
	m := &crowd{t: t, l: connect(t, phy.PipeConfig{}, func(cfg *netstack.Config) {
		cfg.Limits.Memory = 1 << 30
		cfg.TCP.TimeWait = -1
	})}
	for range portsForMany {
		ln := listenTCP(t, m.l.b)
		m.listeners = append(m.listeners, ln)
		m.addrs = append(m.addrs, ln.Addr().(*net.TCPAddr).AddrPort())
	}
	return m
}

// grow makes the crowd one of n connections.
func (m *crowd) grow(n int) {
	for i := len(m.keep) / 2; i < n; i++ {
		at := i % portsForMany
		c := dial(m.t, m.l.a, m.addrs[at])
		s, err := m.listeners[at].AcceptTCP()
		require.NoError(m.t, err)
		m.keep = append(m.keep, c, s)
	}
}

// heap returns what is in use, once garbage is gone.
func heap() (bytes, objects uint64) {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // what pools keep goes the second time
	runtime.ReadMemStats(&m)
	return m.HeapAlloc, m.HeapObjects
}

// measureIdle makes a crowd of n and returns what each endpoint costs, and what
// the memory budget is charged for it. What a stack has without connections, and rings that grew with the first of them, do
// not count; the tests' own list does, 8 bytes each.
func measureIdle(t testing.TB, n int) (bytes, objects, charge float64) {
	m := newCrowd(t)
	const first = 100
	m.keep = make([]*conn.TCP, 0, 2*n)
	m.grow(first)
	bytes0, objects0 := heap()
	goroutines := runtime.NumGoroutine()
	m.grow(n)
	require.LessOrEqual(t, runtime.NumGoroutine(), goroutines)
	bytes1, objects1 := heap()
	ends := float64(2 * (n - first))
	runtime.KeepAlive(m)
	charge = float64(m.l.a.Stats().Memory+m.l.b.Stats().Memory) / float64(2*n)
	return float64(bytes1-bytes0) / ends, float64(objects1-objects0) / ends, charge
}

// TestIdleCost holds the line: at most 2 KiB and five objects, with
// all that a connection needs to repair losses, and no more than the memory budget
// is charged; no page, no goroutine.
func TestIdleCost(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector's objects are larger")
	}
	const n = 10_000
	bytes, objects, charge := measureIdle(t, n)
	t.Logf("%.0f bytes, %.2f objects, charged %.0f bytes", bytes, objects, charge)
	require.LessOrEqual(t, bytes, 2048.0)
	require.LessOrEqual(t, objects, 2.5)
	require.LessOrEqual(t, bytes, charge)
	require.LessOrEqual(t, charge, 2048.0, "no page")
}

// After traffic on all of them connections give back all pages in a second, and
// the heap is what it was.
func TestTrafficLeavesNothing(t *testing.T) {
	const n = 2000
	m := newCrowd(t)
	m.grow(n)
	used := func() (bytes int64) { return m.l.a.Stats().Memory + m.l.b.Stats().Memory }
	idle := used()
	buf := make([]byte, 20<<10)
	for i := 0; i < len(m.keep); i += 2 {
		_, err := m.keep[i].Write(buf)
		require.NoError(t, err)
		readFull(t, m.keep[i+1], make([]byte, len(buf)))
	}
	require.Greater(t, used(), idle)
	require.Eventually(t, func() bool { return used() == idle }, 10*time.Second, 10*time.Millisecond)
}

// BenchmarkIdle reports what an established connection costs, per endpoint:
// both stacks' tables and timer queues, and what the user holds.
func BenchmarkIdle(b *testing.B) {
	for _, n := range []int{2_000, 10_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				bytes, objects, _ := measureIdle(b, n)
				b.ReportMetric(bytes, "heapB/endpoint")
				b.ReportMetric(objects, "objects/endpoint")
			}
		})
	}
}

// A Write that finds the stack's memory used up by another connection goes on
// once that one has given some back, although nobody tells it.
func TestWriteWaitsForMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const budget = 256 << 10
		l := connect(t, phy.PipeConfig{}, func(cfg *netstack.Config) { cfg.Limits.Memory = budget })
		greedy, greedyPeer := dialled(t, l.a, l.b, addrB)
		modest, modestPeer := dialled(t, l.a, l.b, addrB)
		require.NoError(t, greedy.SetWriteDeadline(time.Now().Add(time.Minute)))
		n, err := greedy.Write(make([]byte, 4*budget))
		requireTimeout(t, err)
		require.Less(t, n, 4*budget)

		wrote := make(chan error, 1)
		go func() { _, err := modest.Write([]byte("patience")); wrote <- err }()
		synctest.Wait()
		select {
		case err := <-wrote:
			t.Fatalf("written without memory: %v", err)
		default:
		}
		readFull(t, greedyPeer, make([]byte, n))
		require.NoError(t, <-wrote)
		b := make([]byte, len("patience"))
		readFull(t, modestPeer, b)
		require.Equal(t, "patience", string(b))
	})
}

// A receive buffer of any size keeps a transfer going on a link whose segments are
// large against it: virtual time shows whether one waits for the other's timer.
func TestSmallBuffersDoNotWait(t *testing.T) {
	for _, kib := range []int{4, 16, 64, 96, 126, 128, 130, 192} {
		synctest.Test(t, func(t *testing.T) {
			l := connect(t, phy.PipeConfig{}, func(cfg *netstack.Config) {
				cfg.TCP.RecvBuffer, cfg.TCP.SendBuffer = kib<<10, kib<<10
			})
			c, s := dialled(t, l.b, l.b, addrB)
			const size = 2 << 20
			go func() { _, _ = c.Write(make([]byte, size)) }()
			start := time.Now()
			readFull(t, s, make([]byte, size))
			require.Less(t, time.Since(start), 200*time.Millisecond, "%d KiB", kib)
		})
	}
}
