package congestion

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	mbit20 = 20_000_000 / 8 // bytes per second
	rtt50  = 50 * time.Millisecond
	bdp    = mbit20 / 20 // of the two
)

// runs until the state is want, for limit at most.
func (p *pipe) until(b *BBR, want bbrState, limit time.Duration) bool {
	for end := p.now.Add(limit); p.now < end; {
		if b.state == want {
			return true
		}
		p.run(time.Millisecond)
	}
	return false
}

// The draft, 4.2.1: the initial window in a millisecond, or in the round-trip time.
func TestBBRStart(t *testing.T) {
	b := started(new(BBR))
	require.Equal(t, 10*testMSS, b.Window())
	require.EqualValues(t, 28_850_000, b.PacingRate())
	b.Start(testNow, Start{MSS: testMSS, RTT: 100 * time.Millisecond})
	require.EqualValues(t, 288_500, b.PacingRate())
	b.Start(testNow, Start{MSS: testMSS, SynLost: true})
	require.Equal(t, testMSS, b.Window())
	b = started(new(BBR))
	b.OnAck(testNow, Ack{Acked: 1, Delivered: 1, RTT: 100 * time.Millisecond})
	require.EqualValues(t, 288_500, b.PacingRate(), "the first measurement")
	require.Equal(t, maxWindow, b.SlowStartThreshold())
}

func TestBBRStates(t *testing.T) {
	b := new(BBR)
	p := newPipe(b, mbit20, rtt50, 10*bdp, 1)
	require.Equal(t, "startup", b.Mode())
	require.True(t, p.until(b, bbrDrain, time.Second), "three rounds without growth")
	require.Equal(t, "drain", b.Mode())
	require.InEpsilon(t, mbit20, b.model.bandwidth(), 0.02)
	require.True(t, p.until(b, bbrProbeBW, time.Second), "the queue is empty")
	require.LessOrEqual(t, p.inFlight, b.inFlight(gainUnit)+3*testMSS)
	require.Equal(t, "probe bandwidth", b.Mode())

	p.run(time.Second)
	p.maxQueue = 0
	require.Greater(t, p.run(5*time.Second), 0.95*mbit20)
	require.Less(t, p.maxQueue, rtt50/2, "a quarter of the path, now and then")
	require.InEpsilon(t, mbit20, b.model.bandwidth(), 0.03)
	require.InDelta(t, rtt50, b.model.rtprop, float64(2*time.Millisecond))
	require.InEpsilon(t, 2*bdp, b.Window(), 0.25)
	require.Zero(t, p.timeouts)
}

// A round in which the peer's window held the sender back, and grew, says nothing of
// the path; one in which it did not grow, or did not hold anything back, does.
func TestBBRPeerWindow(t *testing.T) {
	for name, tt := range map[string]struct {
		window func(round int) int // zero: not in use
		full   bool
	}{
		"grows":          {func(k int) int { return 1000 << k }, false},
		"grows little":   {func(k int) int { return 100_000 + 100*k }, true},
		"stays":          {func(int) int { return 100_000 }, true},
		"is not in use":  {func(int) int { return 0 }, true},
		"grew long ago":  {func(k int) int { return 1000 << min(k, 3) }, true},
		"makes no sense": {func(k int) int { return -k }, true},
	} {
		t.Run(name, func(t *testing.T) {
			b := started(new(BBR))
			now, total := testNow, uint64(0)
			for k := range 10 {
				now = now.Add(rtt50)
				prior := total
				total += 10 * testMSS
				b.OnAck(now, Ack{
					Acked: 10 * testMSS, Delivered: 10 * testMSS, RTT: rtt50, SRTT: rtt50, MinRTT: rtt50, PeerWindow: tt.window(k),
					Rate: mbit20, RateInterval: rtt50, TotalDelivered: total, PriorDelivered: prior,
				})
			}
			require.Equal(t, tt.full, b.model.full)
		})
	}
}

// The draft, 4.3.4.2: the cycle of gains; each phase takes a round-trip time.
func TestBBRCycle(t *testing.T) {
	b := new(BBR)
	p := newPipe(b, mbit20, rtt50, 10*bdp, 1)
	require.True(t, p.until(b, bbrProbeBW, 3*time.Second))
	require.NotEqual(t, uint8(1), b.phase)
	for b.phase != 0 {
		p.run(time.Millisecond)
	}
	for i, gain := range []int64{1250, 750, 1000, 1000, 1000, 1000, 1000, 1000, 1250} {
		require.EqualValues(t, i%cycleLen, b.phase)
		require.Equal(t, gain, b.pacingGain)
		require.InEpsilon(t, mbit20*float64(gain)/1000, b.PacingRate(), 0.05)
		for began := p.now; int(b.phase) == i%cycleLen; {
			p.run(time.Millisecond)
			require.Less(t, p.now.Sub(began), 2*rtt50)
		}
	}
}

// The draft, 4.3.4.3: a phase that empties the queue ends when it is empty, and one
// that probes lasts until as much is in flight as it wants, or something is lost.
func TestBBRPhaseEnds(t *testing.T) {
	for _, c := range []struct {
		phase       uint8
		late        bool
		prior, lost int
		want        uint8
	}{
		{1, false, bdp / 2, 0, 2}, {1, false, 2 * bdp, 0, 1}, {1, true, 2 * bdp, 0, 2},
		{0, false, 2 * bdp, 1, 0}, {0, true, bdp / 2, 0, 0}, {0, true, 2 * bdp, 0, 1}, {0, true, bdp / 2, 1, 1},
		{2, false, 2 * bdp, 1, 2}, {2, true, bdp / 2, 0, 3}, {7, true, bdp, 0, 0},
	} {
		b := started(new(BBR))
		b.model.rtprop, b.model.full = rtt50, true
		b.model.bw.add(0, mbit20)
		b.enterProbeBW(testNow)
		b.setPhase(testNow, c.phase)
		now := testNow.Add(rtt50)
		if c.late {
			now++
		}
		b.checkPhase(now, &Ack{PriorInFlight: c.prior, Lost: c.lost})
		require.Equal(t, c.want, b.phase, "%+v", c)
	}
}

func TestBBRFirstPhase(t *testing.T) {
	seen := map[uint8]bool{}
	for seed := range uint64(200) {
		b := started(&BBR{Seed: seed})
		b.enterProbeBW(testNow)
		seen[b.phase] = true
		again := started(&BBR{Seed: seed})
		again.enterProbeBW(testNow)
		require.Equal(t, b.phase, again.phase)
	}
	require.Len(t, seen, cycleLen-1)
	require.False(t, seen[1])
}

// The draft, 4.3.5: four segments for 200 ms, if the round-trip time is ten seconds
// old.
func TestBBRProbeRTT(t *testing.T) {
	b := new(BBR)
	p := newPipe(b, mbit20, rtt50, 10*bdp, 1)
	p.run(5 * time.Second)
	p.delay += 10 * time.Millisecond // the path is longer now
	require.True(t, p.until(b, bbrProbeRTT, 11*time.Second))
	require.Equal(t, "probe round trip", b.Mode())
	began := p.now
	p.run(5 * time.Millisecond)
	require.Equal(t, 4*testMSS, b.Window())
	require.True(t, p.until(b, bbrProbeBW, time.Second))
	require.Greater(t, p.now.Sub(began), 200*time.Millisecond)
	require.Less(t, p.now.Sub(began), 400*time.Millisecond)
	require.Greater(t, b.Window(), bdp, "restored")
	require.InEpsilon(t, rtt50+10*time.Millisecond, b.model.rtprop, 0.02)
	p.run(time.Second)
	require.InEpsilon(t, mbit20, b.model.bandwidth(), 0.05, "what is measured in it does not count")
	require.Greater(t, p.run(5*time.Second), 0.95*mbit20)
}

// With a short path PROBE_RTT is hundreds of rounds long, all of them nearly empty.
func TestBBRProbeRTTOfAShortPath(t *testing.T) {
	b := new(BBR)
	p := newPipe(b, 10*mbit20, time.Millisecond, 1<<20, 1)
	p.run(5 * time.Second)
	p.delay += time.Millisecond
	require.True(t, p.until(b, bbrProbeRTT, 11*time.Second))
	require.True(t, p.until(b, bbrProbeBW, time.Second))
	require.InEpsilon(t, 10*mbit20, b.model.bandwidth(), 0.05)
}

func TestBBRLoss(t *testing.T) {
	for _, loss := range []float64{0.01, 0.05, 0.1} {
		p := newPipe(new(BBR), mbit20, rtt50, 10*bdp, 7)
		p.loss = loss
		p.run(3 * time.Second)
		got := p.run(20 * time.Second)
		t.Logf("loss %v: %.2f of the link, %d time-outs", loss, got/mbit20, p.timeouts)
		require.Greater(t, got, 0.85*(1-loss)*mbit20, "loss %v", loss)
	}
}

// A shallow queue: losses that BBR makes itself.
func TestBBRShallowQueue(t *testing.T) {
	p := newPipe(new(BBR), mbit20, rtt50, bdp/4, 7)
	p.run(3 * time.Second)
	require.Greater(t, p.run(20*time.Second), 0.85*mbit20)
}

func TestBBRTimeout(t *testing.T) {
	b := new(BBR)
	p := newPipe(b, mbit20, rtt50, 10*bdp, 1)
	p.run(3 * time.Second)
	for range 5 {
		p.black = true
		p.run(4 * time.Second)
		require.Positive(t, p.timeouts)
		require.Equal(t, testMSS, b.Window())
		p.black = false
		p.run(3 * time.Second)
		require.Greater(t, p.run(5*time.Second), 0.9*mbit20)
	}
}

// The draft, 4.2.3.4: one round trip of packet conservation, and what was before
// comes back.
func TestBBRConservation(t *testing.T) {
	b := new(BBR)
	p := newPipe(b, mbit20, rtt50, 10*bdp, 1)
	p.run(3 * time.Second)
	before := b.Window()
	inFlight := 50 * testMSS
	b.OnCongestion(p.now, Loss, inFlight)
	require.Equal(t, inFlight+testMSS, b.Window())
	total := p.delivered
	a := func(delivered, lost int, prior uint64) {
		total += uint64(delivered)
		b.OnAck(p.now, Ack{Acked: delivered, Delivered: delivered, Lost: lost, Phase: Recovery, PriorInFlight: inFlight, InFlight: inFlight, TotalDelivered: total, PriorDelivered: prior})
	}
	a(2*testMSS, 5*testMSS, total-bdp)
	began := total
	require.Equal(t, inFlight+2*testMSS, b.Window())
	a(3*testMSS, 7*testMSS, began-1)
	require.Equal(t, inFlight+3*testMSS, b.Window(), "conserved")
	a(2*testMSS, testMSS, began)
	require.Equal(t, inFlight+4*testMSS, b.Window(), "a round later it grows, less what is lost")
	b.OnRecovered(p.now, inFlight)
	require.Equal(t, before, b.Window())

	b.OnCongestion(p.now, Mark, 0)
	require.Equal(t, before, b.Window(), "a mark is no signal")
	b.OnTimeout(p.now, 0)
	b.OnUndo(p.now)
	require.Equal(t, before, b.Window())
}

// The draft, 4.3.4.4: no burst after a pause, and the model is kept.
func TestBBRIdle(t *testing.T) {
	b := new(BBR)
	p := newPipe(b, mbit20, rtt50, 10*bdp, 1)
	p.run(3 * time.Second)
	for range 3 {
		p.pause(15 * time.Second)
		b.OnIdle(p.now)
		p.maxQueue = 0
		p.run(10 * time.Millisecond)
		require.Equal(t, bbrProbeBW, b.state)
		require.InEpsilon(t, mbit20, b.PacingRate(), 0.05, "restart at the bandwidth")
		require.Less(t, p.maxQueue, 5*time.Millisecond)
		require.False(t, p.until(b, bbrProbeRTT, time.Second), "the pause was one")
		require.InEpsilon(t, mbit20, b.model.bandwidth(), 0.05)
	}
}

// An application that sends little does not lower the bandwidth.
func TestBBRApplicationLimited(t *testing.T) {
	b := new(BBR)
	p := newPipe(b, mbit20, rtt50, 10*bdp, 1)
	p.run(3 * time.Second)
	total := p.delivered
	for i := range 1000 {
		total += testMSS
		now := p.now.Add(time.Duration(i) * 5 * time.Millisecond)
		b.OnAck(now, Ack{Acked: testMSS, Delivered: testMSS, RTT: rtt50, Rate: 1000, RateInterval: rtt50, AppLimited: true, TotalDelivered: total, PriorDelivered: total - testMSS})
	}
	require.InEpsilon(t, mbit20, b.model.bandwidth(), 0.05)
	for i := range 20 {
		total += testMSS
		now := p.now.Add(5*time.Second + time.Duration(i)*rtt50)
		b.OnAck(now, Ack{Acked: testMSS, Delivered: testMSS, RTT: rtt50, Rate: 1000, RateInterval: rtt50, TotalDelivered: total, PriorDelivered: total - testMSS})
	}
	require.EqualValues(t, 1000, b.model.bandwidth(), "a path that has become slow does")
}

// What follows a change of the bandwidth.
func TestBBRFollows(t *testing.T) {
	b := new(BBR)
	p := newPipe(b, mbit20, rtt50, 10*bdp, 1)
	p.run(3 * time.Second)
	p.rate *= 4
	p.run(3 * time.Second)
	require.Greater(t, p.run(2*time.Second), 0.9*4*mbit20)
	p.rate /= 8
	p.run(15 * time.Second)
	require.Greater(t, p.run(10*time.Second), 0.9*mbit20/2)
}

// Acknowledgments that come in bunches, draft-cardwell-iccrg-bbr-congestion-control-02
// 4.5.5: the window has room for a bunch.
func TestBBRAggregation(t *testing.T) {
	m := bbrModel{extraAt: testNow}
	m.bw.add(0, 1_000_000)
	now := testNow
	for range 20 {
		now = now.Add(20 * time.Millisecond)
		for range 20 {
			m.aggregate(now, &Ack{Delivered: testMSS}, maxWindow)
		}
		m.round++
	}
	require.InDelta(t, 20*testMSS, m.extra(), testMSS)
	m.extras.add(m.round, maxWindow)
	require.Equal(t, 100_000, m.extra(), "what arrives in 100 ms at most")

	for _, full := range []bool{false, true} {
		b := started(new(BBR))
		m.rtprop, m.rtpropAt, m.full, m.initial = rtt50, testNow, full, 10*testMSS
		b.model = m
		b.enterProbeBW(testNow)
		b.setWindow(maxWindow)
		b.openWindow(&Ack{Delivered: testMSS})
		if full {
			require.Equal(t, b.inFlight(cruiseGain)+100_000, b.Window())
		} else {
			require.Equal(t, maxWindow, b.Window())
		}
	}
}

// The draft, 4.2.2.
func TestBBRQuantum(t *testing.T) {
	b := started(new(BBR))
	for rate, want := range map[int64]int64{
		1: 1000, 149_999: 1000, 150_000: 2000, 2_999_999: 2000, 3_000_000: 3000, 20_000_000: 20_000, 1 << 62: 64 << 10,
	} {
		b.pacing = rate
		require.Equal(t, want, b.quantum(), "%d", rate)
	}
}

func TestRoundMax(t *testing.T) {
	var f roundMax
	require.Zero(t, f.max)
	f.add(3, 10)
	f.add(3, 5)
	f.add(5, 7)
	require.EqualValues(t, 10, f.max)
	f.add(12, 1)
	require.EqualValues(t, 10, f.max)
	f.add(13, 1)
	require.EqualValues(t, 7, f.max, "ten rounds")
	f.add(15, 2)
	require.EqualValues(t, 2, f.max)
	f.add(1000, 1)
	require.EqualValues(t, 1, f.max)
}

func TestMulDiv(t *testing.T) {
	const most = 1<<63 - 1
	for _, c := range []struct{ a, b, c, want int64 }{
		{6, 7, 4, 10}, {-1, 5, 1, 0}, {5, -1, 1, 0}, {most, most, most, most}, {most, most, 1, most}, {most, 2, 3, most / 3 * 2}, {most, 3, 2, most},
	} {
		require.InDelta(t, c.want, mulDiv(c.a, c.b, c.c), 1, "%+v", c)
	}
}
