package tcp

import (
	"time"

	"smolnet/netstack/congestion"
)

// A Config is what connections have in common. It is shared, and read-only
// once in use. Zero means default; negative means off or without limit where
// that has a meaning.
type Config struct {
	// RecvBuffer and SendBuffer are the most bytes that the streams hold, from
	// 1 KiB to 1 GiB; the receive window follows from RecvBuffer. Zero or
	// negative: 512 KiB, from which they grow while a connection has more than
	// that under way.
	RecvBuffer, SendBuffer int

	// MaxRecvBuffer and MaxSendBuffer are up to where streams grow whose size
	// RecvBuffer and SendBuffer do not fix, from 1 KiB to 1 GiB; default 4 MiB;
	// negative: they do not grow. Less than 512 KiB is what they begin with.
	// The scale of the receive window follows from MaxRecvBuffer.
	MaxRecvBuffer, MaxSendBuffer int

	MaxMSS  int  // upper bound on the MSS that we announce, bytes; zero: the path's
	NoDelay bool // Nagle's algorithm off (RFC 9293 MUST-17)

	// KeepAliveIdle is the silence after which a connection is probed; zero or
	// negative: never. There is no default time: RFC 9293 MUST-25 wants
	// keep-alives off unless asked for, and MUST-28 two hours at least where
	// nobody names a time.
	KeepAliveIdle     time.Duration
	KeepAliveInterval time.Duration // between probes without an answer; default 75 s
	KeepAliveCount    int           // probes without an answer that end the connection; default 9

	// UserTimeout is how long sent data may stay unacknowledged, RFC 9293
	// 3.9.1 and RFC 5482. Zero or negative: RetransmitLimit decides.
	UserTimeout time.Duration

	// IdleTimeout ends connections on which neither side sends text, see
	// Conn.SetIdleTimeout. Zero or negative: never.
	IdleTimeout time.Duration

	DelayedAck time.Duration // default 40 ms, under 500 ms; negative: acknowledge at once

	InitialRTO, MinRTO, MaxRTO time.Duration // RFC 6298; default 1 s, 200 ms, 60 s

	SynRetries      int // retransmissions of a SYN; default 7; negative: no limit
	SynAckRetries   int // retransmissions of a SYN-ACK; default 5; negative: no limit
	RetransmitLimit int // R2 as retransmissions of one segment; default 15; negative: no limit
	OrphanRetries   int // the same after the user has closed; default 8; negative: no limit

	FinWait2Timeout time.Duration // in FIN-WAIT-2, only after Close; default 60 s; negative: none
	TimeWait        time.Duration // 2 MSL; default 60 s; negative: no TIME-WAIT

	NoTimestamps  bool // RFC 7323 timestamps are neither offered nor accepted
	NoWindowScale bool // nor is window scaling
	NoSACK        bool // nor are selective acknowledgments, RFC 2018

	// ECN says what connections do about explicit congestion notification, RFC 3168.
	// The default, ECNAccept, uses it where the peer asks for it, and does not ask;
	// ECNAsk asks as well, and SYNs go out without asking once two were lost; ECNOff
	// does without.
	ECN ECNMode

	// NoSynCookies: what finds no place in a listener's SYN queue is dropped, and
	// not answered with a cookie (RFC 4987 3.6). See Cookies for what cookies lose.
	NoSynCookies bool

	// FastOpen: listeners give cookies to clients that ask, and take text from SYNs
	// that have a good one (RFC 7413). The connection is then accepted before its
	// handshake is over, and after a loss a SYN with the same text may open a second
	// one: for protocols only whose requests may be repeated (RFC 7413 6.1).
	FastOpen bool

	// NoMTUProbing: what segments the path takes is learnt from routers alone (RFC 1191
	// and RFC 8201). Otherwise, if large segments vanish again and again and small
	// ones arrive, segments become small, and larger ones are tried out until it is
	// known what gets through, even where no router says anything (RFC 4821, RFC
	// 8899); ten minutes after segments had to become smaller larger ones are
	// tried again.
	NoMTUProbing bool

	// TimerSlack is how late timers may fire on this platform: the clock
	// granularity G of RFC 6298. Default 1 ms.
	TimerSlack time.Duration

	// Congestion makes a connection's congestion controller; nil, or if it makes none:
	// CUBIC. Conn.SetCongestion has another one take over.
	Congestion congestion.Factory
}

// The defaults of Config, and the bounds on its values.
const (
	defaultBuffer    = 512 << 10
	defaultMaxBuffer = 4 << 20
	minBuffer        = 1 << 10
	maxBuffer        = 1 << 30 // RFC 7323 2.3: the largest window there is

	defaultKeepAliveInterval = 75 * time.Second
	defaultKeepAliveCount    = 9

	defaultDelayedAck = 40 * time.Millisecond
	// RFC 9293 MUST-40, 3.8.6.3: "the delay MUST be less than 0.5 seconds".
	maxDelayedAck = 500*time.Millisecond - 1

	defaultInitialRTO = time.Second
	defaultMinRTO     = 200 * time.Millisecond
	defaultMaxRTO     = 60 * time.Second
	rtoAfterSynLoss   = 3 * time.Second

	// RFC 9293 MUST-23, 3.8.3: SYNs are sent "for at least 3 minutes". Seven
	// retransmissions are 183 s with the default RTOs.
	defaultSynRetries    = 7
	defaultSynAckRetries = 5
	// RFC 9293 SHLD-11, 3.8.3: R2 "SHOULD correspond to at least 100 seconds";
	// fifteen retransmissions are more than seven minutes.
	defaultRetransmitLimit = 15
	defaultOrphanRetries   = 8

	defaultFinWait2 = 60 * time.Second
	// RFC 9293 MUST-13, 3.6.1: TIME-WAIT lasts 2 MSL. An MSL of 30 s is the
	// common choice today.
	defaultTimeWait   = 60 * time.Second
	defaultTimerSlack = time.Millisecond

	// r1Retries is R1 of RFC 9293 3.8.3; SHLD-10 wants at least three.
	r1Retries = 3
)

// defaults stands in for a nil Config.
var defaults Config

// orDefault returns v, or def if v is zero.
func orDefault[T int | time.Duration](v, def T) T {
	if v == 0 {
		return def
	}
	return v
}

func bufferSize(n int) int {
	return min(max(orDefault(max(n, 0), defaultBuffer), minBuffer), maxBuffer)
}

// delayedAck returns how long an acknowledgment may wait, zero or less: not at
// all.
func (cfg *Config) delayedAck() time.Duration {
	return min(orDefault(cfg.DelayedAck, defaultDelayedAck), maxDelayedAck)
}

func (cfg *Config) initialRTO() time.Duration {
	return orDefault(max(cfg.InitialRTO, 0), defaultInitialRTO)
}

// rtoBounds returns what RFC 6298 needs to compute an RTO.
func (cfg *Config) rtoBounds() rtoBounds {
	b := rtoBounds{
		min:         orDefault(max(cfg.MinRTO, 0), defaultMinRTO),
		max:         orDefault(max(cfg.MaxRTO, 0), defaultMaxRTO),
		granularity: orDefault(max(cfg.TimerSlack, 0), defaultTimerSlack),
	}
	b.max = max(b.min, b.max)
	return b
}

func (cfg *Config) finWait2() time.Duration { return orDefault(cfg.FinWait2Timeout, defaultFinWait2) }

func (cfg *Config) timeWait() time.Duration { return orDefault(cfg.TimeWait, defaultTimeWait) }
