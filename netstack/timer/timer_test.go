package timer

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/clock"
)

// owner embeds an Entry as users do, and knows its true deadline.
type owner struct {
	Entry
	want clock.Time
}

// verify checks the heap's order and the links between items and entries.
func verify(t *testing.T, q *Queue[*owner]) {
	for i, it := range q.heap {
		require.Equal(t, i, int(it.entry.pos))
		require.Same(t, it.entry, &it.owner.Entry)
		require.LessOrEqual(t, it.key, it.entry.deadline)
		require.Equal(t, it.owner.want, it.entry.Deadline())
		if i > 0 {
			require.LessOrEqual(t, q.heap[(i-1)/arity].key, it.key)
		}
	}
}

func TestModel(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	var q Queue[*owner]
	owners := make([]*owner, 300)
	for i := range owners {
		owners[i] = new(owner)
	}
	now := clock.Time(1)
	for range 4_000 {
		o := owners[r.IntN(len(owners))]
		switch r.IntN(8) {
		case 0:
			o.want = 0
			q.Set(&o.Entry, o, 0)
		case 1:
			now = now.Add(time.Duration(r.IntN(50)))
			drain(t, &q, owners, now)
		case 2: // in the past
			o.want = max(now-clock.Time(r.IntN(100)), 1)
			q.Set(&o.Entry, o, o.want)
		default:
			o.want = now.Add(time.Duration(r.IntN(1000)))
			q.Set(&o.Entry, o, o.want)
		}
		verify(t, &q)
		set, earliest := 0, clock.Time(0)
		for _, o := range owners {
			earliest = clock.Earliest(earliest, o.want)
			if o.want.IsSet() {
				set++
			}
		}
		require.Equal(t, set, q.Len())
		require.Equal(t, earliest.IsSet(), q.Next().IsSet())
		require.LessOrEqual(t, q.Next(), earliest, "Next is late")
	}
}

// drain pops what is due and checks that it is all of it, in order.
func drain(t *testing.T, q *Queue[*owner], owners []*owner, now clock.Time) {
	last := clock.Time(0)
	for {
		o, ok := q.Pop(now)
		if !ok {
			break
		}
		require.True(t, o.want.Due(now))
		require.GreaterOrEqual(t, o.want, last)
		require.False(t, o.Deadline().IsSet())
		last, o.want = o.want, 0
	}
	for _, o := range owners {
		require.False(t, o.want.Due(now))
	}
	if next := q.Next(); next.IsSet() {
		require.Greater(t, next, now)
	}
}

func TestLaterMovesStayInPlace(t *testing.T) {
	var q Queue[int]
	var a, b Entry
	q.Set(&a, 1, 10)
	q.Set(&b, 2, 20)
	q.Set(&a, 1, 30)
	require.Equal(t, clock.Time(10), q.Next(), "early, not late")
	_, ok := q.Pop(15)
	require.False(t, ok)
	require.Equal(t, clock.Time(20), q.Next())
	q.Set(&a, 3, 25) // earlier than before, but not earlier than its place
	v, ok := q.Pop(40)
	require.True(t, ok)
	require.Equal(t, 2, v)
	v, ok = q.Pop(40)
	require.True(t, ok)
	require.Equal(t, 3, v, "the owner given last")
	_, ok = q.Pop(clock.Never)
	require.False(t, ok)
	require.Zero(t, q.Next())
}

// A step looks at one entry: it returns it, or finds that it was moved out.
func TestStep(t *testing.T) {
	var q Queue[int]
	var a, b, c Entry
	for i, e := range []*Entry{&a, &b, &c} {
		q.Set(e, i, 10)
	}
	q.Set(&a, 0, 30)
	q.Set(&b, 1, 40)
	moved, popped := 0, 0
	for range 3 {
		v, ok, more := q.Step(20)
		require.True(t, more)
		if ok {
			popped++
			require.Equal(t, 2, v)
		} else {
			moved++
		}
	}
	require.Equal(t, [2]int{2, 1}, [2]int{moved, popped})
	_, ok, more := q.Step(20)
	require.False(t, ok || more)
	require.Equal(t, clock.Time(30), q.Next())
}

func TestRemoveOfUnqueued(t *testing.T) {
	var q Queue[int]
	var e Entry
	q.Set(&e, 1, 0)
	require.Zero(t, q.Len())
	q.Set(&e, 1, 5)
	q.Set(&e, 1, 0)
	q.Set(&e, 1, 0)
	require.Zero(t, q.Len())
	require.Zero(t, q.Next())
	require.False(t, e.Deadline().IsSet())
}

func TestMemoryIsGivenBack(t *testing.T) {
	var q Queue[int]
	entries := make([]Entry, 10_000)
	for i := range entries {
		q.Set(&entries[i], i, clock.Time(i+1))
	}
	for i := range entries {
		v, ok := q.Pop(clock.Never)
		require.True(t, ok)
		require.Equal(t, i, v)
	}
	require.LessOrEqual(t, cap(q.heap), 2*minCap)
}

func TestNoAllocations(t *testing.T) {
	var q Queue[*owner]
	owners := make([]owner, 1000)
	now := clock.Time(1)
	for i := range owners {
		q.Set(&owners[i].Entry, &owners[i], now.Add(time.Duration(i)))
	}
	allocs := testing.AllocsPerRun(1000, func() {
		now++
		o, ok := q.Pop(now)
		if ok {
			q.Set(&o.Entry, o, now.Add(1500))
		}
		q.Set(&owners[500].Entry, &owners[500], now.Add(500))
	})
	require.Zero(t, allocs)
}

func BenchmarkSetLater(b *testing.B) {
	var q Queue[int]
	entries := make([]Entry, 100_000)
	for i := range entries {
		q.Set(&entries[i], i, clock.Time(i+1))
	}
	for i := 0; b.Loop(); i++ {
		q.Set(&entries[i%len(entries)], i, clock.Time(len(entries)+i))
	}
}

func BenchmarkPopSet(b *testing.B) {
	var q Queue[int]
	entries := make([]Entry, 100_000)
	for i := range entries {
		q.Set(&entries[i], i, clock.Time(i+1))
	}
	for b.Loop() {
		v, _ := q.Pop(clock.Never)
		q.Set(&entries[v], v, clock.Time(v+len(entries)))
	}
}

// BenchmarkHot is one owner that moves its deadline out again and again, as a
// busy connection does with each acknowledgement, among others that rest: what
// it costs must not grow with their number.
func BenchmarkHot(b *testing.B) {
	for _, n := range []int{10, 10_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			const rto = 200 * time.Millisecond
			var q Queue[int]
			entries := make([]Entry, n)
			now := clock.Time(1)
			for i := range entries {
				q.Set(&entries[i], i, now.Add(15*time.Second+time.Duration(i)))
			}
			hot := &entries[n/2]
			for b.Loop() {
				now = now.Add(10 * time.Microsecond)
				q.Set(hot, n/2, now.Add(rto))
				if _, ok := q.Pop(now); ok {
					now = 1 // the others' time has come: begin again
				}
			}
		})
	}
}
