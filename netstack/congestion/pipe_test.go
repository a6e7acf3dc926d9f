package congestion

import (
	"math/rand"
	"time"

	"smolnet/netstack/clock"
)

// A pipe is a sender without data but with a controller, and a link: a queue in front
// of a fixed rate, and a delay. Every segment has its acknowledgment, as with SACK.
type pipe struct {
	c   Controller
	mss int

	rate  int64 // bytes per second
	delay time.Duration
	queue int // bytes
	loss  float64
	black bool // nothing arrives

	random *rand.Rand
	now    clock.Time

	flight    []pipeSegment // in the order of their sending, what is not delivered or lost
	linkFree  clock.Time
	sendFree  clock.Time // pacing
	idleUntil clock.Time // no data before
	inFlight  int
	number    uint64

	phase      Phase
	recoverAt  uint64 // what was sent before belongs to the recovery, and its retransmissions
	resend     int    // segments to send again for the recovery
	rto        clock.Time
	srtt, mrtt time.Duration
	lostSince  int

	delivered   uint64
	deliveredAt clock.Time
	firstSent   clock.Time
	limitedTo   uint64 // C.app_limited

	timeouts  int
	timeoutAt clock.Time
	maxQueue  time.Duration // at the link since it was reset
}

type pipeSegment struct {
	number      uint64
	ackAt       clock.Time // not set: dropped
	sentAt      clock.Time
	delivered   uint64
	deliveredAt clock.Time
	firstSent   clock.Time
	limited     bool
	again       bool // a retransmission for the recovery
}

func newPipe(c Controller, rate int64, delay time.Duration, queue int, seed int64) *pipe {
	p := &pipe{c: c, mss: testMSS, rate: rate, delay: delay, queue: queue, random: rand.New(rand.NewSource(seed)), now: testNow}
	c.Start(p.now, Start{MSS: p.mss, RTT: delay})
	p.srtt, p.mrtt = delay, delay
	return p
}

// run lets d pass and returns the bytes that were delivered in each second of it.
func (p *pipe) run(d time.Duration) float64 {
	before, end := p.delivered, p.now.Add(d)
	for p.now < end {
		p.send()
		next := clock.Earliest(p.nextAck(), p.rto)
		if p.now < p.idleUntil {
			next = clock.Earliest(next, p.idleUntil)
		} else if p.inFlight+p.mss <= p.c.Window() {
			next = clock.Earliest(next, p.sendFree)
		}
		p.now = min(max(next, p.now), end)
		if next == 0 {
			p.now = end
		}
		p.receive()
		if p.rto.Due(p.now) {
			p.timeout()
		}
	}
	return float64(p.delivered-before) / d.Seconds()
}

func (p *pipe) nextAck() clock.Time {
	for _, s := range p.flight {
		if s.ackAt.IsSet() {
			return s.ackAt
		}
	}
	return 0
}

func (p *pipe) send() {
	for p.now >= p.idleUntil && p.inFlight+p.mss <= max(p.c.Window(), p.mss) && p.sendFree <= p.now {
		if p.inFlight == 0 {
			p.deliveredAt, p.firstSent = p.now, p.now // draft-cheng 3.2
		}
		s := pipeSegment{
			number: p.number, sentAt: p.now, delivered: p.delivered, deliveredAt: p.deliveredAt,
			firstSent: p.firstSent, limited: p.limitedTo > 0,
		}
		if p.resend > 0 {
			s.again = true
			p.resend--
		}
		p.number++
		wait := max(p.linkFree, p.now).Sub(p.now)
		if queued := int(wait.Seconds() * float64(p.rate)); !p.black && queued+p.mss <= p.queue && p.random.Float64() >= p.loss {
			p.linkFree = max(p.linkFree, p.now).Add(time.Duration(int64(p.mss) * int64(time.Second) / p.rate))
			s.ackAt = p.linkFree.Add(p.delay)
			p.maxQueue = max(p.maxQueue, wait)
		}
		p.flight = append(p.flight, s)
		p.inFlight += p.mss
		p.c.OnSend(p.now, p.mss, p.inFlight)
		if r := p.c.PacingRate(); r > 0 {
			p.sendFree = p.now.Add(time.Duration(int64(p.mss) * int64(time.Second) / r))
		}
		if !p.rto.IsSet() {
			p.rto = p.now.Add(p.srtt + time.Second)
		}
	}
}

// receive takes all acknowledgments that are due.
func (p *pipe) receive() {
	for i := 0; i < len(p.flight); i++ {
		s := p.flight[i]
		if !s.ackAt.IsSet() {
			continue
		}
		if s.ackAt > p.now {
			return
		}
		p.ack(i, s)
		i = -1
	}
}

// ack delivers segment s, and takes for lost what was sent three segments before.
func (p *pipe) ack(i int, s pipeSegment) {
	prior := p.inFlight
	p.flight = append(p.flight[:i], p.flight[i+1:]...)
	p.inFlight -= p.mss
	p.delivered += uint64(p.mss)
	p.deliveredAt = p.now
	p.rto = p.now.Add(p.srtt + time.Second)
	if p.delivered > p.limitedTo {
		p.limitedTo = 0
	}
	p.markLost(s.number)

	rtt := p.now.Sub(s.sentAt)
	p.mrtt = min(p.mrtt, rtt)
	p.srtt += (rtt - p.srtt) / 8
	if p.phase != Open && p.recovered() {
		p.phase = Open
		p.c.OnRecovered(p.now, p.inFlight)
	}
	if p.lostSince > 0 && p.phase == Open {
		p.phase, p.recoverAt, p.resend = Recovery, p.number, p.lostSince/p.mss
		p.c.OnCongestion(p.now, Loss, p.inFlight)
	}
	interval := max(s.sentAt.Sub(s.firstSent), p.now.Sub(s.deliveredAt))
	p.firstSent = s.sentAt
	a := Ack{
		Acked: p.mss, Delivered: p.mss, Lost: p.lostSince, PriorInFlight: prior, InFlight: p.inFlight, Phase: p.phase,
		WindowLimited: p.now >= p.idleUntil, RTT: rtt, SRTT: p.srtt, MinRTT: p.mrtt,
		AppLimited: s.limited, TotalDelivered: p.delivered, PriorDelivered: s.delivered,
	}
	if interval >= p.mrtt {
		a.Rate = int64(float64(p.delivered-s.delivered) / interval.Seconds())
		a.RateInterval = interval
	}
	p.lostSince = 0
	p.c.OnAck(p.now, a)
}

// recovered reports whether all that belongs to the recovery has arrived.
func (p *pipe) recovered() bool {
	if p.resend > 0 {
		return false
	}
	for _, s := range p.flight {
		if s.again || s.number < p.recoverAt {
			return false
		}
	}
	return true
}

func (p *pipe) markLost(by uint64) {
	kept := p.flight[:0]
	for _, s := range p.flight {
		if s.number+3 <= by && !s.ackAt.IsSet() {
			p.inFlight -= p.mss
			p.lostSince += p.mss
			if p.phase != Open && (s.again || s.number < p.recoverAt) {
				p.resend++
			}
			continue
		}
		kept = append(kept, s)
	}
	p.flight = kept
}

func (p *pipe) timeout() {
	p.rto = 0
	if p.inFlight == 0 {
		return
	}
	p.timeouts++
	if p.phase != Timeout || p.deliveredAt > p.timeoutAt {
		p.c.OnTimeout(p.now, p.inFlight) // the first of a row
	}
	p.timeoutAt = p.now
	p.phase, p.recoverAt, p.resend = Timeout, p.number, p.inFlight/p.mss
	p.lostSince += p.inFlight
	p.flight, p.inFlight = p.flight[:0], 0
	p.sendFree = p.now
}

// pause has the application send nothing for d.
func (p *pipe) pause(d time.Duration) {
	p.idleUntil = p.now.Add(d)
	p.limitedTo = p.delivered + uint64(max(p.inFlight, 1))
	p.run(d)
}
