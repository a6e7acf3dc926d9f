// Package clock is the stack's notion of time: a number that the driver
// passes in. Nothing below the poll loop asks what time it is; one event is
// one instant, handed on unchanged.
package clock

import "time"

// A Time is an instant on the stack's clock, in nanoseconds since a moment the
// driver chose. The zero Time means "not set"; a driver starts above it, and
// its clock never runs backwards.
type Time int64

// Add returns t+d. A set time never becomes "not set" or wraps: the result is
// at least 1 and saturates at [Never].
func (t Time) Add(d time.Duration) Time {
	s := t + Time(d)
	switch {
	case d > 0 && s < t:
		return Never
	case s < 1:
		return 1
	}
	return s
}

// Never is the last instant there is. It stands for a deadline that is set
// and will not come.
const Never Time = 1<<63 - 1

// Sub returns the time from u to t, negative if t is the earlier one.
func (t Time) Sub(u Time) time.Duration { return time.Duration(t - u) }

// IsSet reports whether t is an instant rather than "not set".
func (t Time) IsSet() bool { return t != 0 }

// Due reports whether t is set and not later than now.
func (t Time) Due(now Time) bool { return t != 0 && t <= now }

// Earliest returns the earlier of two deadlines, either of which may be not
// set. It is not set only if both are.
func Earliest(t, u Time) Time {
	if t == 0 || (u != 0 && u < t) {
		return u
	}
	return t
}
