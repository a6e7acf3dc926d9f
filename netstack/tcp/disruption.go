package tcp

// RFC 6069 (long connectivity disruptions): a router that says that there is no way
// to the peer explains the silence, which then is no sign of congestion.

import (
	"time"

	"smolnet/netstack/clock"
	"smolnet/netstack/congestion"
)

// longestDisruption bounds how long a connection tries at the pace of its first
// time-outs, since the peer was last heard of: about as long as the usual number of
// retransmissions takes with the back-off, RFC 9293 3.8.3.
const longestDisruption = 15 * time.Minute

// NoRoute takes an ICMP message that the network or the host cannot be reached, which
// quotes the segment with the number seq, besides Unreachable. RFC 6069 4.2: if that is
// the segment that is sent again and again, one doubling of the time-out is taken back.
// What the time-outs already were counts: a router that answers each retransmission has
// them stay, one that falls silent lets them grow again.
func (c *Conn) NoRoute(now clock.Time, seq Seq) {
	if c.recovery.phase != congestion.Timeout || c.rtt.backoff == 0 || c.retries == 0 || seq != c.snd.una ||
		!c.timers[timerRetransmit].IsSet() || now.Sub(c.lastReceived) > longestDisruption {
		return
	}
	c.rtt.backoff--
	c.retries-- // R2 is about those that nobody has explained
	due := c.lastResent.Add(c.rtt.current(c.cfg.rtoBounds()))
	// "If the retransmission timer has expired": at once.
	c.timers[timerRetransmit] = max(due, now)
	c.check()
}
