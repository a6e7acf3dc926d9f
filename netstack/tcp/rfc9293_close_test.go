package tcp_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/errno"
	"smolnet/netstack/tcp"
	"smolnet/netstack/wire"
)

// RFC 9293 3.6, figure 12, the left side: the user closes first.
func TestNormalClose(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.to(tcp.StateEstablished)
		h.closeWrite()
		h.want(TCP{Seq: 1, Ack: 1, Flags: FIN | ACK})
		h.wantNone()
		h.wantState(tcp.StateFinWait1)
		h.in(TCP{Seq: 1, Ack: 2, Flags: ACK})
		h.wantState(tcp.StateFinWait2)
		h.wantEvents(tcp.EventFinAcked)
		h.wantNone()
		require.False(t, h.c.Deadline().IsSet(), "the peer may take its time")
		h.in(TCP{Seq: 1, Ack: 2, Flags: FIN | ACK})
		h.want(TCP{Seq: 2, Ack: 2, Flags: ACK})
		h.wantNone()
		h.wantState(tcp.StateTimeWait)
		h.wantEvents(tcp.EventPeerClosed | tcp.EventTimeWait)
		require.Equal(t, errno.OK, h.c.Err())
	})
}

// RFC 9293 3.6, figure 12, the right side: the peer closes first. MUST-12: "the
// local application MUST be informed whether it closed normally or was aborted"
func TestNormalCloseByPeer(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.to(tcp.StateEstablished)
		h.in(TCP{Seq: 1, Ack: 1, Flags: FIN | ACK})
		h.want(TCP{Seq: 1, Ack: 2, Flags: ACK})
		h.wantState(tcp.StateCloseWait)
		h.wantEvents(tcp.EventPeerClosed)
		require.Equal(t, errno.OK, h.c.Err())
		h.closeWrite()
		h.want(TCP{Seq: 1, Ack: 2, Flags: FIN | ACK})
		h.wantNone()
		h.wantState(tcp.StateLastAck)
		h.in(TCP{Seq: 2, Ack: 2, Flags: ACK})
		h.wantClosed(nil)
	})
}

// RFC 9293 3.6, figure 13: both close at once.
func TestSimultaneousClose(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.to(tcp.StateEstablished)
		h.closeWrite()
		h.want(TCP{Seq: 1, Ack: 1, Flags: FIN | ACK})
		h.in(TCP{Seq: 1, Ack: 1, Flags: FIN | ACK})
		h.wantState(tcp.StateClosing)
		h.want(TCP{Seq: 2, Ack: 2, Flags: ACK})
		h.wantNone()
		h.in(TCP{Seq: 2, Ack: 2, Flags: ACK})
		h.wantState(tcp.StateTimeWait)
		h.wantEvents(tcp.EventTimeWait | tcp.EventPeerClosed)
		h.wantNone()
	})
}

// RFC 9293 3.10.7.4, fifth, CLOSING: "if the ACK acknowledges our FIN, then
// enter the TIME-WAIT state; otherwise, ignore the segment."
func TestClosingIgnoresOthers(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.to(tcp.StateClosing)
		h.in(TCP{Seq: 2, Ack: 1, Flags: ACK})
		h.wantState(tcp.StateClosing)
		h.wantNone()
		h.in(TCP{Seq: 2, Ack: 2, Flags: ACK})
		h.wantState(tcp.StateTimeWait)
	})
}

// RFC 9293 3.6.1: "a host is permitted to continue sending data in the open
// direction on a half-closed connection." Here it is the peer.
func TestHalfCloseByUser(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.to(tcp.StateFinWait1)
		h.in(TCP{Seq: 1, Ack: 1, Flags: ACK}, "in fin-wait-1,")
		h.want(TCP{Seq: 2, Ack: 15, Flags: ACK})
		h.in(TCP{Seq: 15, Ack: 2, Flags: ACK}, "with the ack,")
		h.wantState(tcp.StateFinWait2)
		h.want(TCP{Seq: 2, Ack: 28, Flags: ACK})
		h.advance(time.Hour)
		h.in(TCP{Seq: 28, Ack: 2, Flags: ACK}, "in fin-wait-2")
		h.want(TCP{Seq: 2, Ack: 41, Flags: ACK})
		h.wantRead("in fin-wait-1,with the ack,in fin-wait-2")
		h.in(TCP{Seq: 41, Ack: 2, Flags: FIN | ACK}, "!")
		h.want(TCP{Seq: 2, Ack: 43, Flags: ACK})
		h.wantState(tcp.StateTimeWait)
		h.wantRead("!")
	})
}

// RFC 9293 3.10.2, 3.10.4: in CLOSE-WAIT the user still sends, for as long as
// it likes, and closes after that.
func TestHalfCloseByPeer(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.to(tcp.StateCloseWait)
		h.advance(time.Hour)
		h.write("more")
		h.want(TCP{Seq: 1, Ack: 2, Flags: ACK}, "more")
		h.in(TCP{Seq: 2, Ack: 5, Flags: ACK})
		h.wantState(tcp.StateCloseWait)
		h.quiet(24 * time.Hour)
		h.write(pattern(2 * ethMSS))
		h.closeWrite()
		h.want(TCP{Seq: 5, Ack: 2, Flags: ACK}, pattern(2 * ethMSS)[:ethMSS])
		h.want(TCP{Seq: 5 + ethMSS, Ack: 2, Flags: FIN | ACK}, pattern(2 * ethMSS)[ethMSS:])
		h.wantNone()
		h.wantState(tcp.StateLastAck)
		h.in(TCP{Seq: 2, Ack: 5 + ethMSS, Flags: ACK})
		h.wantState(tcp.StateLastAck)
		h.in(TCP{Seq: 2, Ack: 6 + 2*ethMSS, Flags: ACK})
		h.wantClosed(nil)
	})
}

// RFC 9293 3.10.4: "Queue this until all preceding SENDs have been segmentized,
// then form a FIN segment and send it." The FIN waits for the window.
func TestCloseWithDataQueued(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.window = 2 * ethMSS
		h.to(tcp.StateEstablished)
		data := pattern(5 * ethMSS)
		h.write(data)
		h.closeWrite()
		h.want(TCP{Seq: 1, Ack: 1, Flags: ACK}, data[:ethMSS])
		h.want(TCP{Seq: 1 + ethMSS, Ack: 1, Flags: ACK}, data[ethMSS:2*ethMSS])
		h.wantNone()
		h.in(TCP{Seq: 1, Ack: 1 + 2*ethMSS, Flags: ACK})
		h.want(TCP{Seq: 1 + 2*ethMSS, Ack: 1, Flags: ACK}, data[2*ethMSS:3*ethMSS])
		h.want(TCP{Seq: 1 + 3*ethMSS, Ack: 1, Flags: ACK}, data[3*ethMSS:4*ethMSS])
		h.wantNone()
		h.in(TCP{Seq: 1, Ack: 1 + 4*ethMSS, Flags: ACK})
		h.want(TCP{Seq: 1 + 4*ethMSS, Ack: 1, Flags: FIN | ACK | PSH}, data[4*ethMSS:])
		h.wantNone()
		h.wantState(tcp.StateFinWait1)
		h.in(TCP{Seq: 1, Ack: 1 + 5*ethMSS, Flags: ACK})
		h.wantState(tcp.StateFinWait1)
		h.in(TCP{Seq: 1, Ack: 2 + 5*ethMSS, Flags: ACK})
		h.wantState(tcp.StateFinWait2)
	})
}

// The window has room for the data and the FIN, exactly, or for one less.
func TestFINAtTheEdge(t *testing.T) {
	for _, room := range []int{101, 100} {
		each(t, func(t *testing.T, h *harness) {
			h.window = uint16(room)
			h.to(tcp.StateEstablished)
			h.write(pattern(100))
			h.closeWrite()
			fin := FIN
			if room == 100 {
				fin = 0
			}
			h.want(TCP{Seq: 1, Ack: 1, Flags: ACK | fin}, pattern(100))
			h.wantNone()
			if room == 100 {
				h.in(TCP{Seq: 1, Ack: 101, Flags: ACK})
				h.want(TCP{Seq: 101, Ack: 1, Flags: FIN | ACK})
			}
			h.in(TCP{Seq: 1, Ack: 102, Flags: ACK})
			h.wantState(tcp.StateFinWait2)
		})
	}
}

// RFC 9293 3.10.4, FIN-WAIT: an "ok" response would be acceptable, too, as long
// as a second FIN is not emitted.
func TestCloseIsIdempotent(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.to(tcp.StateEstablished)
		for range 3 {
			h.closeWrite()
		}
		h.want(TCP{Seq: 1, Ack: 1, Flags: FIN | ACK})
		h.closeWrite()
		h.wantNone()
		h.in(TCP{Seq: 1, Ack: 2, Flags: ACK})
		h.closeWrite()
		h.close()
		h.close()
		h.wantNone()
		h.wantState(tcp.StateFinWait2)
		h.in(TCP{Seq: 1, Ack: 2, Flags: FIN | ACK})
		h.want(TCP{Seq: 2, Ack: 2, Flags: ACK})
		h.closeWrite()
		h.close()
		h.wantNone()
		h.wantState(tcp.StateTimeWait)
	})
}

// RFC 9293 3.6: "All segments preceding and including FIN will be retransmitted
// until acknowledged."
func TestFINRetransmission(t *testing.T) {
	eachState(t, []tcp.State{tcp.StateFinWait1, tcp.StateClosing, tcp.StateLastAck}, func(t *testing.T, h *harness, s tcp.State) {
		_, rcv := nxt(s)
		rto := h.c.Info().RTO
		for range 4 {
			h.wantAfter(rto, TCP{Seq: 1, Ack: rcv, Flags: FIN | ACK})
			h.wantNone()
			rto *= 2
		}
		h.wantState(s)
		h.in(TCP{Seq: rcv, Ack: 2, Flags: ACK})
		switch s {
		case tcp.StateFinWait1:
			h.wantState(tcp.StateFinWait2)
		case tcp.StateClosing:
			h.wantState(tcp.StateTimeWait)
		case tcp.StateLastAck:
			h.wantClosed(nil)
		}
	})
}

// The FIN is lost together with the data before it; the peer got neither.
func TestFINRetransmittedWithData(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.to(tcp.StateEstablished)
		h.write("goodbye")
		h.closeWrite()
		h.want(TCP{Seq: 1, Ack: 1, Flags: FIN | ACK}, "goodbye")
		h.wantAfter(h.c.Info().RTO, TCP{Seq: 1, Ack: 1, Flags: FIN | ACK}, "goodbye")
		h.in(TCP{Seq: 1, Ack: 8, Flags: ACK}) // the data without the FIN
		h.wantState(tcp.StateFinWait1)
		got, ok := h.next(time.Minute)
		require.True(t, ok)
		require.Equal(t, FIN|ACK, got.Flags&^PSH)
		require.EqualValues(t, 8, got.Seq+uint32(len(got.data)))
		h.in(TCP{Seq: 1, Ack: 9, Flags: ACK})
		h.wantState(tcp.StateFinWait2)
	})
}

// RFC 9293 SHLD-3, 3.6.1: "If such a host issues a CLOSE call while received
// data is still pending in the TCP connection ... its TCP implementation SHOULD send a RST"; RFC 2525 2.17.
func TestCloseWithUnreadData(t *testing.T) {
	for _, s := range []tcp.State{tcp.StateEstablished, tcp.StateFinWait1, tcp.StateFinWait2} {
		t.Run(s.String(), func(t *testing.T) {
			eachState(t, []tcp.State{s}, func(t *testing.T, h *harness, s tcp.State) {
				snd, _ := nxt(s)
				h.in(TCP{Seq: 1, Ack: una(s), Flags: ACK}, "unread")
				h.all()
				h.close()
				h.wantReset(snd, 7)
				h.wantNone()
				h.wantState(tcp.StateClosed)
				h.wantEvents(tcp.EventClosed)
				require.False(t, h.c.Deadline().IsSet())
			})
		})
	}
	t.Run("close-wait", func(t *testing.T) {
		each(t, func(t *testing.T, h *harness) {
			h.to(tcp.StateEstablished)
			h.in(TCP{Seq: 1, Ack: 1, Flags: FIN | ACK}, "unread")
			h.all()
			h.close()
			h.wantReset(1, 8)
			h.wantState(tcp.StateClosed)
		})
	})
}

// RFC 9293 SHLD-3, 3.6.1: "or if new data is received after CLOSE is called,
// its TCP implementation SHOULD send a RST to show that data was lost"
func TestDataAfterClose(t *testing.T) {
	for _, acked := range []bool{false, true} {
		t.Run(fmt.Sprint("fin acked=", acked), func(t *testing.T) {
			each(t, func(t *testing.T, h *harness) {
				h.to(tcp.StateEstablished)
				h.close()
				h.want(TCP{Seq: 1, Ack: 1, Flags: FIN | ACK})
				ack := uint32(1)
				if acked {
					ack = 2
					h.in(TCP{Seq: 1, Ack: 2, Flags: ACK})
					h.wantState(tcp.StateFinWait2)
				}
				h.in(TCP{Seq: 1, Ack: ack, Flags: ACK}, "too late")
				got, ok := h.send()
				require.True(t, ok)
				require.True(t, got.Flags.Has(RST), "%v", got.Flags)
				require.Contains(t, []uint32{ack, 2}, got.Seq)
				h.wantNone()
				h.wantState(tcp.StateClosed)
				require.False(t, h.c.Deadline().IsSet())
			})
		})
	}
}

// What is no new data does not reset a connection that the user has closed:
// probes of old bytes, and the peer's FIN.
func TestNoDataAfterClose(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.to(tcp.StateEstablished)
		h.in(TCP{Seq: 1, Ack: 1, Flags: ACK}, "read")
		h.all()
		h.wantRead("read")
		h.close()
		h.want(TCP{Seq: 1, Ack: 5, Flags: FIN | ACK})
		h.in(TCP{Seq: 1, Ack: 2, Flags: ACK}, "read")
		h.want(TCP{Seq: 2, Ack: 5, Flags: ACK})
		h.in(TCP{Seq: 4, Ack: 2, Flags: ACK}) // keep-alive
		h.want(TCP{Seq: 2, Ack: 5, Flags: ACK})
		h.in(TCP{Seq: 5, Ack: 2, Flags: FIN | ACK})
		h.want(TCP{Seq: 2, Ack: 6, Flags: ACK})
		h.wantState(tcp.StateTimeWait)
	})
}

// Close sends what is in Out, and the FIN: nothing is lost by closing.
func TestCloseDelivers(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.to(tcp.StateEstablished)
		data := pattern(4*ethMSS + 10)
		h.write(data)
		h.close()
		var got string
		for _, s := range h.all() {
			got += s.data
		}
		require.Equal(t, data, got)
		h.wantState(tcp.StateFinWait1)
		h.in(TCP{Seq: 1, Ack: 2 + uint32(len(data)), Flags: ACK})
		h.wantState(tcp.StateFinWait2)
		require.Zero(t, h.c.Out.Len())
	})
}

// A connection whose user has gone does not wait for ever for a FIN; one whose
// user only shut down its side does.
func TestFinWait2Timeout(t *testing.T) {
	t.Run("after close", func(t *testing.T) {
		each(t, func(t *testing.T, h *harness) {
			h.to(tcp.StateEstablished)
			h.close()
			h.want(TCP{Seq: 1, Ack: 1, Flags: FIN | ACK})
			h.in(TCP{Seq: 1, Ack: 2, Flags: ACK})
			h.wantState(tcp.StateFinWait2)
			require.Equal(t, h.now.Add(time.Minute), h.c.Deadline())
			h.quiet(time.Minute - tolerance)
			h.wantState(tcp.StateFinWait2)
			h.quiet(2 * tolerance)
			require.Contains(t, []tcp.State{tcp.StateClosed, tcp.StateTimeWait}, h.c.State())
			require.NotZero(t, h.c.TakeEvents()&(tcp.EventClosed|tcp.EventTimeWait))
		})
	})
	t.Run("close later", func(t *testing.T) {
		h := newHarness(t)
		h.cfg.FinWait2Timeout = 5 * time.Second
		h.to(tcp.StateFinWait2)
		h.quiet(time.Hour)
		h.wantState(tcp.StateFinWait2)
		h.close()
		h.quiet(5*time.Second + tolerance)
		require.Contains(t, []tcp.State{tcp.StateClosed, tcp.StateTimeWait}, h.c.State())
	})
	t.Run("half-closed for ever", func(t *testing.T) {
		h := newHarness(t)
		h.to(tcp.StateFinWait2)
		require.False(t, h.c.Deadline().IsSet())
		h.quiet(365 * 24 * time.Hour)
		h.wantState(tcp.StateFinWait2)
	})
}

// A peer that never acknowledges the FIN, or what came before it, after the
// user has gone: OrphanRetries bounds it.
func TestOrphanRetries(t *testing.T) {
	for _, data := range []string{"", "some data"} {
		each(t, func(t *testing.T, h *harness) {
			h.cfg.OrphanRetries = 3
			h.to(tcp.StateEstablished)
			if data != "" {
				h.write(data)
			}
			h.close()
			h.want(TCP{Seq: 1, Ack: 1, Flags: FIN | ACK}, data)
			rto := h.c.Info().RTO
			for range 3 {
				h.wantAfter(rto, TCP{Seq: 1, Ack: 1, Flags: FIN | ACK}, data)
				rto *= 2
			}
			for range 10 { // a last reset is allowed
				s, ok := h.next(time.Hour)
				if !ok {
					break
				}
				require.True(t, s.Flags.Has(RST), "%v", s.Flags)
			}
			h.wantState(tcp.StateClosed)
			h.wantEvents(tcp.EventClosed)
		})
	}
}

// RFC 9293 3.10.5: ABORT sends <SEQ=SND.NXT><CTL=RST> from every state in which
// the peer knows of the connection; "CLOSING, LAST-ACK: Respond with 'ok' and delete the TCB".
func TestAbort(t *testing.T) {
	eachState(t, []tcp.State{tcp.StateEstablished, tcp.StateFinWait1, tcp.StateFinWait2, tcp.StateCloseWait}, func(t *testing.T, h *harness, s tcp.State) {
		snd, rcv := nxt(s)
		h.abort()
		h.wantReset(snd, rcv)
		h.wantClosed(errno.ConnAborted)
	})
	eachState(t, []tcp.State{tcp.StateClosing, tcp.StateLastAck}, func(t *testing.T, h *harness, s tcp.State) {
		h.abort()
		for _, got := range h.all() { // a reset is harmless
			require.True(t, got.Flags.Has(RST))
		}
		h.wantState(tcp.StateClosed)
		h.wantEvents(tcp.EventClosed)
		require.False(t, h.c.Deadline().IsSet())
	})
}

// The reset's number is SND.NXT even if the window has no room for it, and what
// was queued is not sent.
func TestAbortWithDataOut(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.window = 1000
		h.to(tcp.StateEstablished)
		h.write(pattern(5000))
		h.want(TCP{Seq: 1, Ack: 1, Flags: ACK}, pattern(1000))
		h.abort()
		h.wantReset(1001, 1)
		h.wantClosed(errno.ConnAborted)
	})
}

// RFC 9293 3.10.7.4: a reset outside of the window is dropped. Once a probe has
// gone beyond a closed window, SND.NXT is there; the reset must not be.
func TestResetIntoClosedWindow(t *testing.T) {
	for name, end := range map[string]func(h *harness){
		"abort":        func(h *harness) { h.abort() },
		"close unread": func(h *harness) { h.close() },
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, h *harness) {
				h.to(tcp.StateEstablished)
				h.write("hello")
				h.want(TCP{Seq: 1, Ack: 1, Flags: ACK}, "hello")
				h.window = 0
				h.advance(roundTrip)
				h.in(TCP{Seq: 1, Ack: 6, Flags: ACK}, "unread")
				h.want(TCP{Seq: 6, Ack: 7, Flags: ACK})
				h.write("more")
				require.Len(t, h.probe(h.c.Info().RTO).data, 1)
				h.in(TCP{Seq: 7, Ack: 6, Flags: ACK})
				end(h)
				h.wantReset(6, 7)
				h.wantState(tcp.StateClosed)
			})
		})
	}
}

// The window of a SYN may be zero; the SYN counts all the same.
func TestResetOfHandshakeWithoutWindow(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.window = 0
		h.to(tcp.StateSynReceived)
		h.abort()
		h.wantReset(1, 1)
	})
}

// A second Abort, or a Close after it, changes nothing.
func TestAfterAbort(t *testing.T) {
	h := newHarness(t)
	h.to(tcp.StateEstablished)
	h.abort()
	h.abort()
	h.close()
	h.closeWrite()
	h.closeRead()
	h.wantReset(1, 1)
	h.wantClosed(errno.ConnAborted)
	h.c.SetMTU(h.now, 600)
	h.c.SetKeepAlive(h.now, time.Second, time.Second, 3)
	h.c.SetUserTimeout(h.now, time.Second)
	h.c.Unreachable(h.now, errno.HostUnreach)
	h.wantNone()
	require.False(t, h.c.Deadline().IsSet())
	require.Equal(t, errno.ConnAborted, h.c.Err())
}

// CloseRead: arriving data is acknowledged and thrown away, and the window
// stays open, so that a peer that never stops does not stall.
func TestCloseRead(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.cfg.RecvBuffer = 8192
		h.to(tcp.StateEstablished)
		h.closeRead()
		next := uint32(1)
		for range 50 {
			h.in(TCP{Seq: next, Ack: 1, Flags: ACK}, pattern(1000))
			next += 1000
			got := h.want(TCP{Seq: 1, Ack: next, Flags: ACK})
			require.GreaterOrEqual(t, got.Window, uint16(4096))
		}
		h.wantState(tcp.StateEstablished)
		h.write("still sending")
		h.want(TCP{Seq: 1, Ack: next, Flags: ACK}, "still sending")
		h.in(TCP{Seq: next, Ack: 14, Flags: FIN | ACK})
		h.want(TCP{Seq: 14, Ack: next + 1, Flags: ACK})
		h.wantState(tcp.StateCloseWait)
	})
}

// CloseRead with data already there, and out of order data.
func TestCloseReadLater(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.cfg.RecvBuffer = 8192
		h.to(tcp.StateEstablished)
		h.in(TCP{Seq: 1, Ack: 1, Flags: ACK}, pattern(4000))
		h.all()
		h.in(TCP{Seq: 5001, Ack: 1, Flags: ACK}, pattern(1000))
		h.all()
		h.closeRead()
		h.all()
		h.in(TCP{Seq: 4001, Ack: 1, Flags: ACK}, pattern(1000))
		got, ok := h.send()
		require.True(t, ok)
		require.Contains(t, []uint32{5001, 6001}, got.Ack)
		h.in(TCP{Seq: got.Ack, Ack: 1, Flags: ACK}, pattern(1000))
		next := got.Ack + 1000
		h.want(TCP{Seq: 1, Ack: next, Flags: ACK})
		for range 30 {
			h.in(TCP{Seq: next, Ack: 1, Flags: ACK}, pattern(1000))
			next += 1000
			h.want(TCP{Seq: 1, Ack: next, Flags: ACK})
		}
		h.close()
		segs := h.all()
		require.Len(t, segs, 1) // FIN, or RST if what was there counts as unread
		require.NotZero(t, segs[0].Flags&(FIN|RST))
	})
}

// RFC 9293 3.10.7.4, LAST-ACK: nothing but the acknowledgment of the FIN ends
// it; one of data before it does not.
func TestLastAck(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.to(tcp.StateCloseWait)
		h.write("data")
		h.closeWrite()
		h.want(TCP{Seq: 1, Ack: 2, Flags: FIN | ACK}, "data")
		h.wantState(tcp.StateLastAck)
		h.in(TCP{Seq: 2, Ack: 5, Flags: ACK})
		h.wantState(tcp.StateLastAck)
		h.in(TCP{Seq: 2, Ack: 6, Flags: ACK})
		h.wantClosed(nil)
	})
}

// A half-closed connection that the peer resets.
func TestResetWhileHalfClosed(t *testing.T) {
	eachState(t, []tcp.State{tcp.StateFinWait1, tcp.StateFinWait2, tcp.StateCloseWait}, func(t *testing.T, h *harness, s tcp.State) {
		_, rcv := nxt(s)
		h.in(TCP{Seq: rcv, Flags: RST})
		h.wantClosed(errno.ConnReset)
	})
}

// What was received before a reset can still be read.
func TestReadAfterReset(t *testing.T) {
	h := newHarness(t)
	h.to(tcp.StateEstablished)
	h.in(TCP{Seq: 1, Ack: 1, Flags: ACK}, "before")
	h.all()
	h.in(TCP{Seq: 7, Flags: RST})
	h.wantClosed(errno.ConnReset)
	h.wantRead("before")
}

// Data and FIN in one segment for FIN-WAIT-1, whose FIN is not acknowledged;
// and then the ACK: RFC 9293 3.10.7.4, CLOSING.
func TestCrossingData(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.to(tcp.StateEstablished)
		h.write("ours")
		h.closeWrite()
		h.want(TCP{Seq: 1, Ack: 1, Flags: FIN | ACK}, "ours")
		h.in(TCP{Seq: 1, Ack: 1, Flags: FIN | ACK}, "theirs")
		h.want(TCP{Seq: 6, Ack: 8, Flags: ACK})
		h.wantState(tcp.StateClosing)
		h.wantRead("theirs")
		h.in(TCP{Seq: 8, Ack: 5, Flags: ACK}) // the data only
		h.wantState(tcp.StateClosing)
		got, ok := h.next(time.Minute)
		require.True(t, ok)
		require.True(t, got.Flags.Has(FIN))
		h.in(TCP{Seq: 8, Ack: 6, Flags: ACK})
		h.wantState(tcp.StateTimeWait)
	})
}

// Nothing that a user may do at the wrong time changes a state or panics.
func TestUserCallsInEveryState(t *testing.T) {
	calls := map[string]func(h *harness){
		"CloseWrite":     func(h *harness) { h.closeWrite() },
		"CloseRead":      func(h *harness) { h.closeRead() },
		"Close":          func(h *harness) { h.close() },
		"SetNoDelay":     func(h *harness) { h.c.SetNoDelay(true); h.c.SetNoDelay(false) },
		"SetKeepAlive":   func(h *harness) { h.c.SetKeepAlive(h.now, time.Hour, time.Second, 3) },
		"SetUserTimeout": func(h *harness) { h.c.SetUserTimeout(h.now, time.Hour) },
		"SetIdleTimeout": func(h *harness) { h.c.SetIdleTimeout(h.now, time.Hour) },
		"SetMTU":         func(h *harness) { h.c.SetMTU(h.now, 1000) },
		"Unreachable":    func(h *harness) { h.c.Unreachable(h.now, errno.HostUnreach) },
		"InFlight":       func(h *harness) { h.c.InFlight(tcp.Seq(h.iss)) },
		"WindowUpdate":   func(h *harness) { h.c.WindowUpdateDue() },
		"Info":           func(h *harness) { h.c.Info() },
	}
	for a, first := range calls {
		for b, second := range calls {
			t.Run(a+" "+b, func(t *testing.T) {
				for _, s := range append(allStates, tcp.StateTimeWait) {
					h := newHarness(t)
					h.to(s)
					first(h)
					second(h)
					h.all()
					if s == tcp.StateSynSent && (a == "Unreachable" || b == "Unreachable") {
						require.Contains(t, []errno.Errno{errno.OK, errno.HostUnreach}, h.c.Err()) // closed before, or ended by it
					} else {
						require.Equal(t, errno.OK, h.c.Err())
					}
					first(h)
					h.all()
				}
			})
		}
	}
}

// RFC 9293 3.5.2: nobody answers a reset, in no state.
func TestNoAnswerToReset(t *testing.T) {
	for _, flags := range []wire.TCPFlags{RST, RST | ACK, RST | SYN, RST | FIN, RST | FIN | ACK | PSH | URG} {
		eachState(t, established, func(t *testing.T, h *harness, s tcp.State) {
			snd, rcv := nxt(s)
			a, _ := h.in(TCP{Seq: rcv + 1<<20, Ack: snd, Flags: flags})
			require.Equal(t, tcp.ActionNone, a)
			h.wantNone()
			a, _ = h.in(TCP{Seq: rcv, Ack: snd, Flags: flags})
			require.Equal(t, tcp.ActionNone, a)
			h.wantNone()
		})
	}
}
