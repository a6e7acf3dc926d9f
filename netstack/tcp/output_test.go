package tcp

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/congestion"
	"smolnet/netstack/stream"
)

// A paced controller is Reno with a rate.
type paced struct {
	congestion.Reno
	rate int64
}

func (p *paced) PacingRate() int64 { return p.rate }

// A controller's rate is kept over any time longer than paceQuantum, by the
// timer alone.
func TestPacing(t *testing.T) {
	const rate = 10_000_000 // bytes per second
	cfg := &Config{Congestion: func() congestion.Controller { return &paced{rate: rate} }}
	p := newCoupleOf(t, cfg, stream.NewPool(0))
	p.a.Out.Write(make([]byte, 8*p.a.snd.mss))
	start := p.now
	sent := 0
	for p.a.Out.End() > uint64(sent) {
		n := p.pass(t, &p.a, &p.b) * p.a.snd.mss
		sent += n
		allowed := int((p.now.Sub(start)+paceQuantum)*(rate/1000)/time.Millisecond) + p.a.snd.mss
		require.LessOrEqual(t, sent, allowed)
		if p.a.Out.End() == uint64(sent) {
			break
		}
		require.Positive(t, n, "the timer came for nothing")
		require.Equal(t, p.a.timers[timerPace], p.a.Deadline())
		p.now = p.a.Deadline()
	}
	require.Less(t, p.now.Sub(start), time.Duration(sent)*time.Second/rate, "no slower than the rate")
	require.Positive(t, p.now.Sub(start))
}

// A rate that was measured while next to nothing could be sent does not outlast that: a
// full segment is behind the last one by a second at most, and a time-out waits for
// nothing.
func TestPacingOfNextToNothing(t *testing.T) {
	cfg := &Config{Congestion: func() congestion.Controller { return &paced{rate: 1} }}
	p := newCoupleOf(t, cfg, stream.NewPool(0))
	c := &p.a
	c.Out.Write(make([]byte, 3*c.snd.mss))
	b := make([]byte, 2000)
	_, ok := c.Send(p.now, b)
	require.True(t, ok)
	_, ok = c.Send(p.now, b)
	require.False(t, ok)
	require.True(t, c.timers[timerPace].IsSet())
	require.LessOrEqual(t, c.timers[timerPace].Sub(p.now), time.Second)
	for range 10 {
		p.now = c.Deadline()
		_, ok = c.Send(p.now, b)
		if c.stats.timeouts > 0 {
			break
		}
	}
	require.EqualValues(t, 1, c.stats.timeouts)
	require.True(t, ok)
}
