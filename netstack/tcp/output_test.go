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
