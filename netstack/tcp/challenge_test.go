package tcp

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/clock"
)

// spend asks until it is refused.
func spend(b *Challenges, now clock.Time) (n int) {
	for b.Allow(now) {
		n++
	}
	return n
}

func TestChallenges(t *testing.T) {
	seed := rand.Uint64()
	t.Log("seed", seed)
	const rate = 1000
	b := Challenges{PerSecond: rate, Rand: rand.New(rand.NewPCG(seed, 0)).IntN}
	now := clock.Time(1)
	sum, seen := 0, map[int]bool{}
	for range 1000 {
		n := spend(&b, now)
		require.GreaterOrEqual(t, n, rate/2)
		require.Less(t, n, rate*3/2)
		require.False(t, b.Allow(now.Add(challengePeriod-1)))
		sum += n
		seen[n] = true
		now = now.Add(challengePeriod)
	}
	require.InDelta(t, rate, sum/1000, rate/20)
	require.Greater(t, len(seen), 300, "nobody knows the bound")
	require.EqualValues(t, sum, b.Sent)
	require.EqualValues(t, 2000, b.Denied)

	for _, b := range []*Challenges{nil, {}, {PerSecond: -1}} {
		for range 10_000 {
			require.True(t, b.Allow(now))
		}
	}
	b = Challenges{PerSecond: 1, Rand: b.Rand}
	require.Equal(t, 1, spend(&b, now))
}

// CVE-2016-5696: an attacker who spends all challenges of a second learns by their
// number whether a guess of his has had somebody else's connection spend one. With
// the bound drawn anew each second, many looks tell him nothing.
func TestChallengesTellNothing(t *testing.T) {
	seed := rand.Uint64()
	t.Log("seed", seed)
	b := Challenges{PerSecond: 1000, Rand: rand.New(rand.NewPCG(seed, 1)).IntN}
	now := clock.Time(1)
	const looks = 30
	right := 0
	for range 200 {
		var with, without int
		for range looks {
			require.True(t, b.Allow(now))
			with += spend(&b, now)
			now = now.Add(challengePeriod)
			without += spend(&b, now)
			now = now.Add(challengePeriod)
		}
		if with < without {
			right++
		}
	}
	require.InDelta(t, 100, right, 45, "as good as a coin")
}

// RFC 6191: which records a dial may take the place of.
func TestReusable(t *testing.T) {
	const now = clock.Time(time.Hour)
	w := TimeWait{deadline: now.Add(time.Minute), hold: time.Minute, sndNxt: 1000}
	require.False(t, w.Reusable(now.Add(time.Minute)), "without timestamps")
	w.ts.on = true
	w.ts.offset = 77
	require.False(t, w.Reusable(now))
	require.False(t, w.Reusable(now.Add(reuseAfter-1)))
	require.True(t, w.Reusable(now.Add(reuseAfter)))
	var c Conn
	c.Succeed(&w)
	require.Equal(t, uint32(77), c.ts.offset)
	w.ts = timestamps{}
	c.Succeed(&w)
	require.Equal(t, uint32(77), c.ts.offset)
}
