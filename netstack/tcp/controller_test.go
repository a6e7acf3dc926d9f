package tcp_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/clock"
	"smolnet/netstack/congestion"
	"smolnet/netstack/tcp"
)

// A spy is a controller that remembers what it was told, but for what is sent.
type spy struct {
	congestion.Controller
	begun  congestion.Start
	phases []congestion.Phase // of acknowledgments
	calls  []string
}

func spyOn(c congestion.Controller) *spy { return &spy{Controller: c} }

func (s *spy) factory() congestion.Factory { return func() congestion.Controller { return s } }

func (s *spy) tell(name string) { s.calls = append(s.calls, name) }

func (s *spy) Start(now clock.Time, b congestion.Start) {
	s.tell("start")
	s.begun = b
	s.Controller.Start(now, b)
}

func (s *spy) OnAck(now clock.Time, a congestion.Ack) {
	s.phases = append(s.phases, a.Phase)
	s.Controller.OnAck(now, a)
}

func (s *spy) OnCongestion(now clock.Time, why congestion.Cause, inFlight int) {
	s.tell("congestion")
	s.Controller.OnCongestion(now, why, inFlight)
}

func (s *spy) OnRecovered(now clock.Time, inFlight int) {
	s.tell("recovered")
	s.Controller.OnRecovered(now, inFlight)
}

func (s *spy) OnTimeout(now clock.Time, inFlight int) {
	s.tell("timeout")
	s.Controller.OnTimeout(now, inFlight)
}

func (s *spy) OnUndo(now clock.Time) {
	s.tell("undo")
	s.Controller.OnUndo(now)
}

// switchTo has a controller that is spied on take over.
func (h *harness) switchTo(c congestion.Controller) *spy {
	s := spyOn(c)
	h.note("SetCongestion " + c.Name())
	h.c.SetCongestion(h.now, s.factory())
	return s
}

// Before the handshake is over the new controller is started as the first would be.
func TestSwitchBeforeHandshake(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		first := spyOn(new(congestion.Reno))
		h.cfg.Congestion = first.factory()
		h.to(tcp.StateSynSent)
		require.Equal(t, "reno", h.c.Info().CongestionControl)
		require.Zero(t, h.c.Info().CongestionWindow)
		s := h.switchTo(new(congestion.Cubic))
		require.Equal(t, "cubic", h.c.Info().CongestionControl)
		require.Empty(t, s.calls)
		h.advance(roundTrip)
		h.in(TCP{Ack: 1, Flags: SYN | ACK, Options: h.peer})
		h.want(TCP{Seq: 1, Ack: 1, Flags: ACK})
		require.Equal(t, []string{"start"}, s.calls)
		require.Equal(t, congestion.Start{MSS: ethMSS, RTT: roundTrip}, s.begun)
		require.Equal(t, 10*ethMSS, h.cwnd())
		require.Empty(t, first.calls)
	})
}

// The window and the threshold go from one to the next, and back.
func TestSwitchGoesOn(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.window = 65535
		h.to(tcp.StateEstablished)
		h.open(30)
		window := h.cwnd()
		for _, c := range []congestion.Controller{new(congestion.Cubic), new(congestion.BBR), new(congestion.Reno)} {
			s := h.switchTo(c)
			require.Equal(t, []string{"start"}, s.calls)
			require.Equal(t, congestion.Start{MSS: ethMSS, RTT: h.c.Info().RTT, Window: window, SlowStartThreshold: 1 << 30}, s.begun)
			require.Equal(t, window, h.cwnd())
		}
		h.open(window/ethMSS + 2) // it works
		require.Greater(t, h.cwnd(), window)
	})
}

// A factory that is nil, or makes nothing, stands for CUBIC.
func TestSwitchToNothing(t *testing.T) {
	h := newHarness(t)
	h.cfg.Congestion = func() congestion.Controller { return nil }
	h.to(tcp.StateEstablished)
	require.Equal(t, "cubic", h.c.Info().CongestionControl)
	h.c.SetCongestion(h.now, reno)
	require.Equal(t, "reno", h.c.Info().CongestionControl)
	h.c.SetCongestion(h.now, nil)
	require.Equal(t, "cubic", h.c.Info().CongestionControl)
}

// What a window was that nobody could use tells nothing: after None the window is
// what the peer's has let out.
func TestSwitchFromNone(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.cfg.Congestion = func() congestion.Controller { return congestion.None{} }
		h.window = 20 * ethMSS
		h.to(tcp.StateEstablished)
		require.Equal(t, 1<<30, h.cwnd())
		require.Len(t, h.flight(30), 20)
		h.switchTo(new(congestion.Cubic))
		require.Equal(t, 20*ethMSS, h.cwnd())
		h.wantNone()
	})
}

// In a recovery nothing is reduced a second time. The new controller hears of the
// repair by the phase, goes on with it, and ends where the old one would have.
func TestSwitchInRecovery(t *testing.T) {
	for _, c := range []congestion.Controller{new(congestion.Reno), new(congestion.Cubic), new(congestion.BBR)} {
		t.Run(c.Name(), func(t *testing.T) {
			each(t, func(t *testing.T, h *harness) {
				h.window = 65535
				h.sacking().to(tcp.StateEstablished)
				require.Len(t, h.flight(10), 10)
				h.advance(roundTrip)
				h.sack(0, blk{1, 4})
				h.advance(roundTrip / 2) // RACK's window for reordering
				h.wantSegs(0)
				require.Equal(t, congestion.Recovery, h.c.Info().Phase)
				require.Equal(t, 5*ethMSS, h.c.Info().SlowStartThreshold)

				s := h.switchTo(c)
				require.LessOrEqual(t, h.cwnd(), 5*ethMSS)
				require.Equal(t, 5*ethMSS, s.begun.SlowStartThreshold)
				h.advance(roundTrip)
				h.sack(0, blk{1, 10})
				require.Equal(t, congestion.Recovery, h.c.Info().Phase)
				if c.Name() != "bbr" { // which has no threshold
					require.LessOrEqual(t, h.cwnd(), 5*ethMSS)
				}
				h.advance(roundTrip)
				h.sack(10)
				require.Equal(t, congestion.Open, h.c.Info().Phase)
				require.Equal(t, []string{"start", "recovered"}, s.calls)
				require.Equal(t, []congestion.Phase{congestion.Recovery, congestion.Open}, s.phases)
				if c.Name() != "bbr" {
					require.Equal(t, 5*ethMSS, h.cwnd())
				}
			})
		})
	}
}

// A reduction that turns out to be a mistake is not the new controller's to take back:
// to it the repair is over. Retransmissions end.
func TestSwitchThenMistake(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.to(tcp.StateEstablished)
		h.write(pattern(40 * ethMSS))
		require.Len(t, h.all(), 10)
		_, ok := h.next(2 * time.Second) // the time-out
		require.True(t, ok)
		require.Equal(t, congestion.Timeout, h.c.Info().Phase)
		s := h.switchTo(new(congestion.Cubic))
		require.Equal(t, ethMSS, h.cwnd())
		h.ackSegs(2)
		require.Equal(t, 2, h.news(10), "F-RTO goes on")
		h.ackSegs(4)
		require.EqualValues(t, 1, h.c.Info().SpuriousRecoveries)
		require.Equal(t, congestion.Open, h.c.Info().Phase)
		require.Equal(t, []string{"start", "recovered"}, s.calls)
		require.EqualValues(t, 1, h.c.Info().Retransmits)
	})
}

// The same for a report that comes when all is over.
func TestSwitchThenLateMistake(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.window = 65535
		h.sacking().to(tcp.StateEstablished)
		require.Len(t, h.flight(10), 10)
		h.advance(roundTrip)
		h.sack(0, blk{1, 4})
		h.advance(roundTrip / 2)
		h.wantSegs(0)
		h.sack(10)
		require.Equal(t, congestion.Open, h.c.Info().Phase)
		s := h.switchTo(new(congestion.Cubic))
		before := h.cwnd()
		h.sack(10, blk{0, 1}) // a duplicate SACK: the retransmission was in vain
		require.Equal(t, []string{"start"}, s.calls)
		require.Equal(t, before, h.cwnd())
		require.EqualValues(t, 1, h.c.Info().DuplicatesReported)
	})
}

// A time-out after the switch is the new controller's, in a repair or not.
func TestSwitchThenTimeout(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.window = 65535
		h.to(tcp.StateEstablished)
		require.Len(t, h.flight(10), 10)
		s := h.switchTo(new(congestion.Reno))
		_, ok := h.next(2 * time.Second)
		require.True(t, ok)
		require.Equal(t, []string{"start", "timeout"}, s.calls)
		h.ackTo(10 * ethMSS)
		require.Equal(t, []string{"start", "timeout", "recovered"}, s.calls)
	})
}

// Info has nothing of a controller that was not started.
func TestInfoBeforeHandshake(t *testing.T) {
	h := newHarness(t)
	h.cfg.Congestion = func() congestion.Controller { return congestion.None{} }
	h.to(tcp.StateSynSent)
	i := h.c.Info()
	require.Equal(t, "none", i.CongestionControl)
	require.Zero(t, i.CongestionWindow)
	require.Zero(t, i.SlowStartThreshold)
	require.Empty(t, i.CongestionMode)
	require.Zero(t, i.Established)
}

// A peer that closes its window over what is out ends the repair of it: it is unsent
// again, and the controller hears of the end.
func TestRepairEndsWithWindow(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		s := spyOn(new(congestion.Reno))
		h.cfg.Congestion = s.factory()
		h.sacking().to(tcp.StateEstablished)
		require.Len(t, h.flight(10), 10)
		h.advance(roundTrip)
		h.sack(0, blk{4, 10})
		require.NotEmpty(t, h.all())
		require.Equal(t, []string{"start", "congestion"}, s.calls)
		shut := h.c.Info().SlowStartThreshold
		h.window = 0
		h.in(TCP{Seq: 1, Ack: 1 + ethMSS, Flags: ACK})
		h.next(time.Minute)
		require.Equal(t, congestion.Open, h.c.Info().Phase)
		require.Equal(t, []string{"start", "congestion", "recovered"}, s.calls)
		require.Equal(t, shut, h.cwnd())
	})
}

// What waits to be sent again is lost once, however often there is a time-out.
func TestLossesCountOnce(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		s := new(lossSpy)
		h.cfg.Congestion = func() congestion.Controller { return s }
		h.to(tcp.StateEstablished)
		require.Len(t, h.flight(4), 4)
		for h.c.Info().Timeouts < 2 {
			_, ok := h.next(time.Minute)
			require.True(t, ok)
		}
		h.all()
		h.advance(roundTrip)
		h.ack(4 * ethMSS)
		require.Equal(t, 5*ethMSS, s.lost, "four, and the first once more")
	})
}
