package tcp

import (
	"time"

	"smolnet/netstack/clock"
)

// A Congestion is a congestion controller. It hears of events and answers with
// a window; which segments are sent, lost or sent again is the connection's
// business, and so is the bookkeeping of a recovery. RFC 9293 MAY-18: others than
// the standard one conform as well. All amounts are bytes of sequence space.
//
// The calls come from the connection's owner, in the order of the events:
// Init first, OnLoss and OnRecovered in pairs unless an OnTimeout comes
// between.
type Congestion interface {
	// Init starts with the segment size that the handshake agreed on.
	Init(now clock.Time, mss int)
	// OnSynLoss, after Init: the handshake lost more than one SYN or SYN-ACK.
	OnSynLoss(now clock.Time)
	// OnSend: n bytes went out, for the first time or again; inFlight counts
	// them already.
	OnSend(now clock.Time, n, inFlight int)
	// OnAck: an acknowledgment of new data, in a recovery or not.
	OnAck(now clock.Time, a AckSample)
	// OnLoss: duplicate acknowledgments tell of a lost segment; a recovery
	// begins. inFlight leaves out what limited transmit added.
	OnLoss(now clock.Time, inFlight int)
	// OnRecovered: everything that was out when the recovery began is
	// acknowledged.
	OnRecovered(now clock.Time, inFlight int)
	// OnTimeout: the retransmission timer expired for a segment for the first
	// time; ends a recovery. inFlight is what was out.
	OnTimeout(now clock.Time, inFlight int)
	// OnIdle: nothing was sent for longer than the RTO, and now data is.
	OnIdle(now clock.Time)
	// SetMSS: the path's or the options' limit on segments changed.
	SetMSS(mss int)

	Window() int             // how much may be in flight; less than one segment counts as one
	SlowStartThreshold() int // for Info, and for who shares a recovery's losses out
	PacingRate() int64       // bytes per second; zero: not paced
	Name() string            // such as "newreno"
}

// An AckSample is what an acknowledgment of new data tells a controller.
type AckSample struct {
	Acked         int           // newly acknowledged
	RTT           time.Duration // measured by this acknowledgment; zero: not measured
	InFlight      int           // what was out before it arrived
	InRecovery    bool          // a recovery was going on when it arrived
	WindowLimited bool          // what it acknowledges was sent before the window was last full
}
