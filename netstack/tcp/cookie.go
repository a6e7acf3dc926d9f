package tcp

// RFC 4987 3.6: SYN cookies. A listener whose SYN queue is full answers a SYN
// and keeps nothing: what it would have kept is in the numbers of its SYN-ACK,
// and the peer's next segment brings it back.
//
//	with timestamps in the SYN            without
//	ISS    28 bits MAC                    ISS    24 bits MAC
//	        1 bit  slot, odd or even              1 bit  slot
//	        3 bits MSS                            3 bits MSS
//	TSval  26 bits clock                          3 bits window scale, rounded down
//	        4 bits window scale                   1 bit  SACK
//	        1 bit  SACK
//	        1 bit  ECN
//
// The MAC is over the connection's name, the peer's initial sequence number, the
// form, the time slot and the bits beside it. The slot is part of what is hashed,
// so that each has in effect a key of its own, and one that is over tells nothing
// about the next.
//
// What a guess is worth: whoever does not see our SYN-ACK has to guess all of the
// acknowledgment number, and chooses the weaker form, in which one guess in 2^24
// makes a connection: at 100,000 segments a second one in three minutes, for a
// sender whom each of them costs a segment, and only while a flood lasts (see the
// listener). In the form with timestamps the echo has to be one of the last two
// slots on a clock that is secret for each connection: one guess in 2^28 * 2^15.
//
// What is lost without timestamps: ECN, and a little of the window if its scale
// is not one of cookieScales. In both forms: an MSS between two of cookieSizes
// counts as the lower one; text on the SYN; the SYN-ACK is not sent again by us,
// but for each SYN that comes again.

import (
	"encoding/binary"
	"time"

	"smolnet/netstack/clock"
	"smolnet/netstack/siphash"
	"smolnet/netstack/stream"
	"smolnet/netstack/wire"
)

const (
	// cookieSlot is the length of a time slot. A cookie is good in its own and in
	// the next one, so for 64 s at least: SYN-ACKs of a full handshake are repeated
	// for as long.
	cookieSlot = clock.Time(64 * time.Second)

	// CookieLife is how long after it was sent a cookie may still be good: two
	// slots.
	CookieLife = 2 * time.Duration(cookieSlot)

	stampedBits  = 4 // of the ISS that are not MAC, with timestamps
	bareBits     = 8 // and without
	slotBit      = 1 << 3
	sizeMask     = slotBit - 1
	scaleShift   = 4
	scaleMask    = 7
	sackBit      = 1 << 7
	stampBits    = 6 // of the TSval that are not clock
	stampMask    = 1<<stampBits - 1
	stampNoScale = 15
	stampSACK    = 1 << 4
	stampECN     = 1 << 5
)

// cookieSizes are the MSS that a cookie can say: the defaults of both versions, the
// usual ones over Ethernet with and without tunnels, and jumbo frames. The first
// is the least that we ever use.
var cookieSizes = [8]uint16{minMSS, 256, defaultMSS4, defaultMSS6, 1360, 1440, 1460, 8940}

// cookieScales are the window scales that a cookie without timestamps can say,
// behind "none". A smaller one than the peer's makes us see less of its window
// than there is, and never more.
var cookieScales = [7]uint8{0, 2, 4, 6, 7, 8, 10}

// Cookies makes and checks the cookies of a stack. It never changes.
type Cookies struct {
	key siphash.Key
	isn *ISNSource
}

// NewCookies returns the cookies of a stack with a secret key of their own. isn is
// the source of its other sequence numbers, and of the offsets of timestamps.
func NewCookies(key siphash.Key, isn *ISNSource) *Cookies { return &Cookies{key: key, isn: isn} }

// A Cookie is what a valid one has brought back: see Conn.AcceptCookie.
type Cookie struct {
	iss    Seq
	offset uint32 // of our timestamps
	syn    wire.TCP
}

// Answer fills out with the SYN-ACK that answers syn, which CheckListen has let
// pass, for a listener with the configuration cfg, nil meaning the defaults, and
// connections whose streams take their pages from pool; mtu is as for
// Conn.Connect. Nothing is remembered.
func (k *Cookies) Answer(now clock.Time, id ID, cfg *Config, pool *stream.Pool, mtu int, syn, out *wire.TCP) {
	var c Conn // for as long as this takes: it says what a connection would
	if cfg == nil {
		cfg = &defaults
	}
	c.id, c.cfg, c.pool, c.v6 = id, cfg, pool, isV6(id)
	c.initBuffers(pool)
	c.open(now, 0, mtu)
	c.ts.offset = k.isn.TimestampOffset(id)
	c.takeSyn(now, syn)
	c.state = StateSynReceived
	slot := int64(now / cookieSlot)
	bits := uint32(sizeCode(c.peerMSS)) | uint32(slot&1)*slotBit
	if c.ts.on {
		out.Seq = k.seal(id, c.rcv.irs, slot, bits, stampedBits)
	} else {
		bits |= uint32(scaleCode(&c))<<scaleShift | uint32(b2i(c.sackOn))*sackBit
		out.Seq = k.seal(id, c.rcv.irs, slot, bits, bareBits)
	}
	c.snd.iss = Seq(out.Seq)
	*out = c.synHeader(now)
	if c.ts.on {
		out.Options.TSVal = stamp(out.Options.TSVal, stampOf(&c, out.Flags))
	} else {
		out.Flags &^= wire.ECE // what cannot be remembered is not agreed to
	}
}

// Check looks at an acknowledgment that no connection expects: false, it is no
// answer to a cookie of the last two slots.
func (k *Cookies) Check(now clock.Time, id ID, ack *wire.TCP) (Cookie, bool) {
	irs, seq := Seq(ack.Seq-1), ack.Ack-1
	free := uint32(bareBits)
	if ack.Options.HasTimestamps {
		free = stampedBits
	}
	bits := seq & (1<<free - 1)
	slot := int64(now / cookieSlot)
	if bits&slotBit != uint32(slot&1)*slotBit {
		slot--
	}
	if k.seal(id, irs, slot, bits, free) != seq {
		return Cookie{}, false
	}
	r := Cookie{iss: Seq(seq), offset: k.isn.TimestampOffset(id)}
	r.syn = wire.TCP{SrcPort: ack.SrcPort, DstPort: ack.DstPort, Seq: uint32(irs), Flags: wire.SYN}
	o := &r.syn.Options
	o.MSS = cookieSizes[bits&sizeMask]
	if !ack.Options.HasTimestamps {
		o.SACKPermitted = bits&sackBit != 0
		if code := bits >> scaleShift & scaleMask; code > 0 {
			o.HasWindowScale, o.WindowScale = true, cookieScales[code-1]
		}
		return r, true
	}
	return r, k.unstamp(now, &r, &ack.Options)
}

// unstamp takes back what a TSval of ours said, from its echo. It reports false if
// that was not sent in the last two slots.
func (k *Cookies) unstamp(now clock.Time, r *Cookie, echo *wire.TCPOptions) bool {
	ts := timestamps{offset: r.offset}
	age := int32(ts.now(now) - echo.TSEcr)
	if age < 0 || clock.Time(age)*timestampTick > clock.Time(CookieLife) {
		return false
	}
	o := &r.syn.Options
	o.HasTimestamps, o.TSVal = true, echo.TSVal
	o.SACKPermitted = echo.TSEcr&stampSACK != 0
	if scale := uint8(echo.TSEcr & stampNoScale); scale != stampNoScale {
		o.HasWindowScale, o.WindowScale = true, scale
	}
	if echo.TSEcr&stampECN != 0 {
		r.syn.Flags |= wire.ECE | wire.CWR // RFC 3168 6.1.1: an ECN-setup SYN
	}
	return true
}

// seal returns the sequence number whose lower free bits are bits and whose other
// ones are the MAC.
func (k *Cookies) seal(id ID, irs Seq, slot int64, bits, free uint32) uint32 {
	var b [16 + 16 + 2 + 2 + 4 + 8 + 1 + 1]byte
	local, remote := id.Local.Addr().As16(), id.Remote.Addr().As16()
	copy(b[:16], local[:])
	copy(b[16:32], remote[:])
	binary.BigEndian.PutUint16(b[32:], id.Local.Port())
	binary.BigEndian.PutUint16(b[34:], id.Remote.Port())
	binary.BigEndian.PutUint32(b[36:], uint32(irs))
	binary.BigEndian.PutUint64(b[40:], uint64(slot))
	b[48], b[49] = byte(bits), byte(free)
	return uint32(siphash.Bytes(&k.key, b[:]))<<free | bits
}

// sizeCode returns the largest of cookieSizes that is not more than mss.
func sizeCode(mss uint16) (code int) {
	for i, size := range cookieSizes {
		if size <= mss {
			code = i
		}
	}
	return code
}

// scaleCode returns the largest of cookieScales that is not more than the peer's,
// plus one; zero: there is no scaling.
func scaleCode(c *Conn) (code int) {
	if !c.ts.scaling {
		return 0
	}
	for i, scale := range cookieScales {
		if scale <= c.snd.scale {
			code = i + 1
		}
	}
	return code
}

// stampOf returns what a TSval says beside the time; flags are those of our
// SYN-ACK.
func stampOf(c *Conn, flags wire.TCPFlags) uint32 {
	bits := uint32(stampNoScale)
	if c.ts.scaling {
		bits = uint32(c.snd.scale)
	}
	if c.sackOn {
		bits |= stampSACK
	}
	if flags.Has(wire.ECE) {
		bits |= stampECN
	}
	return bits
}

// stamp puts bits in the place of a timestamp's lowest ones. It is never ahead of
// the clock, or what the connection sends later would look older.
func stamp(val, bits uint32) uint32 {
	v := val&^stampMask | bits
	if int32(v-val) > 0 {
		v -= stampMask + 1
	}
	return v
}

// AcceptCookie is a passive OPEN by the acknowledgment that Check has found to be
// the answer to a cookie: the state is ESTABLISHED afterwards, and what Receive
// would do about ack and its payload is done. mtu is as for Connect.
func (c *Conn) AcceptCookie(now clock.Time, k *Cookie, mtu int, ack *wire.TCP, payload []byte) (Action, wire.Drop) {
	c.open(now, k.iss, mtu)
	c.ts.offset = k.offset // as in our SYN-ACK
	c.passive = true
	c.takeSyn(now, &k.syn)
	c.setState(StateSynReceived)
	c.snd.nxt, c.snd.max = k.iss+1, k.iss+1 // our SYN-ACK
	c.armRetransmit(now)
	return c.Receive(now, ack, payload)
}
