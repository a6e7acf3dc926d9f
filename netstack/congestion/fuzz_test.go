package congestion

import (
	"encoding/binary"
	"math"
	"math/rand"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/clock"
)

// events is what a fuzzer decides, read from bytes; zeros when they are used up.
type events struct{ b []byte }

func (e *events) bits() uint64 {
	var x [8]byte
	e.b = e.b[copy(x[:], e.b):]
	return binary.LittleEndian.Uint64(x[:])
}

func (e *events) byte() byte {
	if len(e.b) == 0 {
		return 0
	}
	x := e.b[0]
	e.b = e.b[1:]
	return x
}

// number is small, plausible, or anything.
func (e *events) number() int64 {
	switch k := e.byte(); {
	case k < 64:
		return int64(k) * 100
	case k < 192:
		return int64(e.byte()) << (k % 24)
	case k < 200:
		return -int64(e.byte())
	case k < 208:
		return math.MaxInt64
	case k < 216:
		return math.MinInt64
	default:
		return int64(e.bits())
	}
}

func (e *events) amount() int { return int(e.number()) }

func (e *events) ack() Ack {
	flags := e.byte()
	a := Ack{
		Acked: e.amount(), Delivered: e.amount(), Lost: e.amount(), Marked: flags&1 != 0,
		PriorInFlight: e.amount(), InFlight: e.amount(), Phase: Phase(flags >> 1 & 7), WindowLimited: flags&16 != 0, PeerWindow: e.amount(),
		RTT: time.Duration(e.number()), SRTT: time.Duration(e.number()), MinRTT: time.Duration(e.number()),
		Rate: e.number(), RateInterval: time.Duration(e.number()), AppLimited: flags&32 != 0,
	}
	a.TotalDelivered, a.PriorDelivered = uint64(e.number()), uint64(e.number())
	return a
}

// A probe checks a controller's invariants from event to event.
type probe struct {
	t     testing.TB
	c     Controller
	now   clock.Time
	mss   int
	saved int  // window before the episode; zero: none
	ill   bool // an episode is going on
}

func (p *probe) check() {
	w := p.c.Window()
	require.GreaterOrEqual(p.t, w, min(p.mss, 1<<30), p.c.Name())
	require.LessOrEqual(p.t, w, 1<<30, p.c.Name())
	require.GreaterOrEqual(p.t, p.c.SlowStartThreshold(), p.mss, p.c.Name())
	require.LessOrEqual(p.t, p.c.SlowStartThreshold(), 1<<30, p.c.Name())
	require.GreaterOrEqual(p.t, p.c.PacingRate(), int64(0), p.c.Name())
	require.NotEmpty(p.t, p.c.Mode())
}

func (p *probe) start(s Start) {
	p.mss, p.saved, p.ill = segment(s.MSS), 0, false
	p.c.Start(p.now, s)
}

func (p *probe) begin() {
	if !p.ill {
		p.saved, p.ill = p.c.Window(), true
	}
}

func (p *probe) undo() {
	before, ill := p.c.Window(), p.ill
	p.c.OnUndo(p.now)
	require.GreaterOrEqual(p.t, p.c.Window(), before, p.c.Name())
	if ill {
		require.GreaterOrEqual(p.t, p.c.Window(), p.saved, p.c.Name())
	}
	p.ill = false
}

func (p *probe) event(e *events) {
	p.now = p.now.Add(time.Duration(max(e.number(), 0)))
	switch e.byte() % 16 {
	case 0:
		if e.byte() < 32 {
			p.start(Start{
				MSS: e.amount(), SynLost: e.byte() > 200, RTT: time.Duration(e.number()),
				Window: e.amount(), SlowStartThreshold: e.amount(),
			})
		}
	case 1:
		why := Cause(e.byte() & 1)
		if why == Loss || p.c.Name() != "bbr" {
			p.begin()
		}
		p.c.OnCongestion(p.now, why, e.amount())
	case 2:
		p.ill = false
		p.c.OnRecovered(p.now, e.amount())
	case 3:
		p.begin()
		p.c.OnTimeout(p.now, e.amount())
	case 4:
		p.undo()
	case 5:
		p.c.OnIdle(p.now)
	case 6:
		p.mss = segment(e.amount())
		p.c.SetMSS(p.mss)
	case 7, 8, 9:
		p.c.OnSend(p.now, e.amount(), e.amount())
	default:
		p.c.OnAck(p.now, e.ack())
	}
	p.check()
}

// controllers are all there are, in all their forms.
func controllers() []Controller {
	return []Controller{new(Reno), &Reno{Pacing: true}, new(Cubic), &Cubic{Pacing: true}, new(BBR), &BBR{Seed: math.MaxUint64}, new(None)}
}

func throw(t testing.TB, b []byte) {
	for _, c := range controllers() {
		p := &probe{t: t, c: c, now: testNow}
		p.start(Start{MSS: 1460, RTT: 10 * time.Millisecond})
		for e := (&events{b}); len(e.b) > 0; {
			p.event(e)
		}
	}
}

func FuzzControllers(f *testing.F) {
	f.Add([]byte("\x00\x0a\x10\x20\x20\x00\x00\x20\x20\x20\x20\x20\x20\x20\x20\x20"))
	f.Add([]byte{0, 1, 0, 20, 0, 10, 255, 255, 255, 0, 4})
	f.Fuzz(func(t *testing.T, b []byte) { throw(t, b) })
}

// The same without a fuzzer.
func TestControllersStandAnything(t *testing.T) {
	const seed = 20
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewSource(seed))
	for range 15 {
		b := make([]byte, 4000)
		random.Read(b)
		throw(t, b)
	}
}

// Everything as large as it can be.
func TestControllersSaturate(t *testing.T) {
	for _, c := range controllers() {
		p := &probe{t: t, c: c, now: testNow}
		p.start(Start{MSS: math.MaxInt, RTT: math.MaxInt64, Window: math.MaxInt, SlowStartThreshold: math.MaxInt})
		p.check()
		for i := range 200 {
			p.now = p.now.Add(time.Duration(1) << (i % 63))
			c.OnSend(p.now, math.MaxInt, math.MaxInt)
			switch i % 20 {
			case 7:
				p.begin()
				c.OnCongestion(p.now, Loss, math.MaxInt)
			case 12:
				p.undo()
			case 15:
				p.begin()
				c.OnTimeout(p.now, math.MaxInt)
			case 19:
				p.ill = false
				c.OnRecovered(p.now, math.MaxInt)
			}
			for phase := range Phase(5) {
				c.OnAck(p.now, Ack{
					Acked: math.MaxInt, Delivered: math.MaxInt, Lost: math.MaxInt * (i & 1), PriorInFlight: math.MaxInt, InFlight: math.MaxInt,
					Phase: phase, WindowLimited: true, RTT: math.MaxInt64, SRTT: math.MaxInt64, MinRTT: math.MaxInt64,
					Rate: math.MaxInt64, RateInterval: math.MaxInt64, TotalDelivered: math.MaxUint64, PriorDelivered: math.MaxUint64,
				})
				p.check()
			}
		}
	}
}

// The same events have the same consequences.
func TestControllersAreDeterministic(t *testing.T) {
	random := rand.New(rand.NewSource(5))
	b := make([]byte, 20_000)
	random.Read(b)
	for i, c := range controllers() {
		trace := func(c Controller) (all []int) {
			p := &probe{t: t, c: c, now: testNow}
			p.start(Start{MSS: 1460, RTT: 10 * time.Millisecond})
			for e := (&events{b}); len(e.b) > 0; {
				p.event(e)
				all = append(all, c.Window(), int(c.PacingRate()))
			}
			return all
		}
		require.Equal(t, trace(c), trace(controllers()[i]))
	}
}
