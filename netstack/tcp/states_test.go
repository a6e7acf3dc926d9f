package tcp_test

import (
	"testing"

	"smolnet/netstack/tcp"
)

// allStates are the states in which a connection can be found by a segment.
// CLOSED, LISTEN and, for its owner, TIME-WAIT have no Conn.
var allStates = []tcp.State{
	tcp.StateSynSent, tcp.StateSynReceived, tcp.StateEstablished, tcp.StateFinWait1, tcp.StateFinWait2,
	tcp.StateCloseWait, tcp.StateClosing, tcp.StateLastAck,
}

// synchronized are those in which both sides know each other's numbers, and
// SYN-RECEIVED, which 3.10.7.4 treats with them.
var synchronized = allStates[1:]

// established are those of a connection that was opened.
var established = allStates[2:]

// eachState runs f in each of states, with each of the initial numbers.
func eachState(t *testing.T, states []tcp.State, f func(t *testing.T, h *harness, s tcp.State)) {
	t.Helper()
	for _, s := range states {
		t.Run(s.String(), func(t *testing.T) {
			each(t, func(t *testing.T, h *harness) {
				h.to(s)
				f(t, h, s)
			})
		})
	}
}

// sentFIN, gotFIN: what happened before a state.
func sentFIN(s tcp.State) bool {
	switch s {
	case tcp.StateFinWait1, tcp.StateFinWait2, tcp.StateClosing, tcp.StateLastAck, tcp.StateTimeWait:
		return true
	}
	return false
}

func gotFIN(s tcp.State) bool {
	switch s {
	case tcp.StateCloseWait, tcp.StateClosing, tcp.StateLastAck, tcp.StateTimeWait:
		return true
	}
	return false
}

// ackedFIN: the peer has acknowledged our FIN.
func ackedFIN(s tcp.State) bool { return s == tcp.StateFinWait2 || s == tcp.StateTimeWait }

// nxt returns SND.NXT and RCV.NXT of a connection that went to s without data.
func nxt(s tcp.State) (snd, rcv uint32) {
	snd, rcv = 1, 1
	if sentFIN(s) {
		snd++
	}
	if gotFIN(s) {
		rcv++
	}
	return snd, rcv
}

// una returns the acknowledgment number of the peer's last segment in s.
func una(s tcp.State) uint32 {
	switch {
	case s == tcp.StateSynReceived:
		return 0
	case ackedFIN(s):
		return 2
	}
	return 1
}

// to brings a fresh connection to state s by the shortest way that a peer and
// a user have. The handshake takes a round trip; nothing is left to be sent.
func (h *harness) to(s tcp.State) {
	h.t.Helper()
	switch s {
	case tcp.StateSynSent:
		h.connect()
		h.want(TCP{Flags: SYN})
	case tcp.StateSynReceived:
		h.accept()
		h.want(TCP{Flags: SYN | ACK, Ack: 1})
	case tcp.StateEstablished:
		h.establish()
	case tcp.StateFinWait1:
		h.establish()
		h.closeWrite()
		h.want(TCP{Seq: 1, Ack: 1, Flags: FIN | ACK})
	case tcp.StateFinWait2:
		h.to(tcp.StateFinWait1)
		h.advance(roundTrip)
		h.in(TCP{Seq: 1, Ack: 2, Flags: ACK})
	case tcp.StateCloseWait:
		h.establish()
		h.in(TCP{Seq: 1, Ack: 1, Flags: FIN | ACK})
		h.want(TCP{Seq: 1, Ack: 2, Flags: ACK})
	case tcp.StateClosing:
		h.to(tcp.StateFinWait1)
		h.in(TCP{Seq: 1, Ack: 1, Flags: FIN | ACK})
		h.want(TCP{Seq: 2, Ack: 2, Flags: ACK})
	case tcp.StateLastAck:
		h.to(tcp.StateCloseWait)
		h.closeWrite()
		h.want(TCP{Seq: 1, Ack: 2, Flags: FIN | ACK})
	case tcp.StateTimeWait:
		h.to(tcp.StateFinWait2)
		h.in(TCP{Seq: 1, Ack: 2, Flags: FIN | ACK})
		h.want(TCP{Seq: 2, Ack: 2, Flags: ACK})
	default:
		h.fail("no way to %v", s)
	}
	h.wantState(s)
	h.wantNone()
	h.wantState(s)
}

// establish opens the connection passively.
func (h *harness) establish() {
	h.t.Helper()
	h.accept()
	h.want(TCP{Flags: SYN | ACK, Ack: 1})
	h.advance(roundTrip)
	h.in(TCP{Seq: 1, Ack: 1, Flags: ACK})
	h.wantNone()
	h.wantState(tcp.StateEstablished)
}

// establishActive opens the connection actively.
func (h *harness) establishActive() {
	h.t.Helper()
	h.to(tcp.StateSynSent)
	h.advance(roundTrip)
	h.in(TCP{Ack: 1, Flags: SYN | ACK, Options: h.peer})
	h.want(TCP{Seq: 1, Ack: 1, Flags: ACK})
	h.wantNone()
	h.wantState(tcp.StateEstablished)
}

// pump sends data from the user to the peer, who acknowledges each segment
// after a round trip, until nothing is left.
func (h *harness) pump() {
	h.t.Helper()
	for range burst {
		segs := h.all()
		if len(segs) == 0 {
			return
		}
		h.advance(roundTrip)
		for _, s := range segs {
			if len(s.data) > 0 {
				h.in(TCP{Seq: s.Ack, Ack: s.Seq + uint32(len(s.data)), Flags: ACK})
			}
		}
	}
	h.fail("the connection never stops sending")
}
