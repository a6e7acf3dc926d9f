package tcp

import (
	"math"
	"time"

	"smolnet/netstack/clock"
	"smolnet/netstack/congestion"
)

// A steering is a congestion controller and what it last said: it changes its mind when
// it hears of something, and is asked for each segment.
//
// There is none, and only the initial window, until there is something to be heard of:
// most connections never use half of that, and lose nothing.
type steering struct {
	congestion.Controller
	window int32
	paced  bool
	deaf   bool // to OnSend while nothing is lost, and OnAck while the window is not in use
	spared bool // it was not told of acknowledgments that came while the window was not in use
}

// steer returns a controller at work, one that is yet to be made if k is nil.
func steer(k congestion.Controller) steering {
	if k == nil {
		return steering{deaf: true}
	}
	s := steering{Controller: k}
	switch k.(type) {
	case *congestion.Cubic, *congestion.Reno, congestion.None:
		s.deaf = true // PRR counts what goes out, and nothing else does; a window not in use stays
	}
	s.heard()
	return s
}

// control returns the controller, which is made and started if there is none.
func (c *Conn) control(now clock.Time) *steering {
	k := &c.congestion
	if k.Controller == nil {
		*k = steer(newController(nil))
		k.Start(now, congestion.Start{MSS: c.snd.mss, RTT: c.rtt.srtt})
	}
	return k
}

// startController begins with the window of a connection whose handshake took rtt, and
// lost more than one SYN or SYN-ACK if lost.
func (c *Conn) startController(now clock.Time, rtt time.Duration, lost bool) {
	k := &c.congestion
	switch {
	case k.Controller != nil:
	case !lost:
		k.window = int32(congestion.InitialWindow(c.snd.mss))
		return
	default:
		*k = steer(newController(nil))
	}
	// RFC 6928 2: only "multiple SYN or SYN/ACK retransmissions" bring the initial
	// window down to one segment.
	k.Start(now, congestion.Start{MSS: c.snd.mss, SynLost: lost, RTT: rtt})
}

// heard asks for what has become of the window.
func (s *steering) heard() {
	s.window = int32(min(max(s.Controller.Window(), 0), math.MaxInt32))
	s.paced = s.Controller.PacingRate() > 0
}

// Window is the controller's, as it last said.
func (s *steering) Window() int { return int(s.window) }

// PacingRate is the controller's.
func (s *steering) PacingRate() int64 {
	if !s.paced {
		return 0
	}
	return s.Controller.PacingRate()
}

// SlowStartThreshold is the controller's; there is none before there is one.
func (s *steering) SlowStartThreshold() int {
	if s.Controller == nil {
		return math.MaxInt32
	}
	return s.Controller.SlowStartThreshold()
}

// What follows are the controller's methods by which it hears of something.

func (s *steering) Start(now clock.Time, st congestion.Start) {
	s.Controller.Start(now, st)
	s.heard()
}

func (s *steering) OnSend(now clock.Time, n, inFlight int) {
	s.Controller.OnSend(now, n, inFlight)
	s.heard()
}

func (s *steering) OnAck(now clock.Time, a congestion.Ack) {
	s.Controller.OnAck(now, a)
	s.heard()
}

func (s *steering) OnCongestion(now clock.Time, why congestion.Cause, inFlight int) {
	s.Controller.OnCongestion(now, why, inFlight)
	s.heard()
}

func (s *steering) OnRecovered(now clock.Time, inFlight int) {
	s.Controller.OnRecovered(now, inFlight)
	s.heard()
}

func (s *steering) OnTimeout(now clock.Time, inFlight int) {
	s.Controller.OnTimeout(now, inFlight)
	s.heard()
}

func (s *steering) OnUndo(now clock.Time) {
	s.Controller.OnUndo(now)
	s.heard()
}

func (s *steering) OnIdle(now clock.Time) {
	if s.Controller == nil {
		return
	}
	s.Controller.OnIdle(now)
	s.heard()
}

func (s *steering) SetMSS(mss int) {
	if s.Controller == nil {
		s.window = int32(congestion.InitialWindow(mss))
		return
	}
	s.Controller.SetMSS(mss)
	s.heard()
}
