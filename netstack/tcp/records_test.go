package tcp

import (
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/clock"
	"smolnet/netstack/stream"
)

// A model of records is a plain slice.
type recordModel struct {
	t    *testing.T
	r    records
	pool *stream.Pool
	want []record
	next Seq
	rng  *rand.Rand
}

// check compares the ring with the slice, the ring with itself, and the memory that
// is charged with what there is.
func (m *recordModel) check() {
	m.t.Helper()
	require.Equal(m.t, len(m.want), m.r.len())
	for i := range m.want {
		if m.want[i] != *m.r.at(i) {
			require.Equal(m.t, m.want[i], *m.r.at(i), "record %d of %d", i, len(m.want))
		}
	}
	require.LessOrEqual(m.t, m.r.len(), len(m.r.slots()))
	require.LessOrEqual(m.t, len(m.r.slots()), maxRecords)
	require.EqualValues(m.t, len(m.r.ring)*recordSize, m.pool.InUse())
	if len(m.want) > 0 {
		require.Equal(m.t, m.want[len(m.want)-1], *m.r.last())
	}
}

func (m *recordModel) push() bool {
	n := 2 + m.rng.IntN(3000)
	rec := record{start: m.next, end: m.next.Add(n), flags: recordFlags(m.rng.IntN(32)), sent: clock.Time(m.rng.Int64())}
	if !m.r.push(m.pool, &rec) {
		return false
	}
	m.next = rec.end
	m.want = append(m.want, rec)
	return true
}

func (m *recordModel) split() bool {
	i := m.rng.IntN(len(m.want))
	if m.want[i].len() < 2 {
		return true
	}
	at := m.want[i].start.Add(1 + m.rng.IntN(m.want[i].len()-1))
	if !m.r.split(m.pool, i, at) {
		return false
	}
	m.want = slices.Insert(m.want, i, m.want[i])
	m.want[i].end, m.want[i+1].start = at, at
	return true
}

func (m *recordModel) remove() {
	i := m.rng.IntN(len(m.want))
	j := i + m.rng.IntN(len(m.want)-i+1)
	if m.rng.IntN(4) > 0 {
		j = min(j, i+2)
	}
	m.r.remove(i, j)
	m.want = slices.Delete(m.want, i, j)
}

// find compares with a walk through the slice: the first record that ends behind a
// sequence number.
func (m *recordModel) find() {
	base := m.next
	if len(m.want) > 0 {
		base = m.want[m.rng.IntN(len(m.want))].start
	}
	for _, seq := range []Seq{base, base - 1, base + 1, base.Add(m.rng.IntN(4000) - 2000), m.next, m.next + 1} {
		i := slices.IndexFunc(m.want, func(r record) bool { return r.end.After(seq) })
		if i < 0 {
			i = len(m.want)
		}
		require.Equal(m.t, i, m.r.find(seq))
		if i < len(m.want) {
			require.Equal(m.t, m.want[i].covers(seq), m.r.at(i).covers(seq))
		}
	}
}

// RFC 6675 2 and RFC 8985 5.1, the ring that is the scoreboard: against a slice, with
// sequence numbers that wrap, in phases that grow and phases that shrink.
func TestRecordsAgainstSlice(t *testing.T) {
	for seed := range uint64(20) {
		m := &recordModel{t: t, pool: stream.NewPool(0), rng: rand.New(rand.NewPCG(seed, 1))}
		m.next = []Seq{0, 1, 0xffff_f000, 0x7fff_f000, Seq(m.rng.Uint32())}[seed%5]
		for step := range 3000 {
			grow := step/300%2 == 0
			switch k := m.rng.IntN(10); {
			case len(m.want) == 0, grow && k < 5, !grow && k < 2:
				require.True(t, m.push() || m.r.len() == maxRecords)
			case k < 7 && !grow:
				m.r.pop()
				m.want = m.want[1:]
			case k < 8:
				require.True(t, m.split())
			case k == 8 && (step%5 == 0 || !grow):
				m.remove()
			default:
				m.find()
			}
			m.check()
			if step%1001 == 1000 {
				m.r.clear()
				m.want = nil
				m.check()
			}
		}
		m.r.free(m.pool)
		m.want = nil
		m.check()
		require.Zero(t, m.pool.InUse())
	}
}

// The first records are in the connection itself and cost nothing; a ring of its own
// is counted when it is made, by what it grows, and when it is given back.
func TestRecordsMemory(t *testing.T) {
	m := &recordModel{t: t, pool: stream.NewPool(0), rng: rand.New(rand.NewPCG(2, 2))}
	for range inlineRecords {
		require.True(t, m.push())
		require.Zero(t, m.pool.InUse())
	}
	m.check()
	for n := minRecords; n <= maxRecords; n *= 2 {
		for m.r.len() < n {
			require.True(t, m.push())
			require.EqualValues(t, n*recordSize, m.pool.InUse())
		}
	}
	m.check()
	require.False(t, m.push(), "no more than maxRecords")
	require.False(t, m.split())
	m.check()
	m.r.pop()
	m.want = m.want[1:]
	require.True(t, m.push(), "what was taken out makes room")
	m.check()
	m.r.free(m.pool)
	m.want = nil
	m.check()
	m.r.free(m.pool) // again: nothing
	require.Zero(t, m.pool.InUse())
	require.True(t, m.push(), "inline again")
	require.Zero(t, m.pool.InUse())
}

// What the budget refuses leaves everything as it was, and is counted.
func TestRecordsRefused(t *testing.T) {
	const budget = 64 * stream.PageSize
	m := &recordModel{t: t, pool: stream.NewPool(budget), rng: rand.New(rand.NewPCG(3, 3))}
	for range inlineRecords {
		require.True(t, m.push())
	}
	fill := budget - m.pool.InUse() - minRecords*recordSize + 1
	require.True(t, m.pool.Reserve(fill))
	for range 10 {
		require.False(t, m.push())
		require.False(t, m.split())
	}
	require.EqualValues(t, 20, m.pool.Noted(stream.ShrinkWindows))
	require.Equal(t, fill, m.pool.InUse())
	m.pool.Unreserve(fill)
	m.check()
	require.True(t, m.split())
	m.check()
	m.find()
	m.r.pop()
	m.want = m.want[1:]
	m.check()
	m.r.free(m.pool)
	require.Zero(t, m.pool.InUse())
}

// A record's size is what is charged.
func TestRecordSize(t *testing.T) {
	require.EqualValues(t, recordSize, unsafe.Sizeof(record{}))
}
