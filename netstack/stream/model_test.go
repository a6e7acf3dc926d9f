package stream

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// pattern is the byte that belongs at offset off of every test stream.
func pattern(off uint64) byte { return byte(off*131 + off>>8*7 + off>>13) }

func fill(off uint64, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = pattern(off + uint64(i))
	}
	return b
}

// model is the plain truth about a stream: which offsets were placed.
type model struct {
	t          *testing.T
	s          *Stream
	p          *Pool
	start, end uint64
	shown      uint64 // end, as far as it was published
	limit      int
	base       uint64         // offset of placed[0], at the edge of a page
	placed     []bool         // beyond end
	islands    map[uint64]int // placed bytes by page number, none of them zero
}

func newModel(t *testing.T, at uint64, limit int, budget int64) *model {
	m := &model{t: t, s: new(Stream), p: NewPool(budget), start: at, end: at, shown: at, limit: limit,
		base: at - at%PageSize, islands: map[uint64]int{}}
	m.s.Init(m.p, limit)
	startAt(m.s, at)
	return m
}

// place notes that [off, to) was placed.
func (m *model) place(off, to uint64) {
	if more := int(to-m.base) - len(m.placed); more > 0 {
		m.placed = append(m.placed, make([]bool, more)...)
	}
	for o := max(off, m.end); o < to; o++ {
		if !m.placed[o-m.base] {
			m.placed[o-m.base] = true
			m.islands[o/PageSize]++
		}
	}
}

// moveEnd moves end to to.
func (m *model) moveEnd(to uint64) {
	for ; m.end < to; m.end++ {
		if at := m.end - m.base; at < uint64(len(m.placed)) && m.placed[at] {
			m.placed[at] = false
			no := m.end / PageSize
			if m.islands[no]--; m.islands[no] == 0 {
				delete(m.islands, no)
			}
		}
	}
}

// startAt moves a fresh stream to offset at.
func startAt(s *Stream, at uint64) {
	s.start.Store(at)
	s.end.Store(at)
	s.next = at
	s.top = at
}

// pages returns how many pages the stream must hold: one for each page number
// that has a placed byte at or beyond start, and the one in which it stands if
// any byte of it was ever held since the last trim.
func (m *model) pages() (low, high int64) {
	need := map[uint64]bool{}
	for off := m.start; off < m.end; off += PageSize - off%PageSize {
		need[off/PageSize] = true
	}
	for no := range m.islands {
		need[no] = true
	}
	low = int64(len(need))
	high = low
	if m.start%PageSize != 0 && !need[m.start/PageSize] {
		high++
	}
	return low, high
}

func (m *model) check() {
	t := m.t
	require.Equal(t, m.start, m.s.Start())
	require.Equal(t, m.end, m.s.Next())
	require.Equal(t, m.shown, m.s.End())
	require.Equal(t, int(m.shown-m.start), m.s.Len())
	require.Equal(t, m.limit, m.s.Limit())
	require.Equal(t, max(m.limit-int(m.end-m.start), 0), m.s.Room())
	low, high := m.pages()
	require.GreaterOrEqual(t, m.p.InUse(), low*PageSize)
	require.LessOrEqual(t, m.p.InUse(), high*PageSize)
}

func (m *model) write(n int) {
	want := min(n, max(m.limit-int(m.end-m.start), 0))
	got := m.s.Write(fill(m.end, n))
	if m.p.Limit() == 0 {
		require.Equal(m.t, want, got)
	} else if got < want { // short only at the edge of a page, with no page left
		require.LessOrEqual(m.t, got, want)
		require.Zero(m.t, (m.end+uint64(got))%PageSize*m.free(forWrite))
	}
	m.moveEnd(m.end + uint64(got))
	m.shown = m.end
}

// free is nonzero if the budget has room for another page of that use.
func (m *model) free(u use) uint64 {
	limit := m.p.Limit()
	if u != forArrival {
		limit = m.p.from[u.step()]
	}
	if limit-m.p.InUse() >= PageSize {
		return 1
	}
	return 0
}

func (m *model) writeAt(off uint64, n int) {
	to := m.s.WriteAt(off, fill(off, n))
	edge := m.start + uint64(m.limit)
	want := off + uint64(n)
	if want > m.end {
		want = max(min(want, edge), m.end)
	}
	if off > m.end {
		want = max(min(off+uint64(n), edge), off)
	}
	want = max(want, off)
	require.LessOrEqual(m.t, to, want)
	require.GreaterOrEqual(m.t, to, off)
	if m.p.Limit() == 0 {
		require.Equal(m.t, want, to, "WriteAt(%d, %d)", off, n)
	} else if to < want && off > m.end {
		require.Zero(m.t, m.free(forAhead))
	} else if to < want {
		require.Zero(m.t, m.free(forArrival))
	}
	m.place(off, to)
}

// dropAhead loses what lies beyond end.
func (m *model) dropAhead() {
	m.s.DropAhead()
	clear(m.placed)
	clear(m.islands)
}

// extend makes what is in order beyond end part of the stream, at most n bytes of
// it, and publishes it or not.
func (m *model) extend(n int, publish bool) {
	to := m.end
	for n > 0 && to-m.base < uint64(len(m.placed)) && m.placed[to-m.base] {
		to++
		n--
	}
	m.s.Extend(to)
	m.moveEnd(to)
	if publish {
		m.s.Publish()
		m.shown = m.end
	}
}

func (m *model) read(n int) {
	b := make([]byte, n)
	got := m.s.Read(b)
	require.Equal(m.t, min(n, int(m.shown-m.start)), got)
	require.True(m.t, bytes.Equal(fill(m.start, got), b[:got]), "content at %d+%d", m.start, got)
	m.start += uint64(got)
}

func (m *model) copyAt(skip, n int) {
	off := m.start + uint64(skip)
	b := make([]byte, n)
	got := m.s.CopyAt(off, b)
	want := 0
	if off <= m.shown {
		want = min(n, int(m.shown-off))
	}
	require.Equal(m.t, want, got)
	require.True(m.t, bytes.Equal(fill(off, got), b[:got]), "content at %d+%d", off, got)
}

func (m *model) release(n int) {
	m.start += uint64(min(n, int(m.shown-m.start)))
	m.s.Release(m.start)
}

func (m *model) peek() {
	b := m.s.Peek()
	require.Len(m.t, b, int(min(m.shown-m.start, PageSize-m.start%PageSize)))
	require.True(m.t, bytes.Equal(fill(m.start, len(b)), b))
}

func (m *model) trim() {
	want := m.start == m.end && len(m.islands) == 0
	require.Equal(m.t, want, m.s.Trim())
	if want {
		require.Zero(m.t, m.p.InUse())
		require.Nil(m.t, m.s.dir.Load())
		for i := range m.s.tiny {
			require.Nil(m.t, m.s.tiny[i].Load())
		}
	}
}

// step runs one operation, chosen and sized by op, a and n.
func (m *model) step(op, a, n int) {
	span := m.limit + PageSize
	switch op % 10 {
	case 0, 1:
		m.write(n)
	case 2, 3:
		m.read(n)
	case 4:
		m.writeAt(m.start+uint64(a%span), n%4096)
	case 5:
		m.writeAt(m.end+uint64(a%64), n)
	case 6:
		m.extend(n, a%2 == 0)
	case 7:
		m.copyAt(a%span, n)
		m.peek()
	case 8:
		m.release(n)
	case 9:
		if a%8 == 0 {
			m.limit = a % (64 << 10)
			m.s.SetLimit(m.limit)
		}
		if a%8 == 1 {
			m.dropAhead()
		}
		m.trim()
	}
	m.check()
}

func (m *model) finish() {
	m.s.Reset()
	require.Zero(m.t, m.p.InUse())
	require.Zero(m.t, m.s.Len())
	require.True(m.t, m.s.Trim())
}

func TestModel(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	tests := []struct {
		name   string
		at     uint64
		limit  int
		budget int64
	}{
		{"small", 0, 10_000, 0},
		{"large", 0, 200_000, 0},
		{"tight budget", 0, 200_000, 6 * PageSize},
		{"no budget", 0, 200_000, PageSize - 1},
		{"across 4 GiB", 1<<32 - 3*PageSize - 5, 100_000, 0},
		{"beyond 2^40", 1<<40 + 77, 100_000, 0},
	}
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, uint64(i)))
			m := newModel(t, tt.at, tt.limit, tt.budget)
			for range 3000 {
				n := r.IntN(3 * PageSize)
				if r.IntN(2) == 0 {
					n = r.IntN(100)
				}
				m.step(r.IntN(10), r.IntN(1<<20), n)
			}
			m.finish()
		})
	}
}

func FuzzModel(f *testing.F) {
	f.Add([]byte("0123456789abcdefghijklmnopqrstuvwxyz"))
	f.Add(bytes.Repeat([]byte{5, 1, 0, 255, 31, 6, 0, 0, 255, 255}, 20))
	f.Fuzz(func(t *testing.T, ops []byte) {
		m := newModel(t, 1<<32-PageSize, 50_000, 5*PageSize)
		for len(ops) >= 5 && len(m.placed) < 1<<20 {
			a, n := binary.LittleEndian.Uint16(ops[1:]), binary.LittleEndian.Uint16(ops[3:])
			m.step(int(ops[0]), int(a), int(n)%(3*PageSize))
			ops = ops[5:]
		}
		m.finish()
	})
}
