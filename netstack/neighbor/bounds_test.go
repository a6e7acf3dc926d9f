package neighbor

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/clock"
	"smolnet/netstack/packet"
	"smolnet/netstack/stream"
	"smolnet/netstack/wire"
)

func addr(i int) netip.Addr {
	var a [4]byte
	binary.BigEndian.PutUint32(a[:], 0x0a000000+uint32(i))
	return netip.AddrFrom4(a)
}

func hwOf(i int) wire.HardwareAddr {
	return wire.HardwareAddr{2, 0, byte(i >> 24), byte(i >> 16), byte(i >> 8), byte(i)}
}

// drain takes all outcomes and gives back their packets.
func (c *cache) drain() (all []Outcome[int]) {
	for {
		o, ok := c.Drain()
		if !ok {
			return all
		}
		for _, b := range o.Packets {
			c.packets.Put(b)
		}
		all = append(all, o)
	}
}

func TestFirstPacketIsNotLost(t *testing.T) {
	c := newCache(t, Config{})
	c.Lookup(c.now, peer)
	require.True(t, c.Queue(peer, []byte("first")))
	require.True(t, c.Queue(peer, nil), "an empty packet is a packet")
	require.True(t, c.Wait(peer, 1))
	require.True(t, c.Wait(peer, 2))
	c.Learn(c.now, peer, hwA, Solicited|Override)
	require.False(t, c.Queue(peer, []byte("late")), "nobody waits for a resolved address")
	require.False(t, c.Wait(peer, 3))
	o, ok := c.Drain()
	require.True(t, ok)
	require.Equal(t, Answered, o.Reason)
	require.Equal(t, hwA, o.HW)
	require.Equal(t, []int{1, 2}, o.Waiters)
	require.Len(t, o.Packets, 2)
	require.Equal(t, "first", string(o.Packets[0].Bytes()))
	require.NotZero(t, c.budget.InUse())
	for _, b := range o.Packets {
		c.packets.Put(b)
	}
	require.Zero(t, c.budget.InUse())
	n, bytes := c.Pending()
	require.Zero(t, n)
	require.Zero(t, bytes)
	require.Empty(t, c.drain())
}

func TestPendingPerTarget(t *testing.T) {
	c := newCache(t, Config{})
	c.Lookup(c.now, peer)
	for i := range MaxPending + 5 {
		require.True(t, c.Queue(peer, []byte{byte(i)}))
	}
	n, _ := c.Pending()
	require.Equal(t, MaxPending, n)
	require.EqualValues(t, 5, c.Stats().Overflowed)
	c.Learn(c.now, peer, hwA, Override)
	o, _ := c.Drain()
	require.Equal(t, []byte{5}, o.Packets[0].Bytes(), "the oldest went")
	require.Equal(t, []byte{MaxPending + 4}, o.Packets[MaxPending-1].Bytes())

	c.Lookup(c.now, addr(1))
	for range 5 {
		require.True(t, c.Queue(addr(1), make([]byte, 30_000)))
	}
	n, _ = c.Pending()
	require.Equal(t, 2, n)
	require.True(t, c.Queue(addr(1), make([]byte, packet.MaxDatagram)))
	n, _ = c.Pending()
	require.Equal(t, 1, n, "one packet may always wait")
	require.False(t, c.Queue(addr(1), make([]byte, packet.MaxDatagram+1)))
}

func TestPendingOfAll(t *testing.T) {
	c := newCache(t, Config{})
	for i := range DefaultMaxEntries {
		c.Lookup(c.now, addr(i))
		require.True(t, c.Queue(addr(i), make([]byte, 1500)))
		n, bytes := c.Pending()
		require.LessOrEqual(t, n, MaxAllPending)
		require.LessOrEqual(t, bytes, MaxAllBytes)
	}
	_, bytes := c.Pending()
	require.EqualValues(t, bytes, c.budget.InUse())
	require.NotZero(t, c.Stats().Overflowed)
	require.Zero(t, c.entries[addr(0)].pending.len(), "the oldest made room")
	require.Equal(t, 1, c.entries[addr(DefaultMaxEntries-1)].pending.len())

	c = newCache(t, Config{MaxEntries: 2 * MaxAllPending})
	for i := range 2 * MaxAllPending {
		c.Lookup(c.now, addr(i))
		require.True(t, c.Queue(addr(i), nil))
	}
	n, _ := c.Pending()
	require.Equal(t, MaxAllPending, n)
	c.Flush()
	c.drain()
	require.Zero(t, c.budget.InUse())
}

func TestPendingWithinBudget(t *testing.T) {
	c := New[int](Config{Packets: packet.NewPool(stream.NewPool(1000))})
	c.Lookup(t0, peer)
	require.True(t, c.Queue(peer, []byte{1}))
	require.False(t, c.Queue(peer, []byte{2}))
	require.EqualValues(t, 1, c.Stats().Overflowed)
	c = New[int](Config{})
	c.Lookup(t0, peer)
	require.False(t, c.Queue(peer, []byte{1}), "no pool, no packets")
}

func TestWaitersAreBounded(t *testing.T) {
	c := newCache(t, Config{})
	c.Lookup(c.now, peer)
	for i := range MaxWaiters {
		require.True(t, c.Wait(peer, i))
	}
	require.False(t, c.Wait(peer, 0))
	c.Learn(c.now, peer, hwA, Solicited)
	o, _ := c.Drain()
	require.Len(t, o.Waiters, MaxWaiters)
	c.Lookup(c.now, addr(1))
	require.True(t, c.Wait(addr(1), 0))
	require.False(t, c.Wait(addr(2), 0), "not looked up")
}

// A scan of addresses that do not exist costs the neighbours that do nothing.
func TestScan(t *testing.T) {
	c := newCache(t, Config{MaxEntries: 100})
	c.Add(c.now, addr(0), hwOf(0))
	for i := 1; i <= 50; i++ {
		c.Lookup(c.now, addr(i))
		c.Learn(c.now, addr(i), hwOf(i), Solicited|Override)
	}
	for i := range 10_000 {
		_, res := c.Lookup(c.now, addr(1000+i))
		require.Equal(t, Wait, res)
		require.True(t, c.Queue(addr(1000+i), make([]byte, 100)))
		require.LessOrEqual(t, c.Len(), 100)
		if i%100 == 0 {
			c.sleep(10 * time.Millisecond)
		}
		if i%50 == 0 { // a new neighbour that exists finds its place
			c.Lookup(c.now, addr(100_000+i))
			c.Learn(c.now, addr(100_000+i), hwOf(i), Solicited|Override)
			c.Remove(addr(100_000 + i))
		}
		c.drain()
	}
	for i := range 51 {
		hw, res := c.Lookup(c.now, addr(i))
		require.Equal(t, Resolved, res, i)
		require.Equal(t, hwOf(i), hw)
	}
	require.NotZero(t, c.Stats().Evicted)
}

// What strangers tell us unasked takes no room from what we use.
func TestStrangersEvictStrangersOnly(t *testing.T) {
	c := newCache(t, Config{MaxEntries: 100})
	for i := range 40 {
		c.Lookup(c.now, addr(i)) // being resolved
	}
	for i := 40; i < 80; i++ {
		c.Lookup(c.now, addr(i))
		c.Learn(c.now, addr(i), hwOf(i), Override) // stale, used
	}
	for i := range 10_000 {
		c.Learn(c.now, addr(1000+i), hwOf(i), Override|Create)
		require.LessOrEqual(t, c.Len(), 100)
	}
	require.Equal(t, Stale, c.state(addr(10_999)), "the newest stranger")
	for i := range 40 {
		require.Equal(t, Incomplete, c.state(addr(i)))
		require.Equal(t, Stale, c.state(addr(40+i)))
	}

	full := newCache(t, Config{MaxEntries: 2})
	full.Lookup(full.now, addr(0))
	full.Lookup(full.now, addr(1))
	full.Learn(full.now, addr(2), hwOf(2), Override|Create)
	require.Equal(t, absent, full.state(addr(2)))
}

// The order in which entries make room.
func TestEvictionOrder(t *testing.T) {
	c := newCache(t, Config{MaxEntries: 7})
	c.Add(c.now, addr(0), hwOf(0))
	c.Lookup(c.now, addr(1)) // fails
	c.sleep(3 * RetransTimer)
	require.Equal(t, Invalid, c.state(addr(1)))
	for _, i := range []int{5, 6} { // in use; 5 since longer
		c.Lookup(c.now, addr(i))
		c.Learn(c.now, addr(i), hwOf(i), Solicited)
		c.now++
	}
	c.Lookup(c.now, addr(5)) // now 6 since longer
	c.Learn(c.now, addr(2), hwOf(2), Override|Create)
	c.Lookup(c.now, addr(3))
	c.Lookup(c.now, addr(4))
	c.Learn(c.now, addr(4), hwOf(4), Override)
	require.Equal(t, []State{Permanent, Invalid, Stale, Incomplete, Stale, Reachable, Reachable},
		[]State{c.state(addr(0)), c.state(addr(1)), c.state(addr(2)), c.state(addr(3)), c.state(addr(4)), c.state(addr(5)), c.state(addr(6))})
	c.now++
	c.drain()
	require.True(t, c.Wait(addr(3), 3))
	for n, gone := range []int{1, 2, 3, 4, 6, 5} {
		require.True(t, c.Add(c.now, addr(100+n), hwA))
		require.Equal(t, absent, c.state(addr(gone)))
		require.Equal(t, 7, c.Len())
	}
	require.Equal(t, []Outcome[int]{{Addr: addr(3), Reason: Evicted, Waiters: []int{3}}}, c.drain())
	require.False(t, c.Add(c.now, addr(200), hwA), "all are permanent")
	_, res := c.Lookup(c.now, addr(200))
	require.Equal(t, Failed, res)
	_, res = c.Lookup(c.now, netip.Addr{})
	require.Equal(t, Failed, res)
	require.True(t, c.Remove(addr(0)))
	require.False(t, c.Remove(addr(0)))
	_, res = c.Lookup(c.now, addr(200))
	require.Equal(t, Wait, res)
	c.Flush()
	require.Equal(t, 6, c.Len())
}

// An owner that never drains makes no new entries, and no heap of outcomes.
func TestOutcomesAreBounded(t *testing.T) {
	c := newCache(t, Config{MaxEntries: 10})
	for i := range 1000 {
		c.Lookup(c.now, addr(i))
		c.Wait(addr(i), i)
		c.sleep(100 * time.Millisecond)
	}
	require.LessOrEqual(t, len(c.outcomes), 3*10)
	c.drain()
	_, res := c.Lookup(c.now, addr(5000))
	require.Equal(t, Wait, res)
}

func TestPermanent(t *testing.T) {
	c := newCache(t, Config{}).in(Incomplete)
	c.Queue(peer, []byte{1})
	require.False(t, c.Add(c.now, peer, none))
	require.True(t, c.Add(c.now, peer, hwA))
	o, _ := c.Drain()
	require.Equal(t, Answered, o.Reason)
	require.Len(t, o.Packets, 1)
	require.Empty(t, c.sleep(24*time.Hour))
	hw, res := c.Lookup(c.now, peer)
	require.Equal(t, Resolved, res)
	require.Equal(t, hwA, hw)
	c.Flush()
	require.Equal(t, Permanent, c.state(peer))
	for i := range c.All {
		require.Equal(t, Info{Addr: peer, HW: hwA, State: Permanent}, i)
	}
}

// check compares the cache's books with a count from scratch.
func (c *cache) check() {
	t := c.t
	listed, packets, bytes, waiting, holders := 0, 0, 0, 0, 0
	for r := range c.ranks {
		for e := c.ranks[r].first; e != nil; e = e.links[linkRank].next {
			require.Equal(t, rank(r), e.rank)
			require.Same(t, e, c.entries[e.addr])
			listed++
		}
	}
	for e := c.holders.first; e != nil; e = e.links[linkHolder].next {
		require.NotZero(t, e.pending.len())
		holders++
	}
	for _, e := range c.entries {
		if e.state == Permanent {
			require.Equal(t, rankNone, e.rank)
			require.False(t, e.timer.Deadline().IsSet())
			listed++
		} else {
			require.True(t, e.timer.Deadline().IsSet())
		}
		if e.state != Incomplete {
			require.Zero(t, e.pending.len())
			require.Empty(t, e.waiters)
		}
		packets += e.pending.len()
		waiting += len(e.waiters)
		size := 0
		for _, b := range e.pending.packets {
			bytes += b.Size()
			size += len(b.Bytes())
		}
		require.Equal(t, size, e.pending.bytes)
		require.LessOrEqual(t, e.pending.len(), MaxPending)
		if e.pending.len() > 0 {
			holders--
		}
	}
	require.Zero(t, holders)
	require.Equal(t, len(c.entries), listed)
	require.LessOrEqual(t, len(c.entries), c.max)
	require.Equal(t, packets, c.pendingPackets)
	require.Equal(t, bytes, c.pendingBytes)
	require.EqualValues(t, bytes, c.budget.InUse())
	require.Equal(t, waiting, c.waiting)
}

// step runs one operation on one of a few addresses.
func (c *cache) step(op, i, n int) {
	a := addr(i % 24)
	switch op % 8 {
	case 0:
		if _, res := c.Lookup(c.now, a); res == Wait {
			c.Queue(a, make([]byte, n%3000))
			c.Wait(a, i)
		}
	case 1, 2:
		c.Learn(c.now, a, hwOf(i), Flags(n))
	case 3:
		c.Confirm(c.now, a)
	case 4:
		if i%40 == 0 {
			c.Add(c.now, a, hwOf(i))
		} else if i%7 == 0 {
			c.Remove(a)
		}
	default:
		c.sleep(time.Duration(n) * time.Millisecond)
	}
	c.drain()
	c.check()
}

func TestBooks(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	c := newCache(t, Config{MaxEntries: 12, Rand: r.Uint64})
	for range 20_000 {
		c.step(r.IntN(8), r.IntN(1000), r.IntN(10_000))
	}
	c.Flush()
	c.drain()
	c.check()
	require.Zero(t, c.budget.InUse())
}

func FuzzBooks(f *testing.F) {
	f.Add([]byte("abcdefghijklmnopqrstuvwxyz"))
	f.Fuzz(func(t *testing.T, ops []byte) {
		c := newCache(t, Config{MaxEntries: 8})
		for ; len(ops) >= 4; ops = ops[4:] {
			c.step(int(ops[0]), int(ops[1]), int(binary.LittleEndian.Uint16(ops[2:])))
		}
	})
}

func TestNoAllocations(t *testing.T) {
	c := newCache(t, Config{Rand: rand.Uint64}).in(Reachable)
	require.Zero(t, testing.AllocsPerRun(1000, func() {
		c.now = c.now.Add(time.Second)
		c.Lookup(c.now, peer)
		c.Confirm(c.now, peer)
		c.Next(c.now)
	}))
}

func TestStrings(t *testing.T) {
	require.Equal(t, "failed", Invalid.String())
	require.Equal(t, "unknown", numStates.String())
	require.Equal(t, "wait", Wait.String())
	require.Equal(t, "resolved", Resolved.String())
	require.Equal(t, "failed", Failed.String())
	require.Equal(t, "unknown", Result(9).String())
	for r, want := range map[Reason]string{Answered: "answered", Unanswered: "unanswered",
		Unreachable: "unreachable", Evicted: "evicted", 9: "unknown"} {
		require.Equal(t, want, r.String())
	}
}

func BenchmarkLookup(b *testing.B) {
	c := New[int](Config{})
	for i := range 100 {
		c.Learn(t0, addr(i), hwOf(i), Override|Create)
	}
	var now clock.Time = t0
	for b.Loop() {
		c.Lookup(now, addr(7))
	}
}

func BenchmarkScan(b *testing.B) {
	c := New[int](Config{})
	i := 0
	for b.Loop() {
		c.Lookup(t0, addr(i))
		c.Drain()
		i++
	}
}
