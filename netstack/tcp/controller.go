package tcp

// Which congestion controller a connection has. RFC 9293 MAY-18: others than the
// standard one may be used.

import (
	"smolnet/netstack/clock"
	"smolnet/netstack/congestion"
)

// ownController returns what f makes, nil if that is nothing.
func ownController(f congestion.Factory) congestion.Controller {
	if f == nil {
		return nil
	}
	return f()
}

// newController returns what f makes, CUBIC if that is nothing.
func newController(f congestion.Factory) congestion.Controller {
	if k := ownController(f); k != nil {
		return k
	}
	return &congestion.Cubic{Pacing: true}
}

// SetCongestion has another congestion controller take over, at any time: one that f
// makes, CUBIC if f is nil. Before the handshake is over it begins as the first one
// would have; afterwards with the window and the threshold of the one before, as far
// as the peer's windows have ever let them be used.
//
// In a repair the new controller begins with no more than the old one has reduced
// the window to. Nothing is reduced a second time: it hears of the repair by the phase
// of acknowledgments, then OnRecovered. If the repair turns out to be a mistake,
// retransmissions end, but the window stays as it is: nobody knows what it was.
func (c *Conn) SetCongestion(now clock.Time, f congestion.Factory) {
	if !c.opened.IsSet() {
		c.congestion = steer(ownController(f))
		return // it is started when the handshake is over
	}
	old := c.control(now).Controller
	c.congestion = steer(newController(f))
	v := &c.recovery
	window, ssthresh := old.Window(), old.SlowStartThreshold()
	if v.phase == congestion.Open {
		v.reduced = false // the reduction was not this controller's
	} else {
		window = min(window, ssthresh)
		v.marked = true
	}
	// What is larger than every window of the peer's was never in use, and tells
	// nothing of the path; congestion.None has such a window.
	window = min(window, max(int(c.snd.maxWnd), c.snd.mss))
	c.congestion.Start(now, congestion.Start{
		MSS: c.snd.mss, RTT: c.rtt.srtt, Window: max(window, c.snd.mss), SlowStartThreshold: max(ssthresh, c.snd.mss),
	})
	c.check()
}
