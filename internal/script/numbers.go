package script

// From the numbers of the wire to those of scripts, and back.

import (
	"encoding/hex"
	"time"

	"smolnet/netstack/wire"
)

// millis is the time of the script.
func (r *runner) millis() uint32 { return uint32(r.now.Sub(Epoch) / time.Millisecond) }

// relative returns a segment of the connection in the script's numbers.
func (r *runner) relative(s *Segment) *pattern {
	f := r.flow(s.Port)
	p := &pattern{
		flags: s.Flags &^ wire.URG, n: len(s.Data), times: 1, win: int(s.Window),
		urg: -1, mss: -1, wscale: -1, uto: -1, ecn: s.ECN, cut: s.Cut, port: s.Port,
	}
	p.seq.v = s.Seq - f.iss
	if s.Flags.Has(wire.RST) && s.Seq == 0 {
		p.seq.v = 0 // it answers what has no ACK, RFC 9293 3.10.7.1
	}
	if s.Flags.Has(wire.ACK) {
		p.ack.v = s.Ack - f.irs
	}
	if s.Flags.Has(wire.URG) {
		p.flags |= wire.URG
		p.urg = int(s.Urgent)
	}
	o := &s.Options
	p.sackOK, p.ts = o.SACKPermitted, o.HasTimestamps
	if o.MSS != 0 {
		p.mss = int(o.MSS)
	}
	if o.HasWindowScale {
		p.wscale = int(o.WindowScale)
	}
	if o.HasUserTimeout {
		p.uto = int(o.UserTimeout)
	}
	if o.HasTimestamps {
		p.val.v = o.TSVal - f.stamp
		if p.ecr.v = o.TSEcr - r.stamp; o.TSEcr == 0 {
			p.ecr.v = 0
		}
	}
	for _, k := range o.SACK[:o.NumSACK] {
		p.sack = append(p.sack, [2]uint32{k.Start - f.irs, k.End - f.irs})
	}
	if o.HasFastOpen {
		p.fastOpen = hex.EncodeToString(o.FastOpenCookie[:o.FastOpenLen])
		if o.FastOpenLen == 0 {
			p.fastOpen = "request"
		}
	}
	return p
}

// resolve returns an expected segment with numbers for what is "next".
func (r *runner) resolve(p *pattern) *pattern {
	f := r.flow(p.port)
	out := *p
	if p.seq.next {
		out.seq = number{v: f.ours - uint32(segmentLen(p.flags, p.times*p.n))}
	}
	if p.ack.next {
		out.ack = number{v: f.peer}
	}
	return &out
}

// resolvePeer is resolve for a segment of the peer.
func (r *runner) resolvePeer(p *pattern) *pattern {
	f := r.flow(p.port)
	out := *p
	if p.seq.next {
		out.seq = number{v: f.peer}
	}
	switch {
	case p.ack.next:
		out.ack = number{v: f.ours}
	case p.ack.more:
		out.ack = number{v: f.acked + p.ack.v}
	}
	return &out
}

// absolute returns a segment of the peer, which is resolved, in the numbers of the
// wire, and takes note of it.
func (r *runner) absolute(p *pattern) Segment {
	f := r.flow(p.port)
	s := Segment{ECN: p.ecn, Cut: p.cut, Port: p.port, Data: make([]byte, p.n)}
	s.Flags = p.flags
	s.Seq = p.seq.v + f.irs
	if p.flags.Has(wire.ACK) {
		s.Ack = p.ack.v + f.iss
		if int32(p.ack.v-f.acked) > 0 {
			f.acked = p.ack.v
		}
	}
	s.Window = uint16(max(r.peer.win, 0))
	if p.win >= 0 {
		s.Window = uint16(p.win)
	}
	at := p.seq.v
	if !p.flags.Has(wire.SYN) {
		at--
	}
	for i := range s.Data {
		s.Data[i] = peerByte(at + uint32(i))
	}
	s.Urgent = uint16(max(p.urg, 0))
	r.options(p, f, &s)
	end := p.seq.v + uint32(segmentLen(p.flags, p.n))
	if int32(p.seq.v-f.peer) <= 0 && int32(end-f.peer) > 0 {
		f.peer = end
	}
	return s
}

// options sets the options of a segment of the peer.
func (r *runner) options(p *pattern, f *flow, s *Segment) {
	o := &s.Options
	o.MSS = uint16(max(p.mss, 0))
	o.HasWindowScale, o.WindowScale = p.wscale >= 0, uint8(max(p.wscale, 0))
	o.HasUserTimeout, o.UserTimeout = p.uto >= 0, uint16(max(p.uto, 0))
	o.SACKPermitted = p.sackOK
	if p.ts {
		o.HasTimestamps = true
		o.TSVal = r.stamp + r.millis()
		if s.Flags.Has(wire.ACK) {
			o.TSEcr = f.lastVal
		}
		if !p.val.any {
			o.TSVal, o.TSEcr = r.stamp+p.val.v, f.stamp+p.ecr.v
		}
	}
	for _, k := range p.sack {
		o.SACK[o.NumSACK] = wire.SACKBlock{Start: k[0] + f.iss, End: k[1] + f.iss}
		o.NumSACK++
	}
	if p.fastOpen == "" {
		return
	}
	o.HasFastOpen = true
	cookie := p.fastOpen
	if cookie == "given" {
		cookie = r.cookie
	}
	if b, err := hex.DecodeString(cookie); err == nil {
		o.FastOpenLen = uint8(copy(o.FastOpenCookie[:], b))
	}
}

// peerByte and userByte are what both sides write at a place.
func peerByte(i uint32) byte { return byte('a' + (i+i/26+i/1000)%26) }
func userByte(i int) byte    { return byte('A' + (i+i/26+i/1000)%26) }
