package core

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/siphash"
)

// An item is an entry of the tables of these tests.
type item struct {
	key   connKey
	chain chain[*item]
}

func (i *item) chained() *chain[*item] { return &i.chain }
func (i *item) named(k connKey) bool   { return i.key == k }

// itemFor returns the i-th item: keys that differ in a few bits only.
func itemFor(i int) *item {
	it := &item{key: connKey{localPort: 80, remotePort: uint16(i)}}
	it.key.remote[15], it.key.remote[14] = byte(i>>16), byte(i>>24)
	return it
}

// checkTable verifies the table's shape, and returns the longest chain.
func checkTable(t *testing.T, tab *table[*item]) (longest int) {
	n := 0
	for i := range tab.size {
		chained := 0
		for e := *tab.bucket(i); e != nil; e = e.chain.next {
			require.Equal(t, i, tab.home(e.chain.hash))
			chained++
		}
		n += chained
		longest = max(longest, chained)
	}
	require.Equal(t, n, tab.len())
	if tab.size > segBuckets {
		require.LessOrEqual(t, int(tab.size), shrinkShare*max(n, 1))
	}
	require.GreaterOrEqual(t, int(tab.size), bucketsPerEntry*n)
	require.LessOrEqual(t, len(tab.segs), int(tab.size)/segBuckets+2)
	return longest
}

func TestTableModel(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	var tab table[*item]
	tab.init(siphash.Key{byte(seed), byte(seed >> 8)})
	model := make(map[connKey]*item)
	for round := range 20 {
		grow := round%4 < 2
		for range 2000 {
			i := itemFor(r.IntN(6000))
			old := model[i.key]
			require.Same(t, old, tab.find(&i.key))
			switch {
			case old == nil && (grow || r.IntN(4) == 0):
				tab.add(&i.key, i)
				model[i.key] = i
			case old != nil && (!grow || r.IntN(4) == 0):
				tab.remove(old)
				delete(model, i.key)
			}
		}
		checkTable(t, &tab)
		seen := make(map[connKey]*item)
		for i := range tab.all() {
			seen[i.key] = i
		}
		require.Equal(t, len(model), len(seen))
	}
}

// A table of many is searched as fast as one of few, and one that has become
// empty gives its memory back.
func TestTableGrowsAndShrinks(t *testing.T) {
	const n = 50_000
	var tab table[*item]
	tab.init(siphash.Key{1, 2})
	items := make([]*item, n)
	for i := range items {
		items[i] = itemFor(i)
		size := tab.size
		tab.add(&items[i].key, items[i])
		if size > 0 {
			require.LessOrEqual(t, tab.size-size, uint32(bucketsPerEntry), "work of one insertion")
		}
	}
	require.LessOrEqual(t, checkTable(t, &tab), 10, "longest chain")
	for _, i := range items {
		require.Same(t, i, tab.find(&i.key))
	}
	for k, i := range items {
		tab.remove(i)
		if k%5000 == 0 {
			checkTable(t, &tab)
		}
	}
	require.LessOrEqual(t, len(tab.segs), 2)
}

// With another key other entries meet in a bucket.
func TestTableIsKeyed(t *testing.T) {
	same := 0
	const n = 10_000
	var a, b table[*item]
	a.init(siphash.Key{1, 2})
	b.init(siphash.Key{1, 3})
	for i := range n {
		k := itemFor(i).key
		if a.hashOf(&k)%segBuckets == b.hashOf(&k)%segBuckets {
			same++
		}
	}
	require.Less(t, same, 3*n/segBuckets)
}

func benchmarkTable(b *testing.B, n int, f func(tab *table[*item], items []*item)) {
	var tab table[*item]
	tab.init(siphash.Key{1, 2})
	items := make([]*item, n)
	for i := range items {
		items[i] = itemFor(i)
		tab.add(&items[i].key, items[i])
	}
	b.ResetTimer()
	f(&tab, items)
}

func BenchmarkTableFind(b *testing.B) {
	for _, m := range []struct {
		name string
		n    int
	}{{"10", 10}, {"10k", 10_000}, {"100k", 100_000}} {
		b.Run(m.name, func(b *testing.B) {
			benchmarkTable(b, m.n, func(tab *table[*item], items []*item) {
				at := uint32(1)
				for b.Loop() {
					at = at*1664525 + 1013904223
					if k := &items[at%uint32(len(items))].key; tab.find(k) == nil {
						b.Fatal("lost")
					}
				}
			})
		})
	}
}

// BenchmarkTableAdd makes a table of 100,000, and reports the slowest insertions
// but for one in 10,000, which are those that the scheduler or the garbage
// collector interrupted.
func BenchmarkTableAdd(b *testing.B) {
	const n = 100_000
	items := make([]*item, n)
	for i := range items {
		items[i] = itemFor(i)
	}
	times := make([]time.Duration, n)
	for b.Loop() {
		var tab table[*item]
		tab.init(siphash.Key{1, 2})
		for at, i := range items {
			i.chain = chain[*item]{}
			start := time.Now()
			tab.add(&i.key, i)
			times[at] = time.Since(start)
		}
	}
	slices.Sort(times)
	b.ReportMetric(float64(times[n-n/10_000].Nanoseconds()), "slowest-ns")
}
