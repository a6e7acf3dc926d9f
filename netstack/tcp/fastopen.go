package tcp

// RFC 7413: TCP Fast Open. Text goes with the SYN of a client that shows a cookie
// which the server gave it on an earlier occasion, and with the server's answer to
// that.
//
// A server's connection that has taken text from a SYN is ESTABLISHED for all that
// concerns sending and receiving, although the RFC calls it SYN-RECEIVED: SND.UNA
// is behind our SYN already. What is left of SYN-RECEIVED is here: the SYN-ACK that
// is repeated until the peer acknowledges it, and the acknowledgments and resets
// that are believed meanwhile.

import (
	"encoding/binary"
	"net/netip"
	"time"

	"smolnet/netstack/clock"
	"smolnet/netstack/siphash"
	"smolnet/netstack/wire"
)

// A FastCookie is a cookie of RFC 7413, or none, of length zero.
type FastCookie struct {
	Bytes [16]byte // those from Len on are zero
	Len   uint8
}

const (
	fastCookieLen = 8

	// fastKeyLife is how long the server makes cookies with one key; those of the
	// key before are good too, and are renewed. RFC 7413 4.1.2: cookies
	// expire by that.
	fastKeyLife = clock.Time(time.Hour)
)

// FastKeys makes and checks the cookies of a server. It never changes; the keys
// of its periods follow from one secret.
type FastKeys struct{ key siphash.Key }

// NewFastKeys returns what makes cookies with a secret key. Servers that share it
// take each other's.
func NewFastKeys(key siphash.Key) *FastKeys { return &FastKeys{key} }

// Make returns the cookie for a client. RFC 7413 4.1.2: it authenticates the source
// address. RFC 7413 4.1.2: nobody without the key can forge one. RFC 7413 4.1.2: it is
// fast to make, a MAC over both addresses; the client's port plays no part, nor time
// but for the key's period.
func (k *FastKeys) Make(now clock.Time, server, client netip.Addr) FastCookie {
	return k.of(int64(now/fastKeyLife), server, client)
}

// Check reports whether a cookie is good, and whether it is also fresh: of the key
// in use.
func (k *FastKeys) Check(now clock.Time, server, client netip.Addr, o *wire.TCPOptions) (good, fresh bool) {
	if !o.HasFastOpen || o.FastOpenLen != fastCookieLen {
		return false, false
	}
	has := FastCookie{o.FastOpenCookie, o.FastOpenLen}
	period := int64(now / fastKeyLife)
	fresh = has == k.of(period, server, client)
	return fresh || has == k.of(period-1, server, client), fresh
}

func (k *FastKeys) of(period int64, server, client netip.Addr) (c FastCookie) {
	var b [16 + 16 + 8]byte
	s, p := server.As16(), client.As16()
	copy(b[:16], s[:])
	copy(b[16:32], p[:])
	binary.BigEndian.PutUint64(b[32:], uint64(period))
	binary.BigEndian.PutUint64(c.Bytes[:], siphash.Bytes(&k.key, b[:]))
	c.Len = fastCookieLen
	return c
}

// A FastOpen is what a client remembers of a server: RFC 7413 4.1.3.
type FastOpen struct {
	Cookie FastCookie // none: to be asked for
	MSS    uint16     // that the server announced; zero: not known
}

// A FastResult is what an active OPEN with Fast Open has taught.
type FastResult struct {
	FastOpen      // Cookie: what the server gave us now, or none
	Sent     int  // bytes that went with the SYN
	Acked    int  // bytes of them that the SYN-ACK acknowledged
	Lost     bool // the SYN went unanswered, and was repeated as a usual one
}

// fastOpen is the state of Fast Open, which exists while a connection opens.
type fastOpen struct {
	cookie FastCookie // ours to show (client), or to give (server)
	result FastResult // the client's
	client bool

	// The server's, of a connection that has taken text.
	pending bool // the SYN-ACK is not acknowledged
	again   bool // the SYN-ACK has gone out more than once, or is to
	tries   int  // how often it was given up waiting for
}

// ConnectFast is Connect with Fast Open: the SYN has what is in Out, as far as one
// segment holds it, if fo has a cookie; else it asks for one.
func (c *Conn) ConnectFast(now clock.Time, iss Seq, mtu int, fo FastOpen) {
	// RFC 7413 4.2.1: without a cookie, the request is an empty option.
	c.fast = &fastOpen{client: true, cookie: fo.Cookie}
	c.fast.result.MSS = fo.MSS
	c.Connect(now, iss, mtu)
}

// FastResult returns what ConnectFast has taught, once the connection is not in
// SYN-SENT any more. It reports false, and forgets it, if that was asked before.
func (c *Conn) FastResult() (FastResult, bool) {
	if c.fast == nil || !c.fast.client || c.state == StateSynSent {
		return FastResult{}, false
	}
	r := c.fast.result
	if c.state == StateClosed {
		r.Lost = c.retries > 0
	}
	c.fast = nil
	return r, true
}

// FastPending reports whether the connection has taken text from a SYN, and its
// peer has not shown since that the SYN was its own.
func (c *Conn) FastPending() bool { return c.fast != nil && c.fast.pending }

// OfferFast has the SYN-ACK of a connection that was just accepted give the peer a
// cookie. RFC 7413 4.2.1: the server may grant one in its SYN-ACK.
func (c *Conn) OfferFast(cookie FastCookie) {
	if c.fast == nil {
		c.fast = new(fastOpen)
	}
	c.fast.cookie = cookie
}

// AcceptFast is Accept of a SYN whose cookie is good, RFC 7413 4.2.2: its text, and
// FIN, are taken, the state is ESTABLISHED or CLOSE-WAIT, and data may be sent.
func (c *Conn) AcceptFast(now clock.Time, iss Seq, mtu int, syn *wire.TCP, payload []byte) {
	c.open(now, iss, mtu)
	c.passive = true
	c.takeSyn(now, syn)
	c.setState(StateSynReceived)
	s := &c.snd
	s.una, s.nxt, s.max = iss+1, iss+1, iss+1
	s.small, s.resentTo, s.limitedTo = s.una, s.una, s.una
	// RFC 7413 4.2.2: the server's response may go before the handshake is over. RFC 7413
	// 4.2.2: until then it keeps to the initial congestion window.
	c.established(now, 0)
	c.fast = &fastOpen{pending: true}
	c.synAckDue = true
	text := segment{h: syn, flags: syn.Flags &^ wire.SYN, seq: Seq(syn.Seq) + 1, payload: payload}
	c.tailor(&text, 0, c.rcv.adv.Sub(c.rcv.nxt))
	if c.state.receives() {
		c.receiveText(now, &text)
	}
	if c.state.receives() {
		c.receiveFin(now, &text)
	}
	c.timers[timerLinger] = now.Add(c.cfg.initialRTO())
	c.check()
}

// sendFastSynAck sends the SYN-ACK of AcceptFast, which acknowledges the text too.
func (c *Conn) sendFastSynAck(now clock.Time, b []byte) Segment {
	c.synAckDue = false
	c.ackNow = false
	c.timers[timerDelayedAck] = 0
	h := c.synHeader(now)
	h.Window = uint16(min(c.rcv.adv.Sub(c.rcv.nxt), unscaledMost)) // the edge stays
	c.rcv.lastAck = c.rcv.nxt
	if !c.fast.again {
		c.rtt.start(now, c.snd.iss+1)
	} else {
		c.stats.retransmits++
	}
	c.stats.segmentsSent++
	return Segment{Len: h.Put(b)}
}

// fastTimeout sends that SYN-ACK again, or gives up. It keeps time by timerLinger,
// which otherwise begins with the acknowledgment of our FIN.
func (c *Conn) fastTimeout(now clock.Time) {
	f := c.fast
	if limit := orDefault(c.cfg.SynAckRetries, defaultSynAckRetries); limit >= 0 && f.tries >= limit {
		c.fail(c.timeoutReason())
		return
	}
	f.tries++
	c.repeatFastSynAck()
	c.timers[timerLinger] = now.Add(backOff(c.cfg.initialRTO(), uint8(min(f.tries, maxBackoff)), c.cfg.rtoBounds().max))
}

// repeatFastSynAck has Send say it once more.
func (c *Conn) repeatFastSynAck() {
	c.fast.again = true
	c.rtt.resent(c.snd.iss)
	c.synAckDue = true
}

// receiveFastSyn looks at a SYN that AcceptFast has taken, and that comes again: the
// SYN-ACK was lost. The text on it, if there is any, was taken. It is the peer who has
// lost patience, or somebody who wants us to: that is none of our tries.
func (c *Conn) receiveFastSyn(now clock.Time, s *segment) (wire.Drop, bool) {
	if !s.has(wire.SYN) || s.has(wire.ACK|wire.RST) || s.seq != c.rcv.irs {
		return wire.DropNone, false
	}
	c.checkOwnSynECN(s.flags)
	if c.challenges.allow(now) {
		c.repeatFastSynAck()
	}
	return wire.DropDuplicate, true
}

// acceptFastAck ends the handshake of AcceptFast if s, which has passed the steps
// before the fifth, acknowledges our SYN-ACK. Else it is answered as in SYN-RECEIVED:
// nobody but the peer can know the number.
func (c *Conn) acceptFastAck(now clock.Time, s *segment) (Action, wire.Drop) {
	if s.ack.Before(c.snd.iss+1) || s.ack.After(c.snd.max) {
		return ActionReset, wire.DropBadAck
	}
	if rtt := c.rtt.acked(now, c.snd.iss+1); rtt > 0 {
		c.rtt.sample(now, rtt, c.cfg.rtoBounds())
	}
	c.fast = nil
	c.synAckDue = false
	c.timers[timerLinger] = 0
	c.events |= EventHandshake
	return ActionNone, wire.DropNone
}

// putFastOpen adds to our SYN or SYN-ACK what Fast Open has to say, and returns how
// much of Out goes with it in b. RFC 7413 4.2.2: after a timeout the SYN is plain, without
// option and text, as they may be what some middlebox did not like.
func (c *Conn) putFastOpen(h *wire.TCP, b []byte) int {
	f, o := c.fast, &h.Options
	if f == nil || f.client && c.snd.max != c.snd.iss || !f.client && f.cookie.Len == 0 {
		return 0
	}
	// RFC 7413 4.2.1, 4.2.2: a SYN-ACK that was lost goes out again plain, too.
	if !f.client && (f.again || c.retries > 0) {
		return 0
	}
	o.HasFastOpen, o.FastOpenLen, o.FastOpenCookie = true, f.cookie.Len, f.cookie.Bytes
	if !f.client || f.cookie.Len == 0 {
		return 0
	}
	// RFC 7413 4.2.2: a client with a cookie sends SYN data, which fits the MSS that the
	// server announced before, or the default; the options count. RFC 7413 4.2.2: without
	// room for any there is none.
	mss := f.result.MSS
	if mss == 0 {
		mss = c.peerMSS
	}
	room := min(int(mss), min(int(c.mtu), len(b))-wire.TCPLen) - (h.HeaderLen() - wire.TCPLen)
	f.result.Sent = max(min(c.Out.Len(), room), 0)
	return f.result.Sent
}

// takeFastAnswer takes what the SYN-ACK says to a SYN of Fast Open, and
// acknowledges of its text. RFC 7413 4.2.2: the client sends again the data that is not
// acknowledged; it is as good as not sent.
func (c *Conn) takeFastAnswer(h *wire.TCP, ack Seq) {
	f := c.fast
	if f == nil || !f.client {
		return
	}
	r := &f.result
	r.Lost = c.retries > 0
	r.MSS = c.peerMSS
	r.Cookie = FastCookie{}
	if h.Options.HasFastOpen {
		r.Cookie = FastCookie{h.Options.FastOpenCookie, h.Options.FastOpenLen}
	}
	r.Acked = ack.Sub(c.snd.iss + 1)
	if r.Acked > 0 {
		c.Out.Release(c.Out.Start() + uint64(r.Acked))
		c.stats.bytesAcked += uint64(r.Acked)
		c.events |= EventWritable
	}
	c.snd.max = ack
	c.snd.small, c.snd.resentTo, c.snd.limitedTo = ack, ack, ack
}

// meetFast is what a simultaneous open leaves of a SYN with text: the peer takes
// none from it.
func (c *Conn) meetFast() {
	if c.fast != nil {
		c.snd.max = c.snd.iss + 1
		c.fast.result.Lost = c.retries > 0
	}
}

// closesFast reports whether CLOSE in SYN-SENT leaves text to be delivered: the user
// of Fast Open has written before there was a connection.
func (c *Conn) closesFast() bool { return c.fast != nil && c.fast.client && c.Out.Len() > 0 }
