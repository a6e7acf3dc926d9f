package stream

import (
	"bytes"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// arrive is what a connection does with text in order: what the reader does not
// take goes to pages.
func arrive(s *Stream, n int) {
	end := s.Next()
	done := s.Deliver(fill(end, n))
	s.Extend(s.WriteAt(end+uint64(done), fill(end+uint64(done), n-done)))
}

func TestOffer(t *testing.T) {
	s, p := newStream(100_000, 0)
	require.Zero(t, s.Deliver(fill(0, 10)), "nobody waits")
	require.Equal(t, 10, s.Write(fill(0, 10)))
	b := make([]byte, 20_000)
	require.Equal(t, 10, s.Read(b))

	// What arrives fills the buffer and not a page, not even that of before.
	var o Offer
	s.Offer(&o, b)
	arrive(s, 1_000)
	arrive(s, 9_000)
	n, ok := s.Withdraw(&o)
	require.False(t, ok, "the producer is at it")
	require.Zero(t, n)
	require.Zero(t, p.InUse())
	require.EqualValues(t, 10, s.End())
	require.Equal(t, 100_000-10_000, s.Room(), "what is not published is not read")
	s.Publish()
	require.Zero(t, s.Len(), "it was read")
	require.Equal(t, 100_000, s.Room())
	n, ok = s.Withdraw(&o)
	require.True(t, ok)
	require.Equal(t, 10_000, n)
	require.True(t, bytes.Equal(fill(10, n), b[:n]))

	// What does not fit goes to pages.
	s.Offer(&o, b[:5_000])
	arrive(s, 4_000)
	arrive(s, 3_000)
	arrive(s, 3_000)
	s.Publish()
	n, ok = s.Withdraw(&o)
	require.True(t, ok)
	require.Equal(t, 5_000, n)
	require.True(t, bytes.Equal(fill(10_010, n), b[:n]))
	require.Equal(t, 5_000, s.Len())
	require.Equal(t, 5_000, s.Read(b))
	require.True(t, bytes.Equal(fill(15_010, 5_000), b[:5_000]))

	// An offer that nobody took up.
	s.Offer(&o, b)
	n, ok = s.Withdraw(&o)
	require.True(t, ok)
	require.Zero(t, n)
	require.Zero(t, s.Deliver(fill(20_010, 10)))
	require.True(t, s.Trim())
	require.Zero(t, p.InUse())
}

// What has an island beyond it, or bytes before it, goes to pages.
func TestOfferKeepsOrder(t *testing.T) {
	s, p := newStream(100_000, 0)
	var o Offer
	b := make([]byte, 20_000)

	s.Offer(&o, b)
	require.EqualValues(t, 3_000, s.WriteAt(2_000, fill(2_000, 1_000)))
	arrive(s, 2_000)
	s.Extend(3_000)
	arrive(s, 500)
	s.Publish()
	n, ok := s.Withdraw(&o)
	require.True(t, ok)
	require.Zero(t, n)
	require.Equal(t, 3_500, s.Read(b))
	require.True(t, bytes.Equal(fill(0, 3_500), b[:3_500]))

	// First to the reader, then an island, then what comes before that.
	s.Offer(&o, b)
	arrive(s, 1_000)
	require.EqualValues(t, 7_000, s.WriteAt(6_000, fill(6_000, 1_000)))
	arrive(s, 1_500)
	s.Extend(7_000)
	arrive(s, 1_000)
	s.Publish()
	n, ok = s.Withdraw(&o)
	require.True(t, ok)
	require.Equal(t, 1_000, n)
	require.Equal(t, 3_500, s.Read(b[n:]))
	require.True(t, bytes.Equal(fill(3_500, 4_500), b[:4_500]))
	s.Reset()
	require.Zero(t, p.InUse())
}

// No allocation, and no page, for what goes to a reader that waits, wherever it
// stands: directories that have grown keep pointers to pages of long ago.
func TestOfferAllocs(t *testing.T) {
	s, p := newStream(40*PageSize, 0)
	r := rand.New(rand.NewPCG(1, 2))
	b := make([]byte, 40*PageSize)
	data := make([]byte, 20*PageSize)
	var o Offer
	for range 2_000 {
		if n := r.IntN(len(data)); r.IntN(3) == 0 {
			s.Write(data[:n])
			s.Read(b)
		}
		before := p.InUse()
		require.LessOrEqual(t, before, int64(PageSize))
		s.Offer(&o, b)
		for range r.IntN(5) {
			s.Deliver(data[:1+r.IntN(3*PageSize)])
		}
		s.Publish()
		s.Withdraw(&o)
	}
	require.Zero(t, testing.AllocsPerRun(100, func() {
		s.Offer(&o, b)
		s.Deliver(data)
		s.Publish()
		s.Withdraw(&o)
	}))
	s.Reset()
	require.Zero(t, p.InUse())
}

// The loop delivers, places in and out of order, and trims; the user reads, or
// waits with a buffer for a while.
func TestSharedOffer(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	s, p := newStream(150_000, 0)
	news := make(chan struct{}, 1)
	bad := make(chan uint64, 1)
	direct := 0
	go func() {
		defer close(bad)
		r := rand.New(rand.NewPCG(seed, 1))
		b := make([]byte, 4*PageSize)
		var o Offer
		for off := uint64(0); off < sharedTotal; {
			b := b[:1+r.IntN(len(b))]
			n := s.Read(b)
			if n == 0 {
				s.Offer(&o, b)
				if r.IntN(4) > 0 { // else it withdraws at once, as at a deadline
					<-news
				}
				ok := false
				for n, ok = s.Withdraw(&o); !ok; n, ok = s.Withdraw(&o) {
					<-news
				}
				direct += n
			}
			if !bytes.Equal(fill(off, n), b[:n]) {
				bad <- off
				return
			}
			off += uint64(n)
		}
	}()
	r := rand.New(rand.NewPCG(seed, 2))
	for s.Next() < sharedTotal {
		end := s.Next()
		if r.IntN(8) == 0 {
			island := min(end+uint64(r.IntN(4*PageSize)), sharedTotal)
			s.WriteAt(island, fill(island, int(min(uint64(r.IntN(PageSize)), sharedTotal-island))))
		}
		arrive(s, int(min(uint64(1+r.IntN(3*PageSize)), sharedTotal-end)))
		if r.IntN(3) == 0 {
			s.Extend(s.WriteAt(s.Next(), fill(s.Next(), int(s.top-s.Next())))) // fills every gap
		}
		if r.IntN(3) == 0 || s.Next() == sharedTotal || s.Room() == 0 {
			s.Publish()
			s.Trim()
			select {
			case news <- struct{}{}:
			default:
			}
			// Now and then the reader catches up, and waits.
			catchUp := r.IntN(3) == 0 && s.Next() < sharedTotal
			for catchUp && s.offer.Load() == nil && len(bad) == 0 {
				runtime.Gosched()
			}
		}
		require.Empty(t, bad)
	}
	off, wrong := <-bad
	require.False(t, wrong, "at %d", off)
	require.NotZero(t, direct)
	s.Trim()
	require.Zero(t, p.InUse())
	t.Logf("%d of %d bytes went straight to the reader", direct, sharedTotal)
}
