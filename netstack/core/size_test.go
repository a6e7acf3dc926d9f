package core

import (
	"net/netip"
	"runtime"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/clock"
	"smolnet/netstack/siphash"
	"smolnet/netstack/stream"
	"smolnet/netstack/tcp"
)

// What a connection and a record are, in sizes of the allocator, which puts 8
// bytes before objects of more than 512. What they cost with all that belongs to
// them is measured in TestRecordCost, and for connections in package conn.
func TestSizes(t *testing.T) {
	require.LessOrEqual(t, unsafe.Sizeof(TCP{})+8, uintptr(1536), "the next size of the allocator is 1792")
	require.LessOrEqual(t, unsafe.Sizeof(timeWait{}), uintptr(144), "the next size is 160")
	t.Log("TCP", unsafe.Sizeof(TCP{}), "tcp.Conn", unsafe.Sizeof(TCP{}.conn), "socket", unsafe.Sizeof(socket{}), "timeWait", unsafe.Sizeof(timeWait{}), "UDP", unsafe.Sizeof(UDP{}))
}

// A record of TIME-WAIT takes at most what the budget is charged, which is less
// than 200 bytes: with its places in the table and the timer queue.
func TestRecordCost(t *testing.T) {
	const n = 50_000
	pool := stream.NewPool(0)
	var tw timeWaits
	tw.init(siphash.Key{1}, n, pool)
	rec := make([]tcp.TimeWait, n)
	for i := range rec {
		id := tcp.ID{
			Local:  netip.AddrPortFrom(loopbackIPv4, 80),
			Remote: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i >> 14), 0, 1}), uint16(i)),
		}
		var c tcp.Conn
		c.Init(id, nil, pool)
		rec[i] = c.TimeWait()
	}
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	for i := range rec {
		require.False(t, tw.add(rec[i]))
	}
	for w := range tw.records.all() {
		tw.timers.Set(&w.timer, w, 1+clock.Time(w.rec.ID().Remote.Port()))
	}
	each := float64(heap()-before) / n
	t.Logf("%.1f bytes", each)
	require.LessOrEqual(t, each, float64(recordCharge))
	require.Equal(t, n, tw.records.len())
	require.EqualValues(t, n*recordCharge, tw.pool.InUse())
	for range n/maxTimers + 1 {
		left := tw.records.len()
		tw.expire(clock.Never)
		require.Equal(t, min(left, maxTimers), left-tw.records.len())
	}
	require.Zero(t, tw.records.len())
	require.Zero(t, tw.pool.InUse())
	runtime.KeepAlive(rec)
}
