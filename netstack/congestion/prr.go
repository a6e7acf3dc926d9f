package congestion

// RFC 6937 and RFC 9937, which replaces it: proportional rate reduction. While
// losses are repaired the window follows what is in flight, such that ssthresh is in
// flight when the repair ends, and that what goes out is spread over what arrives.

// A prr is the state of one reduction. The zero prr begins one.
type prr struct {
	delivered int32 // prr_delivered: bytes delivered since it began
	out       int32 // prr_out: bytes sent since it began
	flight    int32 // RecoverFS: bytes in flight when it began; zero: no acknowledgment yet
}

// send counts n bytes that went out.
func (p *prr) send(n int) { p.out = int32(sum(int(p.out), amount(n))) }

// ack returns the window after a; !ok: it stays as it is.
func (p *prr) ack(a *Ack, target, mss int) (window int, ok bool) {
	pipe, delivered := amount(a.InFlight), amount(a.Delivered)
	if p.flight == 0 {
		// RFC 9937 6.1: what had been delivered before is left out, and what a
		// delivers is not.
		p.flight = int32(max(amount(a.PriorInFlight), pipe, 1))
	}
	if delivered == 0 {
		return 0, false // RFC 9937 6.2
	}
	p.delivered = int32(sum(int(p.delivered), delivered))

	var send int
	if pipe > target {
		// RFC 6937 3: CEIL (prr_delivered * ssthresh / RecoverFS) - prr_out, in whole
		// segments as in its examples: a part of one would not be sent.
		flight := int64(p.flight)
		share := (int64(p.delivered)*int64(target) + flight - 1) / flight
		share = (share + int64(mss) - 1) / int64(mss) * int64(mss)
		send = int(min(share, maxWindow) - int64(p.out))
	} else {
		// RFC 9937 6.2: packet conservation (CRB), but slow start (SSRB) where the
		// acknowledgment shows that repair gets on, "SafeACK". RFC 6937 3 has either
		// of them throughout.
		send = max(int(p.delivered-p.out), delivered)
		if a.Acked > 0 && a.Lost == 0 {
			send += mss
		}
		send = min(send, target-pipe)
	}
	if p.out == 0 {
		send = max(send, mss) // RFC 9937 6.2: "Force a fast retransmit upon entering recovery"
	}
	return sum(pipe, max(send, 0)), true
}
