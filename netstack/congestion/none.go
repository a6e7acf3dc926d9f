package congestion

import "smolnet/netstack/clock"

// A None controls nothing: its window is 1<<30 bytes whatever happens, and nothing is
// paced. It is for links that have a flow control of their own, and for tests. RFC
// 9293 MUST-19 wants congestion control on everything that is shared with others.
type None struct{}

// Start does nothing, as do all that tell of events.
func (None) Start(clock.Time, Start) {}

// OnSend does nothing.
func (None) OnSend(clock.Time, int, int) {}

// OnAck does nothing.
func (None) OnAck(clock.Time, Ack) {}

// OnCongestion does nothing.
func (None) OnCongestion(clock.Time, Cause, int) {}

// OnRecovered does nothing.
func (None) OnRecovered(clock.Time, int) {}

// OnTimeout does nothing.
func (None) OnTimeout(clock.Time, int) {}

// OnUndo does nothing.
func (None) OnUndo(clock.Time) {}

// OnIdle does nothing.
func (None) OnIdle(clock.Time) {}

// SetMSS does nothing.
func (None) SetMSS(int) {}

// Window returns 1<<30.
func (None) Window() int { return maxWindow }

// SlowStartThreshold returns 1<<30.
func (None) SlowStartThreshold() int { return maxWindow }

// PacingRate returns zero: not paced.
func (None) PacingRate() int64 { return 0 }

// Name returns "none".
func (None) Name() string { return "none" }

// Mode returns "none".
func (None) Mode() string { return "none" }
