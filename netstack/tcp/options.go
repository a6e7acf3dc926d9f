package tcp

// RFC 9293 3.7.1 (maximum segment size), RFC 6691, RFC 7323 (window scale and
// timestamps), RFC 2018 2 (SACK-permitted): what SYNs agree on.

import (
	"math/bits"
	"time"

	"smolnet/netstack/clock"
	"smolnet/netstack/wire"
)

const (
	// RFC 9293 MUST-15, 3.7.1: without an MSS option the peer takes these.
	defaultMSS4 = 536
	defaultMSS6 = 1220

	maxMSS = 1<<16 - 1
	// minMSS bounds what a peer or a path can make of us: segments of a few
	// bytes each are an attack on our time and the network's.
	minMSS = 48

	timestampsLen = 12 // with two NOPs before it, RFC 7323 appendix A

	maxScale     = 14        // RFC 7323 2.3
	unscaledMost = 1<<16 - 1 // the largest window without scaling
	minMTU       = wire.TCPMaxLen + minMSS
	maxMTU       = unscaledMost
)

func clampMTU(mtu int) int32 { return int32(min(max(mtu, minMTU), maxMTU)) }

func defaultMSS(v6 bool) uint16 {
	if v6 {
		return defaultMSS6
	}
	return defaultMSS4
}

// announcedMSS returns the value of our MSS option. RFC 9293 MUST-67, 3.7.1:
// what the path's MTU leaves beside fixed headers; RFC 6691 2: options are not
// subtracted here, but by whoever uses them.
func (c *Conn) announcedMSS() uint16 {
	mss := min(int(c.mtu)-wire.TCPLen, maxMSS)
	if c.cfg.MaxMSS > 0 {
		mss = min(mss, max(c.cfg.MaxMSS, minMSS))
	}
	return uint16(mss)
}

// updateMSS computes the effective send MSS. RFC 9293 MUST-16, 3.7.1:
// "Eff.snd.MSS = min (SendMSS+20, MMS_S) - TCPhdrsize - IPoptionsize".
func (c *Conn) updateMSS() {
	mss := min(int(c.peerMSS), int(c.mtu)-wire.TCPLen)
	if c.ts.on {
		mss -= timestampsLen
	}
	c.snd.mss = max(mss, minMSS)
}

// synHeader returns the header of our SYN or, in SYN-RECEIVED, SYN-ACK. RFC 7323
// 2.2: its window is never scaled.
func (c *Conn) synHeader(now clock.Time) wire.TCP {
	h := c.header(c.snd.iss, wire.SYN)
	h.Window = c.rcv.synWindow
	c.putSynOptions(now, &h.Options)
	h.Flags |= c.synECN()
	if c.state != StateSynSent {
		h.Flags |= wire.ACK
		h.Ack = uint32(c.rcv.nxt)
		c.putFastOpen(&h, nil)
	}
	return h
}

// putSynOptions sets the options of a SYN. RFC 9293 MUST-65: MSS goes into
// SYNs only; MUST-14, SHLD-5, MAY-3: always. Of the others a SYN-ACK has those
// that both sides want.
func (c *Conn) putSynOptions(now clock.Time, o *wire.TCPOptions) {
	o.MSS = c.rcv.mss
	scale, stamps, sack := !c.cfg.NoWindowScale, !c.cfg.NoTimestamps, !c.cfg.NoSACK
	if c.state != StateSynSent {
		scale, stamps, sack = c.ts.scaling, c.ts.on, c.sackOn
	}
	o.SACKPermitted = sack
	if scale {
		o.HasWindowScale, o.WindowScale = true, c.rcv.scale
	}
	if stamps {
		c.ts.put(now, o)
	}
}

// takeSynOptions takes what the peer's SYN offers.
func (c *Conn) takeSynOptions(now clock.Time, h *wire.TCP) {
	o := &h.Options
	if o.MSS != 0 {
		c.peerMSS = o.MSS
	}
	// RFC 7323 1.3: an option is in use if both SYNs have it.
	c.ts.scaling = o.HasWindowScale && !c.cfg.NoWindowScale
	if c.ts.scaling {
		// RFC 7323 2.3: the windows that the peer sends are shifted left by it.
		c.snd.scale = min(o.WindowScale, maxScale)
	} else {
		c.snd.scale, c.rcv.scale = 0, 0
	}
	// RFC 2018 2: the option "MUST NOT be sent on non-SYN segments", and SACK
	// itself goes to those only whose SYN had it.
	c.sackOn = o.SACKPermitted && !c.cfg.NoSACK
	c.ts.on = o.HasTimestamps && !c.cfg.NoTimestamps
	if c.ts.on {
		c.ts.recent, c.ts.recentAt = o.TSVal, now
	}
	c.updateMSS()
}

// windowScale returns the least shift with which a window of n bytes can be
// announced, or all of it but a unit: 65536 bytes need none.
func windowScale(n int) uint8 {
	return uint8(min(max(bits.Len(uint(n-1))-16, 0), maxScale))
}

// timestamps is RFC 7323's state, of both options.
type timestamps struct {
	on       bool
	scaling  bool
	offset   uint32
	recent   uint32     // TS.Recent
	recentAt clock.Time // when it was set
}

// timestampTick is our clock's tick, RFC 7323 5.4: 1 ms to 1 s.
const timestampTick = clock.Time(time.Millisecond)

// outdatedAfter is RFC 7323 5.5: a TS.Recent that old proves nothing.
const outdatedAfter = 24 * 24 * time.Hour

// now returns our timestamp. RFC 7323 4.1: it is proportional to real time, as the driver's
// clock is.
func (t *timestamps) now(now clock.Time) uint32 { return uint32(now/timestampTick) + t.offset }

// put sets the option. RFC 7323 4.3 step 3: TSecr is TS.Recent.
func (t *timestamps) put(now clock.Time, o *wire.TCPOptions) {
	o.HasTimestamps, o.TSVal, o.TSEcr = true, t.now(now), t.recent
}

// rtt returns the round-trip time that an echo tells, zero for one that cannot
// be: it is in the future or older than any round trip.
func (t *timestamps) rtt(now clock.Time, echo uint32) time.Duration {
	ticks := int32(t.now(now) - echo)
	d := time.Duration(ticks) * time.Duration(timestampTick)
	if ticks < 0 || d > maxRTT {
		return 0
	}
	return max(d, time.Duration(timestampTick))
}

// maxRTT is the longest round trip believed of a timestamp.
const maxRTT = 2 * time.Minute

// old reports whether a timestamp is from before TS.Recent: RFC 7323 5.3, R1.
func (t *timestamps) old(now clock.Time, val uint32) bool {
	return int32(val-t.recent) < 0 && now.Sub(t.recentAt) <= outdatedAfter
}

// SetTimestampOffset has timestamps begin elsewhere than the clock, which they would
// tell: see [ISNSource.TimestampOffset]. It is for before the connection is opened.
func (c *Conn) SetTimestampOffset(offset uint32) { c.ts.offset = offset }
