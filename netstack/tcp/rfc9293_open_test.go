package tcp_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/clock"
	"smolnet/netstack/errno"
	"smolnet/netstack/tcp"
	"smolnet/netstack/wire"
)

// RFC 9293 3.5, figure 6, the left side; MUST-14, 3.7.1: "TCP endpoints MUST
// implement both sending and receiving the MSS Option"
func TestActiveOpen(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.connect()
		h.wantState(tcp.StateSynSent)
		syn := h.want(TCP{Flags: SYN})
		require.EqualValues(t, ethMSS, syn.Options.MSS)
		h.wantNone()
		h.advance(roundTrip)
		h.in(TCP{Ack: 1, Flags: SYN | ACK, Options: Options{MSS: 1000}})
		h.want(TCP{Seq: 1, Ack: 1, Flags: ACK})
		h.wantNone()
		h.wantState(tcp.StateEstablished)
		h.wantEvents(tcp.EventConnected)
		require.Equal(t, 1000, h.c.Info().SendMSS)
		require.False(t, h.c.Deadline().IsSet(), "an idle connection has no timer")
	})
}

// RFC 9293 3.5, figure 6, the right side.
func TestPassiveOpen(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.peer.MSS = 1000
		h.accept()
		h.wantState(tcp.StateSynReceived)
		syn := h.want(TCP{Ack: 1, Flags: SYN | ACK})
		require.EqualValues(t, ethMSS, syn.Options.MSS)
		h.wantNone()
		h.advance(roundTrip)
		h.in(TCP{Seq: 1, Ack: 1, Flags: ACK})
		h.wantNone()
		h.wantState(tcp.StateEstablished)
		h.wantEvents(tcp.EventConnected)
		require.Equal(t, 1000, h.c.Info().SendMSS)
		require.False(t, h.c.Deadline().IsSet(), "an idle connection has no timer")
	})
}

// RFC 9293 MUST-10, 3.5: "A TCP implementation MUST support simultaneous open
// attempts" Figure 7: what arrives last is the peer's SYN,ACK.
func TestSimultaneousOpen(t *testing.T) {
	for name, last := range map[string]TCP{
		"syn-ack": {Seq: 0, Ack: 1, Flags: SYN | ACK},
		"ack":     {Seq: 1, Ack: 1, Flags: ACK},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, h *harness) {
				h.to(tcp.StateSynSent)
				h.in(TCP{Flags: SYN, Options: h.peer})
				h.wantState(tcp.StateSynReceived)
				h.want(TCP{Ack: 1, Flags: SYN | ACK})
				h.wantNone()
				h.advance(roundTrip)
				if last.Flags.Has(SYN) {
					last.Options = h.peer
				}
				h.in(last)
				h.wantState(tcp.StateEstablished)
				h.wantEvents(tcp.EventConnected)
				for _, s := range h.all() { // an ACK of the SYN,ACK is fine
					require.Equal(t, ACK, s.Flags)
					require.EqualValues(t, 1, s.Ack)
				}
				h.in(TCP{Seq: 1, Ack: 1, Flags: ACK}, "hello")
				h.want(TCP{Seq: 1, Ack: 6, Flags: ACK})
				h.wantRead("hello")
			})
		})
	}
}

// RFC 9293 3.5, figure 7: our SYN,ACK was lost, and the peer, too, repeats
// its SYN.
func TestSimultaneousOpenRepeatsSYNACK(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.to(tcp.StateSynSent)
		h.in(TCP{Flags: SYN, Options: h.peer})
		h.want(TCP{Ack: 1, Flags: SYN | ACK})
		h.wantAfter(time.Second, TCP{Ack: 1, Flags: SYN | ACK})
		h.in(TCP{Flags: SYN, Options: h.peer})
		h.wantState(tcp.StateSynReceived)
		for _, s := range h.all() {
			require.True(t, s.Flags.Has(ACK) && !s.Flags.Has(RST))
			require.EqualValues(t, 1, s.Ack)
		}
		h.in(TCP{Ack: 1, Flags: SYN | ACK, Options: h.peer})
		h.wantState(tcp.StateEstablished)
	})
}

// RFC 9293 MUST-11, 3.5: "a TCP implementation MUST keep track of whether a
// connection has reached SYN-RECEIVED state as the result of a passive OPEN or an active OPEN"
func TestResetInSynReceived(t *testing.T) {
	t.Run("passive", func(t *testing.T) {
		each(t, func(t *testing.T, h *harness) {
			h.to(tcp.StateSynReceived)
			h.in(TCP{Seq: 1, Flags: RST})
			h.wantState(tcp.StateClosed)
			h.wantEvents(tcp.EventClosed)
			h.wantNone()
			require.False(t, h.c.Deadline().IsSet())
		})
	})
	t.Run("active", func(t *testing.T) {
		each(t, func(t *testing.T, h *harness) {
			h.to(tcp.StateSynSent)
			h.in(TCP{Flags: SYN, Options: h.peer})
			h.want(TCP{Ack: 1, Flags: SYN | ACK})
			h.in(TCP{Seq: 1, Ack: 1, Flags: RST | ACK})
			h.wantClosed(errno.ConnRefused)
		})
	})
}

// RFC 9293 3.5, figure 8: an acknowledgment of something that was not sent is
// answered by a reset with its number, and the attempt goes on.
func TestOldDuplicateSYNACK(t *testing.T) {
	for _, ack := range []uint32{0, 2, 100, 1 << 31, 0xffff_ffff} {
		t.Run(fmt.Sprint(ack), func(t *testing.T) {
			each(t, func(t *testing.T, h *harness) {
				h.to(tcp.StateSynSent)
				_, d := h.in(TCP{Seq: 300, Ack: ack, Flags: SYN | ACK, Options: h.peer})
				require.Equal(t, wire.DropBadAck, d)
				h.want(TCP{Seq: ack, Flags: RST})
				h.wantNone()
				h.wantState(tcp.StateSynSent)
				h.in(TCP{Ack: 1, Flags: SYN | ACK, Options: h.peer})
				h.want(TCP{Seq: 1, Ack: 1, Flags: ACK})
				h.wantState(tcp.StateEstablished)
			})
		})
	}
}

// RFC 9293 3.5.1, figure 9: both sides of the discovery of a half-open
// connection.
func TestHalfOpenDiscovery(t *testing.T) {
	t.Run("who rebooted", func(t *testing.T) {
		each(t, func(t *testing.T, h *harness) {
			h.to(tcp.StateSynSent)
			h.in(TCP{Seq: 300, Ack: 50, Flags: ACK})
			h.want(TCP{Seq: 50, Flags: RST})
			h.wantState(tcp.StateSynSent)
			h.wantAfter(time.Second, TCP{Flags: SYN})
		})
	})
	t.Run("who did not", func(t *testing.T) {
		each(t, func(t *testing.T, h *harness) {
			h.to(tcp.StateEstablished)
			h.in(TCP{Seq: 1_000_000, Flags: SYN, Options: h.peer})
			h.want(TCP{Seq: 1, Ack: 1, Flags: ACK})
			h.in(TCP{Seq: 1, Flags: RST})
			h.wantClosed(errno.ConnReset)
		})
	})
}

// RFC 9293 3.10.7.3, second: "If the ACK was acceptable, then signal to the
// user 'error: connection reset', drop the segment, enter CLOSED state"
func TestResetInSynSent(t *testing.T) {
	t.Run("acceptable", func(t *testing.T) {
		each(t, func(t *testing.T, h *harness) {
			h.to(tcp.StateSynSent)
			h.in(TCP{Ack: 1, Flags: RST | ACK})
			h.wantClosed(errno.ConnRefused)
		})
	})
	for name, s := range map[string]TCP{
		"no ack":     {Flags: RST},
		"ack of ISS": {Flags: RST | ACK, Ack: 0},
		"ack beyond": {Flags: RST | ACK, Ack: 2},
		"with syn":   {Flags: RST | SYN},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, h *harness) {
				h.to(tcp.StateSynSent)
				a, d := h.in(s)
				require.Equal(t, tcp.ActionNone, a)
				require.NotEqual(t, wire.DropNone, d)
				h.wantNone()
				h.wantState(tcp.StateSynSent)
				h.wantAfter(time.Second, TCP{Flags: SYN})
			})
		})
	}
}

// RFC 9293 3.10.7.3, fifth: "if neither of the SYN or RST bits is set, then
// drop the segment and return"
func TestNoSYNInSynSent(t *testing.T) {
	for name, s := range map[string]TCP{
		"ack":       {Ack: 1, Seq: 1, Flags: ACK},
		"none":      {Seq: 1},
		"fin":       {Seq: 1, Flags: FIN},
		"fin ack":   {Seq: 1, Ack: 1, Flags: FIN | ACK},
		"psh":       {Seq: 1, Flags: PSH},
		"christmas": {Ack: 1, Seq: 1, Flags: FIN | PSH | URG | ACK, Urgent: 7},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, h *harness) {
				h.to(tcp.StateSynSent)
				_, d := h.in(s, "data")
				require.NotEqual(t, wire.DropNone, d)
				h.wantNone()
				h.wantState(tcp.StateSynSent)
				require.Zero(t, h.c.In.Len())
			})
		})
	}
}

// RFC 9293 3.10.7.3: "it is legal to send and receive application data on SYN
// segments" It may be left to be sent again, but must not be lost or doubled.
func TestDataOnSYNACK(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.to(tcp.StateSynSent)
		h.in(TCP{Ack: 1, Flags: SYN | ACK, Options: h.peer}, "hello")
		h.wantState(tcp.StateEstablished)
		got, ok := h.send()
		require.True(t, ok)
		require.Equal(t, ACK, got.Flags)
		require.Contains(t, []uint32{1, 6}, got.Ack)
		require.EqualValues(t, got.Ack-1, h.c.In.Len())
		h.wantNone()
		h.in(TCP{Seq: 1, Ack: 1, Flags: ACK}, "hello")
		h.want(TCP{Seq: 1, Ack: 6, Flags: ACK})
		h.wantRead("hello")
	})
}

// RFC 9293 MUST-14, 3.7.1 and SHLD-5; MUST-67: what is announced is what fits
// behind fixed headers, in every SYN.
func TestAnnouncedMSS(t *testing.T) {
	for _, c := range []struct {
		name           string
		mtu, max, want int
		v6             bool
	}{
		{"ethernet", 1480, 0, 1460, false},
		{"ethernet v6", 1460, 0, 1440, true},
		{"smallest v6", 1240, 0, 1220, true},
		{"jumbo", 8980, 0, 8960, false},
		{"limited by config", 1480, 1000, 1000, false},
		{"config is no promise", 1480, 9000, 1460, false},
		{"loopback", 65515, 0, 65495, false},
		{"small link", 556, 0, 536, false},
	} {
		for _, active := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/active=%v", c.name, active), func(t *testing.T) {
				h := newHarness(t)
				h.mtu, h.cfg.MaxMSS = c.mtu, c.max
				if c.v6 {
					h.v6()
				}
				if active {
					h.connect()
				} else {
					h.accept()
				}
				got, ok := h.send()
				require.True(t, ok)
				require.EqualValues(t, c.want, got.Options.MSS)
			})
		}
	}
}

func (h *harness) v6() {
	h.id = tcp.ID{
		Local:  netip.MustParseAddrPort("[2001:db8::1]:4321"),
		Remote: netip.MustParseAddrPort("[2001:db8::2]:80"),
	}
}

// RFC 9293 MUST-15, 3.7.1: "If an MSS Option is not received at connection
// setup, TCP implementations MUST assume a default send MSS of 536 (576 - 40) for IPv4 or 1220 (1280 - 60) for IPv6"
// An option that says zero is as good as none.
func TestDefaultSendMSS(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		for _, active := range []bool{false, true} {
			h := newHarness(t)
			want := 536
			if v6 {
				h.v6()
				want = 1220
			}
			h.peer = Options{}
			h.cfg.NoDelay = true
			if active {
				h.establishActive()
			} else {
				h.establish()
			}
			require.Equal(t, want, h.c.Info().SendMSS)
			h.write(pattern(2 * want))
			h.want(TCP{Seq: 1, Ack: 1, Flags: ACK}, pattern(2 * want)[:want])
		}
	}
}

// RFC 9293 MUST-16, 3.7.1: "The maximum size of a segment that a TCP endpoint
// really sends, the 'effective send MSS', MUST be the smaller"
func TestEffectiveSendMSS(t *testing.T) {
	for _, c := range []struct{ peer, mtu, want int }{
		{1460, 1480, 1460}, {1000, 1480, 1000}, {9000, 1480, 1460}, {65535, 1480, 1460}, {536, 8980, 536}, {8960, 8980, 8960},
	} {
		each(t, func(t *testing.T, h *harness) {
			h.mtu, h.peer.MSS = c.mtu, uint16(c.peer)
			h.establish()
			data := pattern(2 * c.want) // the initial window, at least
			h.write(data)
			for i := range uint32(2) {
				h.want(TCP{Seq: 1 + i*uint32(c.want), Ack: 1, Flags: ACK}, data[i*uint32(c.want):][:c.want])
			}
			h.wantNone()
		})
	}
}

// A peer that announces a silly MSS must not cost us a segment per byte, nor
// make us divide by zero: the data arrives in a bounded number of segments.
func TestTinyMSS(t *testing.T) {
	for _, mss := range []uint16{1, 2, 7, 40, 48, 63, 64, 88, 100} {
		for _, ts := range []bool{false, true} {
			each(t, func(t *testing.T, h *harness) {
				h.peer = Options{MSS: mss, HasTimestamps: ts}
				h.establish()
				h.write(pattern(400))
				h.pump()
				require.Zero(t, h.c.Out.Len(), "all was sent and acknowledged")
				require.Positive(t, h.c.Info().SendMSS)
			})
		}
	}
}

// RFC 7323 1.3, 3.2; RFC 2018 2: every combination of what either side wants.
func TestOptionsNegotiation(t *testing.T) {
	for bits := range 1 << 6 {
		on := func(i int) bool { return bits>>i&1 != 0 }
		active, noTS, noWS := on(0), on(1), on(2)
		peer := Options{MSS: 1400, HasTimestamps: on(3), HasWindowScale: on(4), SACKPermitted: on(5)}
		if peer.HasWindowScale {
			peer.WindowScale = 3
		}
		name := fmt.Sprintf("active=%v,noTS=%v,noWS=%v,peer ts=%v ws=%v sack=%v", active, noTS, noWS,
			peer.HasTimestamps, peer.HasWindowScale, peer.SACKPermitted)
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			h.cfg.NoTimestamps, h.cfg.NoWindowScale = noTS, noWS
			h.peer = peer
			if active {
				h.connect()
				syn := h.want(TCP{Flags: SYN})
				require.Equal(t, !noTS, syn.Options.HasTimestamps)
				require.Equal(t, !noWS, syn.Options.HasWindowScale)
				h.advance(roundTrip)
				answer := peer // a peer answers only what it was offered
				answer.HasTimestamps = peer.HasTimestamps && !noTS
				answer.HasWindowScale = peer.HasWindowScale && !noWS
				h.in(TCP{Ack: 1, Flags: SYN | ACK, Options: answer})
				h.want(TCP{Seq: 1, Ack: 1, Flags: ACK})
			} else {
				h.accept()
				syn := h.want(TCP{Ack: 1, Flags: SYN | ACK})
				require.Equal(t, !noTS && peer.HasTimestamps, syn.Options.HasTimestamps)
				require.Equal(t, !noWS && peer.HasWindowScale, syn.Options.HasWindowScale)
				if !peer.SACKPermitted {
					require.False(t, syn.Options.SACKPermitted)
				}
				h.advance(roundTrip)
				h.in(TCP{Seq: 1, Ack: 1, Flags: ACK})
			}
			h.wantState(tcp.StateEstablished)
			info := h.c.Info()
			require.Equal(t, !noTS && peer.HasTimestamps, info.Timestamps)
			require.Equal(t, !noWS && peer.HasWindowScale, info.WindowScaling)
			if info.WindowScaling {
				require.EqualValues(t, 3, info.SendScale)
				require.Equal(t, h.own.WindowScale, info.RecvScale)
			} else {
				require.Zero(t, info.SendScale)
				require.Zero(t, info.RecvScale)
			}
			h.write(pattern(3000))
			h.pump()
			require.Zero(t, h.c.Out.Len())
			h.in(TCP{Seq: 1, Ack: 3001, Flags: ACK}, "answer")
			h.want(TCP{Seq: 3001, Ack: 7, Flags: ACK})
			h.wantRead("answer")
		})
	}
}

// RFC 6298 2.1, 5.5: the SYN goes again after 1, 3, 7, 15, ... seconds, and by
// RFC 9293 MUST-22, 3.8.3, "including notification of the application layer", this tells the user at the end. MaxRTO bounds the steps.
func TestSYNRetransmission(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.cfg.SynRetries = 7
		h.to(tcp.StateSynSent)
		for _, s := range []int{1, 2, 4, 8, 16, 32, 60} {
			h.wantAfter(time.Duration(s)*time.Second, TCP{Flags: SYN})
			h.wantNone()
		}
		h.quiet(60*time.Second - tolerance)
		h.wantState(tcp.StateSynSent)
		h.quiet(2 * tolerance)
		h.wantClosed(errno.TimedOut)
	})
}

// The limit is what the config says, and options are repeated as they were.
func TestSYNRetries(t *testing.T) {
	for _, n := range []int{1, 2, 3} {
		h := newHarness(t)
		h.cfg.SynRetries = n
		h.connect()
		first := h.want(TCP{Flags: SYN})
		d := time.Second
		for range n {
			again := h.wantAfter(d, TCP{Flags: SYN})
			first.Options.TSVal, again.Options.TSVal = 0, 0
			require.Equal(t, first.Options, again.Options)
			d *= 2
		}
		h.quiet(d + tolerance)
		h.wantClosed(errno.TimedOut)
	}
}

// RFC 9293 MUST-23, 3.8.3: "R2 for a SYN segment MUST be set large enough to
// provide retransmission of the segment for at least 3 minutes"
func TestSYNForThreeMinutes(t *testing.T) {
	h := newHarness(t)
	h.to(tcp.StateSynSent)
	end := h.now.Add(3 * time.Minute)
	for h.now < end {
		if _, ok := h.next(end.Sub(h.now)); !ok {
			break
		}
	}
	h.wantState(tcp.StateSynSent)
	for range burst {
		if _, ok := h.next(time.Hour); !ok {
			break
		}
	}
	h.wantClosed(errno.TimedOut)
}

// The handshake's answer goes again after 1, 3, 7, ... seconds until the
// limit; the connection then goes away.
func TestSYNACKRetransmission(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.to(tcp.StateSynReceived)
		d := time.Second
		for range 5 {
			h.wantAfter(d, TCP{Ack: 1, Flags: SYN | ACK})
			d *= 2
		}
		h.quiet(d + tolerance)
		h.wantState(tcp.StateClosed)
		h.wantEvents(tcp.EventClosed)
		require.False(t, h.c.Deadline().IsSet())
	})
}

// The late acknowledgment of a repeated SYN,ACK still opens the connection.
func TestLateACKOfSYNACK(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.to(tcp.StateSynReceived)
		h.wantAfter(time.Second, TCP{Ack: 1, Flags: SYN | ACK})
		h.in(TCP{Seq: 1, Ack: 1, Flags: ACK}, "hello")
		h.wantState(tcp.StateEstablished)
		h.want(TCP{Seq: 1, Ack: 6, Flags: ACK})
		h.wantRead("hello")
		h.quiet(time.Minute)
	})
}

// RFC 9293 3.10.7.4, first: the SYN comes again because our SYN,ACK was lost.
// It is out of the window and is acknowledged; that does no harm.
func TestSYNAgainInSynReceived(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.to(tcp.StateSynReceived)
		for range 3 {
			h.advance(time.Second / 2)
			h.in(TCP{Flags: SYN, Options: h.peer})
			h.wantState(tcp.StateSynReceived)
			for _, s := range h.all() {
				require.Contains(t, []wire.TCPFlags{ACK, SYN | ACK}, s.Flags)
				require.EqualValues(t, 1, s.Ack)
			}
		}
		h.in(TCP{Seq: 1, Ack: 1, Flags: ACK})
		h.wantState(tcp.StateEstablished)
	})
}

// RFC 9293 3.10.7.4, fifth, SYN-RECEIVED: "If the segment acknowledgment is
// not acceptable, form a reset segment <SEQ=SEG.ACK><CTL=RST> and send it."
func TestBadACKInSynReceived(t *testing.T) {
	for _, ack := range []uint32{0, 2, 1000, 1 << 31} {
		t.Run(fmt.Sprint(ack), func(t *testing.T) {
			each(t, func(t *testing.T, h *harness) {
				h.to(tcp.StateSynReceived)
				_, d := h.in(TCP{Seq: 1, Ack: ack, Flags: ACK}, "evil")
				require.Equal(t, wire.DropBadAck, d)
				h.want(TCP{Seq: ack, Flags: RST})
				h.wantNone()
				h.wantState(tcp.StateSynReceived)
				require.Zero(t, h.c.In.Len())
				h.in(TCP{Seq: 1, Ack: 1, Flags: ACK})
				h.wantState(tcp.StateEstablished)
			})
		})
	}
}

// RFC 9293 3.10.7.4: what the opening ACK carries is processed at once.
func TestOpeningACKCarriesMore(t *testing.T) {
	t.Run("data", func(t *testing.T) {
		each(t, func(t *testing.T, h *harness) {
			h.to(tcp.StateSynReceived)
			h.in(TCP{Seq: 1, Ack: 1, Flags: ACK}, "hello")
			h.wantState(tcp.StateEstablished)
			h.want(TCP{Seq: 1, Ack: 6, Flags: ACK})
			h.wantRead("hello")
			h.wantEvents(tcp.EventConnected | tcp.EventReadable)
		})
	})
	t.Run("fin", func(t *testing.T) {
		each(t, func(t *testing.T, h *harness) {
			h.to(tcp.StateSynReceived)
			h.in(TCP{Seq: 1, Ack: 1, Flags: FIN | ACK}, "bye")
			h.wantState(tcp.StateCloseWait)
			h.want(TCP{Seq: 1, Ack: 5, Flags: ACK})
			h.wantRead("bye")
			h.wantEvents(tcp.EventConnected | tcp.EventReadable | tcp.EventPeerClosed)
		})
	})
	t.Run("out of order data", func(t *testing.T) {
		each(t, func(t *testing.T, h *harness) {
			h.to(tcp.StateSynReceived)
			h.in(TCP{Seq: 6, Ack: 1, Flags: ACK}, "world")
			h.wantState(tcp.StateEstablished)
			h.want(TCP{Seq: 1, Ack: 1, Flags: ACK})
			h.in(TCP{Seq: 1, Ack: 1, Flags: ACK}, "hello")
			h.want(TCP{Seq: 1, Ack: 11, Flags: ACK})
			h.wantRead("helloworld")
		})
	})
}

// RFC 9293 3.10.2: "SYN-SENT STATE, SYN-RECEIVED STATE: Queue the data for
// transmission after entering ESTABLISHED state."
func TestEarlyWrite(t *testing.T) {
	t.Run("syn-sent", func(t *testing.T) {
		each(t, func(t *testing.T, h *harness) {
			h.to(tcp.StateSynSent)
			h.write("hello")
			h.wantNone()
			h.in(TCP{Ack: 1, Flags: SYN | ACK, Options: h.peer})
			var sent string
			for _, s := range h.all() {
				require.Equal(t, ACK, s.Flags&^PSH)
				sent += s.data
			}
			require.Equal(t, "hello", sent)
		})
	})
	t.Run("syn-received", func(t *testing.T) {
		each(t, func(t *testing.T, h *harness) {
			h.to(tcp.StateSynReceived)
			h.write("hello")
			h.wantNone()
			h.in(TCP{Seq: 1, Ack: 1, Flags: ACK})
			h.want(TCP{Seq: 1, Ack: 1, Flags: ACK}, "hello")
			h.wantNone()
		})
	})
}

// RFC 9293 3.10.4: CLOSE in SYN-SENT deletes the connection; in SYN-RECEIVED
// what was queued, and the FIN, go out after the handshake at the latest.
func TestEarlyClose(t *testing.T) {
	t.Run("syn-sent", func(t *testing.T) {
		each(t, func(t *testing.T, h *harness) {
			h.to(tcp.StateSynSent)
			h.close()
			h.wantState(tcp.StateClosed)
			h.wantEvents(tcp.EventClosed)
			h.wantNone()
			require.False(t, h.c.Deadline().IsSet())
		})
	})
	for _, data := range []string{"", "last words"} {
		t.Run("syn-received "+data, func(t *testing.T) {
			each(t, func(t *testing.T, h *harness) {
				h.to(tcp.StateSynReceived)
				if data != "" {
					h.write(data)
				}
				h.closeWrite()
				segs := h.all()
				h.in(TCP{Seq: 1, Ack: 1, Flags: ACK})
				segs = append(segs, h.all()...)
				h.wantState(tcp.StateFinWait1)
				require.NotEmpty(t, segs)
				last := segs[len(segs)-1]
				require.True(t, last.Flags.Has(FIN))
				n := uint32(len(data))
				h.in(TCP{Seq: 1, Ack: 2 + n, Flags: ACK})
				h.wantState(tcp.StateFinWait2)
			})
		})
	}
}

// RFC 9293 3.10.5: ABORT before the connection is synchronised.
func TestEarlyAbort(t *testing.T) {
	t.Run("syn-sent", func(t *testing.T) {
		each(t, func(t *testing.T, h *harness) {
			h.to(tcp.StateSynSent)
			h.abort()
			h.wantClosed(errno.ConnAborted)
		})
	})
	t.Run("syn-received", func(t *testing.T) {
		each(t, func(t *testing.T, h *harness) {
			h.to(tcp.StateSynReceived)
			h.abort()
			h.wantReset(1, 1)
			h.wantClosed(errno.ConnAborted)
		})
	})
}

// wantReset demands a reset with SND.NXT as its number; an acknowledgment is
// allowed if it is right.
func (h *harness) wantReset(seq, ack uint32) {
	h.t.Helper()
	got, ok := h.send()
	if !ok {
		h.fail("no reset was sent")
	}
	if got.Flags&^ACK != RST || got.Seq != seq || len(got.data) > 0 || got.Flags.Has(ACK) && got.Ack != ack {
		h.fail("wrong segment\nwant a reset, seq %d\ngot  %s", seq, show(&got.TCP, got.data))
	}
}

// RFC 9293 SHLD-26, 3.9.2.2: hard errors "SHOULD abort the connection"; only
// while it opens, as RFC 5461 4.1 explains. MUST-54: they reach the connection.
func TestHardErrorWhileOpening(t *testing.T) {
	for _, e := range []errno.Errno{errno.ConnRefused, errno.ProtoNoSupport} {
		for _, s := range allStates[:2] {
			t.Run(fmt.Sprintf("%v in %v", e, s), func(t *testing.T) {
				h := newHarness(t)
				h.to(s)
				h.c.Unreachable(h.now, e)
				h.wantClosed(e)
			})
		}
	}
}

// RFC 5461 4.1: the user of an active open hears of any error at once, and can
// try another address.
func TestSoftErrorInSynSent(t *testing.T) {
	for _, e := range []errno.Errno{errno.HostUnreach, errno.NetUnreach} {
		h := newHarness(t)
		h.to(tcp.StateSynSent)
		h.c.Unreachable(h.now, e)
		h.wantClosed(e)
	}
}

// RFC 9293 MUST-56, 3.9.2.2: "Since these Unreachable messages indicate soft
// error conditions, a TCP implementation MUST NOT abort the connection".
// SHLD-25, MUST-47: a soft error is the reason that is given later, and what is
// followed by success is forgotten.
func TestSoftErrorInSynReceived(t *testing.T) {
	h := newHarness(t)
	h.cfg.RetransmitLimit = 3
	h.to(tcp.StateSynReceived)
	h.c.Unreachable(h.now, errno.HostUnreach)
	h.wantState(tcp.StateSynReceived)
	require.Equal(t, errno.OK, h.c.Err())
	h.in(TCP{Seq: 1, Ack: 1, Flags: ACK, Window: 65535})
	h.wantState(tcp.StateEstablished)
	require.Equal(t, errno.OK, h.c.Err())
	h.write("x")
	for range 100 {
		h.next(time.Hour)
	}
	h.wantClosed(errno.TimedOut)
}

// RFC 9293 3.10.7.1: the form of a reset where there is no connection.
func TestReset(t *testing.T) {
	for _, c := range []struct {
		name string
		in   TCP
		n    int
		want TCP
		no   bool
	}{
		{name: "ack", in: TCP{Seq: 100, Ack: 200, Flags: ACK}, want: TCP{Seq: 200, Flags: RST}},
		{name: "syn", in: TCP{Seq: 100, Flags: SYN}, want: TCP{Ack: 101, Flags: RST | ACK}},
		{name: "syn wraps", in: TCP{Seq: 0xffff_ffff, Flags: SYN}, want: TCP{Ack: 0, Flags: RST | ACK}},
		{name: "data, no ack", in: TCP{Seq: 100}, n: 10, want: TCP{Ack: 110, Flags: RST | ACK}},
		{name: "syn, fin, data", in: TCP{Seq: 100, Flags: SYN | FIN}, n: 10, want: TCP{Ack: 112, Flags: RST | ACK}},
		{name: "syn,ack", in: TCP{Seq: 100, Ack: 200, Flags: SYN | ACK}, want: TCP{Seq: 200, Flags: RST}},
		{name: "fin,ack,data", in: TCP{Seq: 100, Ack: 200, Flags: FIN | ACK}, n: 3, want: TCP{Seq: 200, Flags: RST}},
		{name: "reset", in: TCP{Seq: 100, Flags: RST}, no: true},
		{name: "reset,ack", in: TCP{Seq: 100, Ack: 1, Flags: RST | ACK}, no: true},
		{name: "reset,syn", in: TCP{Seq: 100, Flags: RST | SYN}, no: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.in.SrcPort, c.in.DstPort = 7, 9
			c.in.Options = Options{MSS: 9, HasTimestamps: true, TSVal: 1}
			c.in.Window, c.in.Urgent, c.in.Checksum = 10, 11, 12
			out := TCP{Window: 99, Options: Options{MSS: 8}, Urgent: 9, Checksum: 3} // garbage of an earlier use
			require.Equal(t, !c.no, tcp.Reset(&c.in, c.n, &out))
			if c.no {
				return
			}
			c.want.SrcPort, c.want.DstPort = 9, 7
			require.Equal(t, c.want, out)
		})
	}
}

// RFC 9293 3.10.7.2: LISTEN's look at a segment.
func TestCheckListen(t *testing.T) {
	for _, c := range []struct {
		flags  wire.TCPFlags
		action tcp.Action
		ok     bool
	}{
		{SYN, tcp.ActionNone, true},
		{SYN | PSH, tcp.ActionNone, true},
		{SYN | URG, tcp.ActionNone, true},
		{SYN | ECE | CWR, tcp.ActionNone, true}, // RFC 3168 6.1.1: an ECN-setup SYN
		{SYN | ECE | CWR | wire.AE, tcp.ActionNone, true},
		{ACK, tcp.ActionReset, false},
		{SYN | ACK, tcp.ActionReset, false},
		{FIN | ACK, tcp.ActionReset, false},
		{RST, tcp.ActionNone, false},
		{RST | ACK, tcp.ActionNone, false},
		{RST | SYN, tcp.ActionNone, false},
		{RST | SYN | ACK, tcp.ActionNone, false},
		{0, tcp.ActionNone, false},
		{FIN, tcp.ActionNone, false},
		{PSH | URG, tcp.ActionNone, false},
		{SYN | FIN, tcp.ActionNone, true}, // the FIN is left to come again
	} {
		t.Run(c.flags.String(), func(t *testing.T) {
			a, d := tcp.CheckListen(&TCP{Seq: 1, Flags: c.flags, Window: 100})
			require.Equal(t, c.action, a)
			require.Equal(t, c.ok, d == wire.DropNone, "%v", d)
		})
	}
}

// RFC 9293 MUST-8, 3.4.1: "A TCP implementation MUST use the above type of
// 'clock' for clock-driven selection of initial sequence numbers". MUST-9 and SHLD-1: its offset is secret and each connection's own.
func TestISN(t *testing.T) {
	id := tcp.ID{Local: netip.MustParseAddrPort("192.0.2.1:1"), Remote: netip.MustParseAddrPort("192.0.2.2:2")}
	key := [16]byte{1}
	src := tcp.NewISNSource(key)
	const tick = 4 * time.Microsecond // RFC 6528 3
	at := clock.Time(epoch)
	first := src.Next(at, id)
	require.Equal(t, first, src.Next(at, id), "same instant, same connection")
	require.Equal(t, first, tcp.NewISNSource(key).Next(at, id), "a function of the key")
	for _, n := range []int{1, 2, 1000, 1 << 20, 1 << 30} {
		got := src.Next(at.Add(time.Duration(n)*tick), id).Sub(first)
		require.Equal(t, n, got, "4 us per number")
	}
	other := id
	seen := map[tcp.Seq]bool{first: true}
	for port := range uint16(200) {
		other.Remote = netip.AddrPortFrom(id.Remote.Addr(), 1000+port)
		seen[src.Next(at, other)] = true
		other.Remote = id.Remote
		other.Local = netip.AddrPortFrom(id.Local.Addr(), 1000+port)
		seen[src.Next(at, other)] = true
		other.Local = id.Local
	}
	require.Len(t, seen, 401, "each connection has its own offset")
	require.NotEqual(t, first, tcp.NewISNSource([16]byte{2}).Next(at, id), "the key matters")
	swapped := tcp.ID{Local: id.Remote, Remote: id.Local}
	require.NotEqual(t, first, src.Next(at, swapped))
	v6 := tcp.ID{Local: netip.MustParseAddrPort("[::ffff:192.0.2.1]:1"), Remote: netip.MustParseAddrPort("[::ffff:192.0.2.2]:2")}
	_ = src.Next(at, v6) // mapped or not: no panic
	require.Zero(t, testing.AllocsPerRun(100, func() { src.Next(at, id) }))
}
