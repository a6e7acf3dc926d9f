package tcp_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/tcp"
	"smolnet/netstack/wire"
)

// RFC 5961 3.2: a blind attacker who sprays resets over the whole sequence
// space, one per window, must not hit but by the exact number.
func TestBlindReset(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.to(tcp.StateEstablished)
		for seq := uint64(2); seq < 1<<32; seq += 60_000 {
			h.in(TCP{Seq: uint32(seq), Flags: RST})
		}
		h.wantState(tcp.StateEstablished)
		challenges := h.all()
		require.Len(t, challenges, 1, "many in a turn are one")
		require.True(t, matches(&TCP{Seq: 1, Ack: 1, Flags: ACK}, "", &challenges[0]))
	})
}

// RFC 5961 3.2: the peer answers a challenge with the number that it was told;
// this is how a genuine reset works.
func TestChallengeAndReset(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.to(tcp.StateEstablished)
		h.in(TCP{Seq: 500, Flags: RST}) // genuine, after data that we never saw
		got := h.want(TCP{Seq: 1, Ack: 1, Flags: ACK})
		h.advance(roundTrip)
		h.in(TCP{Seq: got.Ack, Flags: RST})
		h.wantState(tcp.StateClosed)
	})
}

// RFC 5961 4.2: SYNs anywhere are challenged, and the connection goes on.
func TestBlindSYN(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.to(tcp.StateEstablished)
		for seq := uint64(0); seq < 1<<32; seq += 60_000 {
			_, d := h.in(TCP{Seq: uint32(seq), Flags: SYN})
			require.NotEqual(t, wire.DropNone, d)
		}
		h.want(TCP{Seq: 1, Ack: 1, Flags: ACK})
		h.wantNone()
		h.in(TCP{Seq: 1, Ack: 1, Flags: ACK}, "still here")
		h.wantRead("still here")
	})
}

// RFC 9293 3.10.7.4, fourth: "irrespective of the sequence number", and of what
// else the SYN lacks: a peer that has rebooted without timestamps finds out.
func TestSYNWithoutTimestamps(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.peer.HasTimestamps = true
		h.to(tcp.StateEstablished)
		for _, o := range []Options{{MSS: 1460}, {MSS: 1460, HasTimestamps: true, TSVal: 1}} {
			h.advance(time.Second)
			h.in(TCP{Seq: 1 << 20, Flags: SYN, Options: o})
			h.want(TCP{Seq: 1, Ack: 1, Flags: ACK})
			h.wantState(tcp.StateEstablished)
		}
	})
}

// RFC 5961 5.2: a segment whose acknowledgment is not acceptable leaves no
// trace; a timestamp from the far future that it brings must not make PAWS
// drop all that comes later.
func TestBlindTimestamp(t *testing.T) {
	for name, evil := range map[string]TCP{
		"bad ack": {Seq: 1, Ack: 1 << 30, Flags: ACK},
		"no ack":  {Seq: 1, Flags: PSH},
		"syn":     {Seq: 1, Flags: SYN},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, h *harness) {
				h.peer.HasTimestamps = true
				h.to(tcp.StateEstablished)
				evil.Options = Options{HasTimestamps: true, TSVal: h.peerClock() + 1<<30, TSEcr: h.tsVal}
				h.in(evil, "evil")
				h.all()
				h.in(TCP{Seq: 1, Ack: 1, Flags: ACK}, "good")
				h.want(TCP{Seq: 1, Ack: 5, Flags: ACK})
				h.wantRead("good")
			})
		})
	}
}

// RFC 5961 5.2: data with an acknowledgment that the attacker had to guess is
// taken only within ((SND.UNA - MAX.SND.WND) =< SEG.ACK =< SND.NXT).
func TestBlindInjection(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.window = 8000
		h.to(tcp.StateEstablished)
		h.write(pattern(4000))
		h.all()
		h.in(TCP{Seq: 1, Ack: 4001, Flags: ACK})
		rng := rand.New(rand.NewPCG(1, 2))
		for range 5000 {
			ack := rng.Uint32()
			if int32(ack-4001) <= 0 && int32(ack-4001) >= -8000 {
				continue
			}
			_, d := h.in(TCP{Seq: 1, Ack: ack, Flags: ACK, Window: 60000}, "evil")
			require.Contains(t, []wire.Drop{wire.DropBadAck, wire.DropRateLimited}, d)
			require.Zero(t, h.c.In.Len())
		}
		require.Equal(t, 8000, h.c.Info().SendWindow, "nor is its window believed")
		h.window = 8000
		for _, back := range []uint32{0, 1, 8000} {
			h.in(TCP{Seq: 1, Ack: 4001 - back, Flags: ACK}, "good")
		}
		h.wantRead("good")
	})
}

// RFC 5961 7: challenge ACKs are limited. Over the turns of a flood there are
// few; after it there are some again.
func TestChallengeACKLimit(t *testing.T) {
	for name, evil := range map[string]TCP{
		"syn":    {Seq: 77, Flags: SYN},
		"rst":    {Seq: 77, Flags: RST},
		"future": {Seq: 1, Ack: 5000, Flags: ACK},
		"past":   {Seq: 1, Ack: 1 << 31, Flags: ACK},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			h.to(tcp.StateEstablished)
			flood := func() (answers int) {
				for range 2000 { // two seconds
					h.in(evil)
					answers += len(h.all())
					h.advance(time.Millisecond)
				}
				return answers
			}
			n := flood()
			require.Positive(t, n)
			require.LessOrEqual(t, n, 10, "the example of RFC 5961 7: ten in five seconds")
			h.advance(10 * time.Second)
			require.Positive(t, flood())
			h.wantState(tcp.StateEstablished)
		})
	}
}

// A limit that an attacker can exhaust must not keep the connection from
// working: duplicates, data and their acknowledgments are not challenges.
func TestLimitDoesNotStarve(t *testing.T) {
	h := newHarness(t)
	h.to(tcp.StateEstablished)
	next := uint32(1)
	for i := range 1000 {
		h.in(TCP{Seq: 77, Flags: SYN})
		h.in(TCP{Seq: next + 99, Flags: RST})
		h.all()
		h.in(TCP{Seq: next, Ack: 1, Flags: ACK}, "x")
		next++
		h.want(TCP{Seq: 1, Ack: next, Flags: ACK})
		if i%10 == 0 {
			h.advance(time.Millisecond)
		}
	}
	// a gap: duplicate acknowledgments are what makes the peer retransmit
	for range 5 {
		h.in(TCP{Seq: next + 1, Ack: 1, Flags: ACK}, "y")
		h.all()
	}
	h.in(TCP{Seq: next, Ack: 1, Flags: ACK}, "z")
	h.want(TCP{Seq: 1, Ack: next + 2, Flags: ACK})
}

// Two connections that acknowledge each other's bad acknowledgments must not
// do so for ever (an "ACK storm"): both challenge, at a bounded rate.
func TestACKStorm(t *testing.T) {
	h := newHarness(t)
	h.to(tcp.StateEstablished)
	n := 0
	for range 5000 {
		h.in(TCP{Seq: 1 << 20, Ack: 1 << 20, Flags: ACK})
		answers := h.all()
		if len(answers) == 0 {
			break
		}
		n += len(answers)
		h.advance(time.Microsecond)
	}
	require.Less(t, n, 200)
}

// Every flag combination, at interesting numbers, in every state: nothing but
// an exact RST, or what belongs there, ends a connection.
func TestAllFlags(t *testing.T) {
	for _, s := range established {
		for flags := range wire.TCPFlags(1 << 9) {
			h := newHarness(t)
			h.to(s)
			snd, rcv := nxt(s)
			for _, seq := range []uint32{rcv - 1, rcv + 1, rcv + 70_000, rcv + 1<<31} {
				for _, ack := range []uint32{snd - 70_000, snd + 1, snd + 1<<31} {
					h.in(TCP{Seq: seq, Ack: ack, Flags: flags, Urgent: 9}, "x")
					for _, got := range h.all() {
						if got.Flags.Has(RST) {
							h.fail("%v was answered by a reset", flags)
						}
					}
				}
			}
			if h.c.State() != s {
				h.fail("%v: state %v, not %v", flags, h.c.State(), s)
			}
			require.Zero(t, h.c.In.Len(), fmt.Sprint(flags))
		}
	}
}
