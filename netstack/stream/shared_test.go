package stream

import (
	"bytes"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const sharedTotal = 3 << 20

// A send stream: the user writes, the loop copies, releases, and trims all the
// time.
func TestSharedSend(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	s, p := newStream(100_000, 0)
	done := make(chan struct{})
	go func() {
		defer close(done)
		r := rand.New(rand.NewPCG(seed, 1))
		for off := uint64(0); off < sharedTotal; {
			n := s.Write(fill(off, int(min(uint64(1+r.IntN(3*PageSize)), sharedTotal-off))))
			off += uint64(n)
			if n == 0 || r.IntN(4) == 0 {
				runtime.Gosched()
			}
		}
	}()
	r := rand.New(rand.NewPCG(seed, 2))
	b := make([]byte, 3*PageSize)
	trims := 0
	for s.Start() < sharedTotal {
		off := s.Start()
		n := s.CopyAt(off, b[:1+r.IntN(len(b))])
		if !bytes.Equal(fill(off, n), b[:n]) {
			t.Fatalf("content at %d+%d", off, n)
		}
		s.Release(off + uint64(n))
		for range r.IntN(4) {
			if s.Trim() {
				trims++
			}
		}
		if n == 0 {
			runtime.Gosched()
		}
	}
	<-done
	require.NotZero(t, trims)
	require.True(t, s.Trim())
	require.Zero(t, p.InUse())
	t.Logf("%d trims", trims)
}

// A receive stream: the loop places in and out of order, extends and trims, the
// user reads.
func TestSharedReceive(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	s, p := newStream(150_000, 0)
	failed := make(chan uint64, 1)
	go func() {
		defer close(failed)
		r := rand.New(rand.NewPCG(seed, 1))
		b := make([]byte, 2*PageSize)
		for off := uint64(0); off < sharedTotal; {
			n := s.Read(b[:1+r.IntN(len(b))])
			if !bytes.Equal(fill(off, n), b[:n]) {
				failed <- off
				return
			}
			off += uint64(n)
			if n == 0 || r.IntN(4) == 0 {
				runtime.Gosched()
			}
		}
	}()
	r := rand.New(rand.NewPCG(seed, 2))
	trims := 0
	for s.End() < sharedTotal {
		end := s.Next()
		if r.IntN(8) == 0 {
			island := min(end+uint64(r.IntN(4*PageSize)), sharedTotal)
			s.WriteAt(island, fill(island, int(min(uint64(r.IntN(PageSize)), sharedTotal-island))))
		}
		to := s.WriteAt(end, fill(end, int(min(uint64(r.IntN(8*PageSize)), sharedTotal-end))))
		s.Extend(to)
		if r.IntN(2) == 0 || to == sharedTotal || s.Room() == 0 {
			s.Publish()
		}
		if r.IntN(3) == 0 { // no islands, and the reader catches up
			top := s.top
			s.Extend(s.WriteAt(to, fill(to, int(top-to))))
			s.Publish()
			for s.Len() > 0 && len(failed) == 0 {
				runtime.Gosched()
			}
			if s.End() == top && s.Trim() {
				trims++
			}
		}
		require.Empty(t, failed)
	}
	require.NotZero(t, trims)
	_, bad := <-failed
	require.False(t, bad)
	require.True(t, s.Trim())
	require.Zero(t, p.InUse())
	t.Logf("%d trims", trims)
}

// Many streams on one pool with a budget: the count is exact at any time.
func TestSharedPool(t *testing.T) {
	const workers, budget = 4, 20 * PageSize
	p := NewPool(budget)
	done := make(chan int64, workers)
	for i := range workers {
		go func() {
			r := rand.New(rand.NewPCG(uint64(i), 3))
			var s Stream
			s.Init(p, 10*PageSize)
			most := int64(0)
			for range 2000 {
				s.Write(make([]byte, r.IntN(5*PageSize)))
				most = max(most, p.InUse())
				s.Read(make([]byte, r.IntN(6*PageSize)))
			}
			s.Reset()
			done <- most
		}()
	}
	for range workers {
		require.LessOrEqual(t, <-done, int64(budget))
	}
	require.Zero(t, p.InUse())
}
