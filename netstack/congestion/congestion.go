// Package congestion has TCP's congestion controllers: how much a sender may have
// in flight, and how fast it may send.
//
// A [Controller] hears of events and answers with a window and a pacing rate.
// Which segments are sent, lost or sent again is the connection's business. The
// calls come from one goroutine, in the order of the events, and time is an
// argument: a controller has no clock, and is tested without one.
//
// Read first: RFC 5681 (the framework), RFC 9438 (CUBIC), RFC 6937 (the window
// while losses are repaired).
package congestion

import (
	"time"

	"smolnet/netstack/clock"
)

// A Controller is the congestion controller of one connection. RFC 9293 MAY-18:
// others than the standard one conform as well. All amounts are bytes of sequence
// space without headers.
type Controller interface {
	// Start begins a connection whose handshake is over. It is called once,
	// before anything else, but for another controller that takes over from this
	// one: that is started anew.
	Start(now clock.Time, s Start)

	// OnSend: n bytes went out, for the first time or again, and inFlight counts
	// them already.
	OnSend(now clock.Time, n, inFlight int)

	// OnAck: an acknowledgment tells that something has arrived, or that
	// something was lost. It is called once for each, after OnCongestion,
	// OnRecovered or OnUndo if it brings those about.
	OnAck(now clock.Time, a Ack)

	// OnCongestion: the network tells of congestion, by a loss or a mark, and a
	// recovery begins. inFlight leaves out what is lost. At most once a round trip.
	OnCongestion(now clock.Time, why Cause, inFlight int)

	// OnRecovered: everything that was out when the recovery, or the repair after a
	// time-out, began is acknowledged. A controller that takes over in the midst of
	// one has not heard of its beginning.
	OnRecovered(now clock.Time, inFlight int)

	// OnTimeout: the retransmission timer expired, all that is out counts as lost.
	// inFlight is what was out before. Called for the first time-out of a row only.
	OnTimeout(now clock.Time, inFlight int)

	// OnUndo: the last OnCongestion or OnTimeout was a mistake (RFC 4015): nothing
	// was lost. Window and threshold become at least what they were before.
	OnUndo(now clock.Time)

	// OnIdle: nothing was sent for longer than the RTO, and now data is (RFC 5681
	// 4.1).
	OnIdle(now clock.Time)

	// SetMSS: the limit on segments has changed, by what the path takes.
	SetMSS(mss int)

	// Window returns how much may be in flight; less than one segment counts as
	// one.
	Window() int
	// SlowStartThreshold returns ssthresh, and a very large number while there is
	// none.
	SlowStartThreshold() int
	// PacingRate returns the rate at which segments are to be spaced, bytes per
	// second; zero: they are not paced.
	PacingRate() int64
	// Name returns the controller's name, such as "cubic".
	Name() string
	// Mode returns what the controller is at, such as "slow start", for people.
	Mode() string
}

// A Factory makes a controller for a connection.
type Factory func() Controller

// A Start is what a controller begins with.
type Start struct {
	MSS int // bytes of the largest segment

	// SynLost: the handshake lost more than one SYN or SYN-ACK, and the initial
	// window is one segment (RFC 6928 2).
	SynLost bool

	// RTT of the handshake, or smoothed of a connection that has another controller so
	// far; zero: not measured.
	RTT time.Duration

	// Window and SlowStartThreshold are those of the controller that this one takes
	// over from; zero: there was none. Where the losses that it has reduced the window
	// for are being repaired, the Phase of the first Ack says so.
	Window, SlowStartThreshold int
}

// A Cause is how the network tells of congestion.
type Cause uint8

// The causes.
const (
	Loss Cause = iota // a segment is taken for lost
	Mark              // a mark of explicit congestion notification (RFC 3168)
)

// A Phase is what a connection's loss recovery is at.
type Phase uint8

// The phases.
const (
	Open     Phase = iota // nothing is lost
	Reducing              // after a Mark, until what was out then is acknowledged
	Recovery              // after a Loss, until what was out then is acknowledged
	Timeout               // after a time-out, the same
)

var phaseNames = [...]string{"open", "reducing", "recovery", "timeout"}

// String returns the phase's name, such as "recovery".
func (p Phase) String() string {
	if int(p) < len(phaseNames) {
		return phaseNames[p]
	}
	return "unknown"
}

// An Ack is what an acknowledgment tells a controller.
type Ack struct {
	Acked     int  // bytes by which the cumulative acknowledgment moved
	Delivered int  // bytes that are known to have arrived for the first time: Acked less what SACK had told before, plus what SACK tells now
	Lost      int  // bytes that are taken for lost since the last Ack
	Marked    bool // the peer echoes congestion (RFC 3168): the ECE flag

	PriorInFlight int   // bytes in flight before it arrived
	InFlight      int   // bytes in flight now, without what has arrived or is lost
	Phase         Phase // after it was looked at

	// WindowLimited: the congestion window, and not the application or the peer's
	// window, was what held the sender back when it sent what is acknowledged.
	WindowLimited bool

	// PeerWindow is the largest window that the peer has offered, bytes, if all that it
	// offers was in use when this arrived; zero: it was not.
	PeerWindow int

	RTT    time.Duration // measured by this acknowledgment; zero: not measured
	SRTT   time.Duration // smoothed, RFC 6298
	MinRTT time.Duration // least of the last minutes

	// Delivery rate, draft-cheng-iccrg-delivery-rate-estimation-02 3: Rate bytes per
	// second were delivered over RateInterval, zero: no sample. AppLimited: the
	// sender had less to send than it might have, so that Rate is a lower bound.
	Rate         int64
	RateInterval time.Duration
	AppLimited   bool

	TotalDelivered uint64 // bytes delivered in the life of the connection
	PriorDelivered uint64 // TotalDelivered when the newest segment that is delivered now was sent: a round trip ago
}
