package tcp_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"smolnet/netstack/errno"
	"smolnet/netstack/stream"
	"smolnet/netstack/tcp"
	"smolnet/netstack/wire"
)

// A script is a fuzzer's input, read as a sequence of actions.
type script []byte

func (s *script) byte() byte {
	if len(*s) == 0 {
		return 0
	}
	b := (*s)[0]
	*s = (*s)[1:]
	return b
}

func (s *script) uint16() uint16 { return uint16(s.byte())<<8 | uint16(s.byte()) }
func (s *script) uint32() uint32 { return uint32(s.uint16())<<16 | uint32(s.uint16()) }

// number is a sequence number that is mostly near to base.
func (s *script) number(base uint32) uint32 {
	switch k := s.byte(); k % 8 {
	case 0, 1, 2:
		return base
	case 3:
		return base + uint32(int8(s.byte()))
	case 4, 5:
		return base + uint32(int32(int16(s.uint16())))
	case 6:
		return base + uint32(s.byte())*ethMSS
	default:
		return s.uint32()
	}
}

func (s *script) duration() time.Duration {
	return time.Duration(1+s.byte()) << (s.byte() % 40)
}

func (s *script) options() (o Options) {
	k := s.byte()
	if k&1 != 0 {
		o.HasTimestamps, o.TSVal, o.TSEcr = true, s.number(7000), s.number(7000)
	}
	if k&2 != 0 {
		o.MSS = s.uint16()
	}
	if k&4 != 0 {
		o.HasWindowScale, o.WindowScale = true, s.byte()%15
	}
	if k&8 != 0 {
		o.SACKPermitted = true
	}
	if k&16 != 0 {
		o.NumSACK = s.byte() % (wire.MaxSACKBlocks + 1)
		for i := range o.NumSACK {
			start := s.number(1)
			o.SACK[i] = wire.SACKBlock{Start: start, End: s.number(start)}
		}
	}
	return o
}

// sack makes a segment one that tells of what has arrived as receivers do: on an
// acknowledgment of what may be out, with blocks at bounds of segments or near to
// them, and the echo of a timestamp that is of late.
func (s *script) sack(h *harness, seg *TCP) {
	una := uint32(h.c.Out.Start()) + 1
	out := uint32(max(h.c.Info().Outstanding, 1))
	size := uint32(h.mss())
	seg.Ack = una
	k := s.byte()
	if k&1 != 0 {
		seg.Ack += min(uint32(s.byte()%8)*size, out)
	}
	seg.Window = 65535
	o := &seg.Options
	for range k >> 1 % 5 {
		at := uint32(s.byte()%64) * size
		if k&32 != 0 {
			at += uint32(s.byte() % 16)
		}
		start := una + at
		if k&64 != 0 && o.NumSACK == 0 {
			start = una - at // it has arrived twice
		}
		o.SACK[o.NumSACK] = wire.SACKBlock{Start: h.iss + start, End: h.iss + start + uint32(1+s.byte()%8)*size}
		o.NumSACK++
	}
	if h.ts {
		o.HasTimestamps, o.TSVal, o.TSEcr = true, h.peerClock(), h.tsVal
		if k&128 != 0 {
			o.TSEcr -= uint32(s.byte())
		}
	}
}

// step does one action.
func (s *script) step(h *harness, ack *uint32) {
	switch k := s.byte(); k % 24 {
	case 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10:
		una := uint32(1)
		if h.c.State() != tcp.StateSynSent {
			una = uint32(h.c.Out.Start()) + 1
		}
		seg := TCP{
			Seq: s.number(*ack), Ack: s.number(una + uint32(h.c.Info().InFlight)),
			Flags: ACK, Window: s.uint16(),
		}
		switch s.byte() % 8 {
		case 0:
			seg.Flags = wire.TCPFlags(s.uint16() & 0x1ff)
		case 1:
			seg.Flags |= FIN
		case 2:
			seg.Options = s.options()
		case 3, 4:
			s.sack(h, &seg)
		}
		n := int(s.byte())
		if n > 128 {
			n *= 16
		}
		h.in(seg, fuzzData[:n])
	case 11, 12:
		h.advance(s.duration())
	case 13:
		if d := h.c.Deadline(); d > h.now {
			h.now = d
		}
	case 14, 15:
		n := min(int(s.uint16()), h.c.Out.Room())
		if n > 0 && len(h.out) < 1<<20 {
			n = h.c.Out.Write([]byte(fuzzData[:n])) // less if memory is short
			h.out = append(h.out, fuzzData[:n]...)
		}
	case 16, 17:
		h.read(int(s.uint16()))
	case 18:
		s.userCall(h)
	default:
		for _, seg := range h.all() {
			if seg.Flags.Has(ACK) && !seg.Flags.Has(RST) {
				*ack = seg.Ack
			}
		}
	}
}

var fuzzData = pattern(1 << 16)

// closed: after CloseWrite the user may not write any more; that is the
// facade's to see to.
func (s *script) userCall(h *harness) {
	switch k := s.byte(); k % 12 {
	case 0:
		h.closeWrite()
		h.c.Out.SetLimit(0)
	case 1:
		h.close()
		h.c.Out.SetLimit(0)
	case 2:
		h.closeRead()
	case 3:
		h.abort()
		h.c.Out.SetLimit(0)
	case 4:
		h.mtu = 300 + int(s.uint16())%8680
		h.c.SetMTU(h.now, h.mtu)
	case 5:
		h.c.SetKeepAlive(h.now, s.duration(), s.duration(), int(s.byte()))
	case 6:
		if k >= 128 {
			h.c.SetIdleTimeout(h.now, s.duration())
			return
		}
		h.c.SetUserTimeout(h.now, s.duration())
	case 7:
		h.c.Unreachable(h.now, errno.Errno(s.byte()%20))
	case 8:
		h.c.SetNoDelay(s.byte()&1 != 0)
	case 9:
		h.c.InFlight(tcp.Seq(s.uint32()))
	case 10:
		if k >= 128 {
			h.c.LimitMTU(h.now, 100+int(s.uint16())%9000, h.now.Add(s.duration()))
			return
		}
		h.c.In.SetLimit(4096 + int(s.uint16()))
	default:
		h.c.TakeEvents()
		h.c.WindowUpdateDue()
	}
}

// play runs a script on a connection in some state.
func play(h *harness, s script) {
	state := append(allStates, tcp.StateTimeWait)[int(s.byte())%(len(allStates)+1)]
	k := s.byte()
	h.room = 9000
	if k&4 != 0 && k&16 != 0 {
		h.pool = stream.NewPool(24 * stream.PageSize) // memory runs short
	}
	h.peer.HasTimestamps, h.peer.HasWindowScale, h.peer.SACKPermitted = k&1 != 0, k&2 != 0, k&4 != 0
	h.peer.WindowScale = k >> 4 % 15
	h.cfg.NoDelay = k&8 != 0
	h.cfg.RecvBuffer = 4096 << (s.byte() % 6)
	h.iss, h.irs = s.uint32(), s.uint32()
	h.to(state)
	ack := h.ourEdge // some number; the first segment says better
	if h.ourOffer {
		ack = 1
	}
	for range 500 {
		if len(s) == 0 {
			break
		}
		s.step(h, &ack)
	}
	h.all()
	// Whatever has happened: with a peer that is gone it comes to an end, or
	// waits for somebody.
	for range 200 {
		d := h.c.Deadline()
		if !d.IsSet() {
			break
		}
		h.now = max(h.now, d)
		h.all()
	}
	h.c.TimeWait()
	h.abort() // as owners do before they drop a connection
	h.all()
	h.c.In.Reset()
	h.c.Out.Reset()
	if n := h.pool.InUse(); n != 0 {
		h.fail("%d bytes of pages are left", n)
	}
}

// FuzzReceive: no sequence of segments, user calls and waiting makes a
// connection panic, break an invariant or a law of the harness, or talk without end.
func FuzzReceive(f *testing.F) {
	for i := range byte(18) {
		f.Add([]byte{i, i * 7, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 0, 0, 255, 255, 1, 1, 100, 20, 20, 14, 40, 0, 20, 20, 11, 200, 30, 20, 20, 18, i, 20, 20, 13, 20, 20})
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		play(newHarness(t), b)
	})
}

// TestRandomScripts plays random scripts in every test run.
func TestRandomScripts(t *testing.T) {
	const runs = 2000
	rng := rand.New(rand.NewPCG(42, 0))
	for range runs {
		b := make([]byte, 20+rng.IntN(1500))
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		play(newHarness(t), b)
	}
}
