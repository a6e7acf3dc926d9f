package stream

import (
	"bytes"
	"runtime"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

func newStream(limit int, budget int64) (*Stream, *Pool) {
	p := NewPool(budget)
	s := new(Stream)
	s.Init(p, limit)
	return s, p
}

func TestStructIsSmall(t *testing.T) {
	require.LessOrEqual(t, unsafe.Sizeof(Stream{}), uintptr(96))
	require.EqualValues(t, PageSize, unsafe.Sizeof(page{}))
	t.Logf("Stream %d bytes", unsafe.Sizeof(Stream{}))
}

func TestWriteAt(t *testing.T) {
	const start, end, limit = 10_000, 20_000, 30_000
	tests := []struct {
		name string
		off  uint64
		n    int
		want uint64
	}{
		{"below start", 5_000, 100, 5_100},
		{"below end", 15_000, 100, 15_100},
		{"up to end", 15_000, 5_000, 20_000},
		{"across end", 15_000, 6_000, 21_000},
		{"from below start across end", 5_000, 20_000, 25_000},
		{"at end", end, 500, 20_500},
		{"island", 30_000, 500, 30_500},
		{"up to the limit", 39_000, 1_000, 40_000},
		{"across the limit", 39_000, 5_000, 40_000},
		{"at the limit", 40_000, 1, 40_000},
		{"beyond the limit", 50_000, 1, 50_000},
		{"far beyond", 1<<64 - 1, 1000, 1<<64 - 1},
		{"nothing", end, 0, end},
		{"nothing at start", 0, 0, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, p := newStream(limit, 0)
			require.Equal(t, end, s.Write(fill(0, end)))
			s.Release(start)
			require.Equal(t, tt.want, s.WriteAt(tt.off, fill(tt.off, tt.n)))
			require.EqualValues(t, end, s.End(), "not readable before Extend")
			if tt.want > end && tt.off <= end {
				s.Extend(tt.want)
				s.Publish()
				b := make([]byte, limit)
				n := s.Read(b)
				require.EqualValues(t, tt.want-start, n)
				require.True(t, bytes.Equal(fill(start, n), b[:n]))
			}
			s.Reset()
			require.Zero(t, p.InUse())
		})
	}
}

func TestGapsHoldNoPages(t *testing.T) {
	s, p := newStream(100*PageSize, 0)
	require.EqualValues(t, 50*PageSize+1, s.WriteAt(50*PageSize, []byte{1}))
	require.EqualValues(t, PageSize, p.InUse())
	require.False(t, s.Trim(), "an island is not idle")
	require.EqualValues(t, 50*PageSize, s.WriteAt(0, fill(0, 50*PageSize)))
	s.Extend(50*PageSize + 1)
	s.Publish()
	require.EqualValues(t, 51*PageSize, p.InUse())
	b := make([]byte, 51*PageSize)
	require.Equal(t, 50*PageSize+1, s.Read(b))
	require.True(t, bytes.Equal(fill(0, 50*PageSize), b[:50*PageSize]))
	require.EqualValues(t, PageSize, p.InUse())
	require.True(t, s.Trim())
	require.Zero(t, p.InUse())
}

// Islands far apart while the stream moves on: every slot is used for several
// page numbers, and none may show an old page.
func TestSlotsAreReused(t *testing.T) {
	s, p := newStream(8*PageSize, 0)
	b := make([]byte, PageSize)
	for off := uint64(0); off < 200*PageSize; off += PageSize {
		s.WriteAt(off+7*PageSize, []byte{pattern(off + 7*PageSize)})
		require.Equal(t, off+PageSize, s.WriteAt(off, fill(off, PageSize)))
		s.Extend(off + PageSize)
		s.Publish()
		require.Equal(t, PageSize, s.Read(b))
		require.True(t, bytes.Equal(fill(off, PageSize), b))
	}
	require.LessOrEqual(t, p.InUse(), int64(7*PageSize))
	s.Reset()
	require.Zero(t, p.InUse())
}

// The consumer empties a slot of the old directory after the producer has
// copied it: the copy must neither be freed again nor be taken for a later page.
func TestStaleSlotAfterGrowth(t *testing.T) {
	s, p := newStream(64*PageSize, 0)
	s.Write(fill(0, 2*PageSize))
	old := s.slots()
	s.grow(0, 3) // the copy happens here...
	for n := range uint64(2) {
		s.drop(slotOf(old, n)) // ...and the consumer still works on the old one
	}
	s.start.Store(2 * PageSize)
	require.Zero(t, p.InUse())
	require.NotNil(t, slotOf(s.slots(), 0).Load(), "stale")
	require.Equal(t, 3*PageSize, s.Write(fill(2*PageSize, 3*PageSize)))
	require.EqualValues(t, 3*PageSize, p.InUse(), "page 4 took slot 0 and a page of its own")
	b := make([]byte, 3*PageSize)
	require.Equal(t, 3*PageSize, s.Read(b))
	require.True(t, bytes.Equal(fill(2*PageSize, 3*PageSize), b))
	require.True(t, s.Trim())
	s.Reset()
	require.Zero(t, p.InUse())
}

func TestBudget(t *testing.T) {
	s, p := newStream(1<<20, 3*PageSize)
	require.True(t, p.Reserve(PageSize/2))
	require.Zero(t, s.Write([]byte{1}), "two pages are for what arrives")
	require.EqualValues(t, 2*PageSize, s.WriteAt(0, fill(0, 5*PageSize)))
	require.EqualValues(t, 2*PageSize, s.WriteAt(2*PageSize, []byte{1}))
	s.Extend(2 * PageSize)
	s.Publish()
	require.False(t, p.Reserve(PageSize))
	require.False(t, p.Reserve(-1))
	require.False(t, p.Reserve(1<<63-1))
	p.Unreserve(PageSize / 2)
	p.Unreserve(-5)
	require.EqualValues(t, 2*PageSize+10, s.WriteAt(2*PageSize, fill(2*PageSize, 10)))
	require.EqualValues(t, 3*PageSize, p.InUse())
	require.EqualValues(t, 3*PageSize, p.Limit())
	s.Reset()
	require.Zero(t, p.InUse())
	require.Zero(t, NewPool(-1).Limit())
}

func TestLimit(t *testing.T) {
	s, _ := newStream(100, 0)
	require.Equal(t, 100, s.Write(make([]byte, 200)))
	require.Zero(t, s.Room())
	s.SetLimit(50)
	require.Zero(t, s.Room())
	require.Equal(t, 100, s.Len(), "nothing is taken back")
	s.SetLimit(-1)
	require.Zero(t, s.Limit())
	s.SetLimit(150)
	require.Equal(t, 50, s.Write(make([]byte, 200)))
}

func TestOutOfRangeCalls(t *testing.T) {
	s, _ := newStream(1000, 0)
	b := make([]byte, 10)
	require.Zero(t, s.Read(b))
	require.Zero(t, s.Read(nil))
	require.Nil(t, s.Peek())
	s.Write(fill(0, 20))
	s.Release(10)
	require.Zero(t, s.CopyAt(9, b))
	require.Zero(t, s.CopyAt(20, b))
	require.Zero(t, s.CopyAt(21, b))
	s.Release(5)
	s.Extend(3)
	s.Publish()
	require.EqualValues(t, 10, s.Start())
	require.EqualValues(t, 20, s.End())
	broken := func(f func()) {
		if invariants {
			require.Panics(t, f)
		} else {
			f()
		}
	}
	broken(func() { s.Extend(100) })
	require.EqualValues(t, 20, s.End(), "only what was placed")
	broken(func() { s.Release(100) })
	require.LessOrEqual(t, s.Start(), s.End())
}

func TestHoleIsNotRead(t *testing.T) {
	s, _ := newStream(1<<20, 0)
	s.WriteAt(PageSize, []byte{1})
	b := make([]byte, 2*PageSize)
	s.Extend(PageSize + 1) // a lie: the first page was never placed
	s.Publish()
	if invariants {
		require.Panics(t, func() { s.Read(b) })
		return
	}
	require.Zero(t, s.Read(b))
	require.Nil(t, s.Peek())
}

func TestTrimGivesUpWhileProducerWorks(t *testing.T) {
	s, p := newStream(1000, 0)
	s.Write([]byte("x"))
	s.Read(make([]byte, 1))
	s.lock()
	require.False(t, s.Trim())
	s.unlock()
	require.EqualValues(t, PageSize, p.InUse())
	require.True(t, s.Trim())
	require.Zero(t, p.InUse())
	require.Equal(t, 3, s.Write([]byte("abc")), "the same page number, a fresh page")
	b := make([]byte, 4)
	require.Equal(t, 3, s.Read(b))
	require.Equal(t, "abc", string(b[:3]))
}

func TestNoAllocations(t *testing.T) {
	if raceEnabled {
		t.Log("counted without the race detector only")
		return
	}
	s, _ := newStream(1<<20, 0)
	b := fill(0, 20_000)
	run := func() {
		s.Write(b)
		s.CopyAt(s.Start(), b)
		s.WriteAt(s.End()+100, b)
		s.WriteAt(s.End(), b)
		s.Extend(s.End() + uint64(len(b)) + 100)
		s.Publish()
		s.Release(s.Start() + 100)
		for s.Read(b) > 0 {
		}
	}
	run()
	defer runtime.GC() // what the pool keeps may go
	require.Zero(t, testing.AllocsPerRun(1000, run))
}

// What users write leaves room in the budget for what arrives.
func TestWritesLeaveRoom(t *testing.T) {
	const pages, last = 16, 2
	p := NewPool(pages * PageSize)
	var out, in Stream
	out.Init(p, 2*pages*PageSize)
	in.Init(p, 2*pages*PageSize)
	b := make([]byte, 2*pages*PageSize)
	require.False(t, p.At(HoldWrites))
	require.Equal(t, (pages-last)*PageSize, out.Write(b))
	require.True(t, p.At(HoldWrites))
	require.EqualValues(t, 1, p.Noted(HoldWrites))
	require.Zero(t, out.Write(b))
	require.EqualValues(t, 2, p.Noted(HoldWrites))
	require.EqualValues(t, last*PageSize, in.WriteAt(0, b))
	in.Extend(PageSize)
	in.Publish()
	require.Equal(t, PageSize, in.Read(b[:PageSize]))
	require.Zero(t, out.Write(b), "a page that was read is for what arrives")
	out.Reset()
	in.Reset()
	require.Zero(t, p.InUse())
	require.Equal(t, PageSize, out.Write(b[:PageSize]), "there is room again")
}

// Islands leave room in the budget for what arrives in order, and go when they
// are told to.
func TestIslandsLeaveRoom(t *testing.T) {
	const pages, last, least = 16, 2, 6
	p := NewPool(pages * PageSize)
	var in, out Stream
	in.Init(p, 4*pages*PageSize)
	out.Init(p, 2*pages*PageSize)
	b := fill(0, 4*pages*PageSize)
	off := uint64(pages * PageSize)
	require.False(t, p.At(ShrinkWindows))
	require.EqualValues(t, off+(pages-least)*PageSize, in.WriteAt(off, b[off:]))
	require.True(t, p.At(ShrinkWindows))
	require.EqualValues(t, 1, p.Noted(ShrinkWindows))
	require.Equal(t, 2*off, in.WriteAt(2*off, b[2*off:]), "no page for another island")
	require.Equal(t, (least-last)*PageSize, out.Write(b), "users may still send")
	require.EqualValues(t, last*PageSize, in.WriteAt(0, b))
	in.Extend(100)
	in.Publish()
	in.DropAhead()
	require.EqualValues(t, (1+least-last)*PageSize, p.InUse(), "the page with readable bytes stays")
	require.EqualValues(t, 8*PageSize, in.WriteAt(100, b[100:8*PageSize]))
	in.Extend(8 * PageSize)
	in.Publish()
	got := make([]byte, 9*PageSize)
	require.Equal(t, 8*PageSize, in.Read(got))
	require.Equal(t, b[:8*PageSize], got[:8*PageSize])
	out.Reset()
	require.True(t, in.Trim())
	require.Zero(t, p.InUse())
}

// The steps come one after the other in every budget of some pages, and leave a
// page to each of those that come later.
func TestSteps(t *testing.T) {
	for _, limit := range []int64{6 * PageSize, 7*PageSize + 1, 16 * PageSize, 1 << 20, 1<<40 + 1} {
		p := NewPool(limit)
		for s := range numSteps {
			require.False(t, p.At(s) && p.from[s] > 0)
			require.LessOrEqual(t, p.from[s], limit-PageSize)
			if s > 0 {
				require.GreaterOrEqual(t, p.from[s]-p.from[s-1], min(int64(PageSize), p.from[s]))
			}
		}
		require.True(t, p.Reserve(p.from[DropDatagrams]-1))
		require.False(t, p.At(DropDatagrams))
		require.True(t, p.At(HoldWrites))
		require.True(t, p.ReserveBefore(DropDatagrams, 1))
		require.True(t, p.At(DropDatagrams))
		require.False(t, p.ReserveBefore(DropDatagrams, 1))
		require.True(t, p.Reserve(limit-p.InUse()), "the last part is for others")
		p.Unreserve(limit)
		require.True(t, p.ReserveBefore(DropDatagrams, 1), "there is room again")
	}
	unbounded := NewPool(0)
	require.True(t, unbounded.Reserve(1<<50))
	for s := range numSteps {
		require.False(t, unbounded.At(s))
		require.True(t, unbounded.ReserveBefore(s, 1))
	}
}
