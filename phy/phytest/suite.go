// Package phytest checks that a [phy.Device] keeps the promises that a stack
// relies on. Every device and every middleware of package phy passes it, and
// so should those that are written elsewhere:
//
//	func TestDevice(t *testing.T) {
//		phytest.TestDevice(t, func(t *testing.T) (a, b phy.Device) { ... })
//	}
package phytest

import (
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"smolnet/phy"
)

// TestDevice runs the [Suite] with its zero values on the links that open
// makes.
func TestDevice(t *testing.T, open func(t *testing.T) (a, b phy.Device)) {
	t.Helper()
	Suite{Open: open}.Run(t)
}

// A Suite is the tests, and what they must know about the devices.
type Suite struct {
	// Open returns the two ends of a new, quiet link: frames sent on one
	// arrive at the other and nothing else does. For a loopback both are the
	// same device. The suite closes them.
	Open func(t *testing.T) (a, b phy.Device)

	// Virtual runs every test in a testing/synctest bubble, which devices made
	// of Go channels and timers can live in.
	Virtual bool

	// Window is for links that lose frames which nobody receives in time, as
	// the kernel's do: no more than Window frames are under way at once, and
	// the tests that fill a link are left out. Zero: the device holds its
	// sender back and loses nothing.
	Window int

	// Frames is how many frames the longer tests send each way, and four times
	// how often the races of sleeping and waking are run. Zero means 20000.
	Frames int
}

const (
	defaultFrames = 20000

	// guardTime is when a test is taken to hang; its devices are then closed,
	// which ends it.
	guardTime = time.Minute

	// fillLimit is how many frames a link may take that nobody receives.
	fillLimit = 1 << 17
)

// Run runs every test of the suite as a subtest.
func (s Suite) Run(t *testing.T) {
	t.Helper()
	if s.Frames == 0 {
		s.Frames = defaultFrames
	}
	tests := []struct {
		name  string
		fn    func(*link)
		fills bool // needs a link that holds its sender back
	}{
		{"Capabilities", testCapabilities, false},
		{"Idle", testIdle, false},
		{"TxBuffer", testTxBuffer, false},
		{"CommitRefused", testCommitRefused, false},
		{"BorrowedFrame", testBorrowedFrame, true},
		{"Order", testOrder, false},
		{"OrderUnderWakes", testOrderUnderWakes, false},
		{"Full", testFull, true},
		{"FullBothWays", testFullBothWays, true},
		{"WaitDurations", testWaitDurations, false},
		{"WaitForFrame", testWaitForFrame, false},
		{"WakeBefore", testWakeBefore, false},
		{"WakeDuring", testWakeDuring, false},
		{"CloseDuringWait", testCloseDuringWait, false},
		{"AfterClose", testAfterClose, false},
		{"Allocations", testAllocations, false},
	}
	for _, test := range tests {
		if test.fills && s.Window > 0 {
			continue
		}
		t.Run(test.name, func(t *testing.T) {
			if s.Virtual {
				synctest.Test(t, func(t *testing.T) { test.fn(s.open(t)) })
			} else {
				test.fn(s.open(t))
			}
		})
	}
}

// A link is the two devices under test.
type link struct {
	t    *testing.T
	s    Suite
	a, b phy.Device
	caps phy.Capabilities
}

func (s Suite) open(t *testing.T) *link {
	a, b := s.Open(t)
	l := &link{t: t, s: s, a: a, b: b, caps: a.Capabilities()}
	guard := time.AfterFunc(guardTime, func() {
		t.Errorf("hangs: a Wait did not end for what it had to, or frames are missing")
		a.Close()
		b.Close()
	})
	t.Cleanup(func() {
		guard.Stop()
		a.Close()
		b.Close()
	})
	return l
}

// loop says whether the link is one device.
func (l *link) loop() bool { return l.a == l.b }

// settle gives other goroutines the time to get where they sleep: for sure in
// virtual time, most likely else.
func (l *link) settle() {
	if l.s.Virtual {
		synctest.Wait()
		return
	}
	for range 1000 {
		runtime.Gosched()
	}
}
