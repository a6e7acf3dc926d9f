package wire

import "encoding/binary"

// A SACKBlock is a range of sequence numbers that has arrived: from Start up
// to, and without, End (RFC 2018 3).
type SACKBlock struct{ Start, End uint32 }

// MaxSACKBlocks fit in a header without other options.
const MaxSACKBlocks = 4

// TCPOptions are the options of a TCP header. ParseTCP leaves everything zero
// that was not there, in SACK from NumSACK on and in FastOpenCookie from
// FastOpenLen on too, so that they can be compared with ==.
//
// What does not fit in the 40 bytes there are is left out by Put: the user
// timeout first, then SACK blocks from the last one on. Everything else always
// fits.
type TCPOptions struct {
	MSS            uint16 // bytes, RFC 9293 3.7.1; zero: absent
	WindowScale    uint8  // shift count 0..14, RFC 7323 2
	HasWindowScale bool
	SACKPermitted  bool // RFC 2018 2
	HasTimestamps  bool // RFC 7323 3
	TSVal          uint32
	TSEcr          uint32
	NumSACK        uint8
	SACK           [MaxSACKBlocks]SACKBlock
	HasFastOpen    bool  // RFC 7413 4.1.1; on a SYN only
	FastOpenLen    uint8 // bytes, 4..16 and even; zero: a request for a cookie
	FastOpenCookie [16]byte
	HasUserTimeout bool
	UserTimeout    uint16 // RFC 5482: granularity bit and value
}

// The option kinds, and the lengths that go with them. RFC 9293 MUST-4: the
// first three are supported by everybody.
const (
	tcpOptEnd           = 0
	tcpOptNop           = 1
	tcpOptMSS           = 2
	tcpOptWindowScale   = 3
	tcpOptSACKPermitted = 4
	tcpOptSACK          = 5
	tcpOptTimestamps    = 8
	tcpOptUserTimeout   = 28
	tcpOptFastOpen      = 34

	tcpTimestampsLen = 12 // with two NOPs before it
	tcpMaxOptions    = TCPMaxLen - TCPLen

	maxWindowScale  = 14
	minFastOpen     = 4 // cookie bytes
	tcpTimestampsAt = tcpOptNop<<24 | tcpOptNop<<16 | tcpOptTimestamps<<8 | 10
)

// parse reads the options in b, the rest of a header with the given flags.
func (o *TCPOptions) parse(b []byte, flags TCPFlags) error {
	*o = TCPOptions{} // cheaper than finding out what is in use
	// RFC 7323 appendix A recommends this layout, and nearly every segment
	// of a connection has it.
	if len(b) == tcpTimestampsLen && binary.BigEndian.Uint32(b) == tcpTimestampsAt {
		o.HasTimestamps = true
		o.TSVal = binary.BigEndian.Uint32(b[4:8])
		o.TSEcr = binary.BigEndian.Uint32(b[8:12])
		return nil
	}
	for len(b) > 0 { // RFC 9293 MUST-64: options may begin on any byte boundary
		switch b[0] {
		case tcpOptEnd:
			return nil
		case tcpOptNop:
			b = b[1:]
			continue
		}
		// RFC 9293 MUST-68: every other option has a length, known or not.
		// RFC 9293 MUST-7, 3.1: "TCP implementations MUST be prepared to
		// handle an illegal option length (e.g., zero)". Where the next option
		// starts is unknown then, so the segment goes; the connection stays.
		if len(b) < 2 || b[1] < 2 || int(b[1]) > len(b) {
			return DropBadOption
		}
		n := int(b[1])
		o.parseOne(b[0], b[2:n], flags)
		b = b[n:]
	}
	return nil
}

// parseOne reads one option's data. An unknown kind is ignored (RFC 9293
// MUST-6), and so is a known kind of the wrong length: that much is certain,
// the rest of the header can be read all the same (MUST-7).
func (o *TCPOptions) parseOne(kind uint8, d []byte, flags TCPFlags) {
	switch kind {
	case tcpOptMSS:
		if len(d) == 2 {
			o.MSS = binary.BigEndian.Uint16(d)
		}
	case tcpOptWindowScale:
		if len(d) == 1 {
			// RFC 7323 2.3: "If a Window Scale option is received with a
			// shift.cnt value larger than 14, the TCP SHOULD log the error
			// but MUST use 14 instead of the specified value."
			o.WindowScale = min(d[0], maxWindowScale)
			o.HasWindowScale = true
		}
	case tcpOptSACKPermitted:
		if len(d) == 0 {
			o.SACKPermitted = true
		}
	case tcpOptSACK:
		o.parseSACK(d)
	case tcpOptTimestamps:
		if len(d) == 8 {
			o.HasTimestamps = true
			o.TSVal = binary.BigEndian.Uint32(d[0:4])
			o.TSEcr = binary.BigEndian.Uint32(d[4:8])
		}
	case tcpOptUserTimeout:
		if len(d) == 2 {
			o.HasUserTimeout = true
			o.UserTimeout = binary.BigEndian.Uint16(d)
		}
	case tcpOptFastOpen:
		// RFC 7413 4.1.1: "Options with invalid Length values or without the
		// SYN flag set MUST be ignored."
		if flags&SYN != 0 && fastOpenLenValid(len(d)) {
			o.HasFastOpen = true
			o.FastOpenLen = uint8(len(d))
			o.FastOpenCookie = [16]byte{}
			copy(o.FastOpenCookie[:], d)
		}
	}
}

// fastOpenLenValid reports whether a cookie of n bytes can be: RFC 7413 4.1.1.
func fastOpenLenValid(n int) bool {
	return n == 0 || n >= minFastOpen && n <= len(TCPOptions{}.FastOpenCookie) && n%2 == 0
}

// parseSACK adds the blocks in d. There is room for all that fit in a header.
func (o *TCPOptions) parseSACK(d []byte) {
	if len(d)%8 != 0 {
		return
	}
	for ; len(d) > 0 && o.NumSACK < MaxSACKBlocks; d = d[8:] {
		o.SACK[o.NumSACK] = SACKBlock{binary.BigEndian.Uint32(d[0:4]), binary.BigEndian.Uint32(d[4:8])}
		o.NumSACK++
	}
}

// onlyTimestamps reports whether the timestamps are all that is set.
func (o *TCPOptions) onlyTimestamps() bool {
	return o.HasTimestamps && o.NumSACK == 0 && !o.HasUserTimeout &&
		o.MSS == 0 && !o.SACKPermitted && !o.HasWindowScale && !o.HasFastOpen
}

// A tcpLayout is what of the options goes into a header, and the bytes it takes.
type tcpLayout struct {
	n           uint8 // multiple of 4
	sack        uint8 // blocks
	fastOpen    bool
	userTimeout bool
}

// layout decides what fits. Every option is padded with NOPs to a multiple of
// 4 bytes, so that no End of Option List is needed nor padding after it (RFC
// 9293 MUST-69), but SACK-permitted takes the place of the NOPs before timestamps.
func (o *TCPOptions) layout(flags TCPFlags) (l tcpLayout) {
	n := 0
	if o.MSS != 0 {
		n += 4
	}
	switch {
	case o.HasTimestamps:
		n += tcpTimestampsLen
	case o.SACKPermitted:
		n += 4
	}
	if o.HasWindowScale {
		n += 4
	}
	if o.HasFastOpen && flags&SYN != 0 && fastOpenLenValid(int(o.FastOpenLen)) {
		l.fastOpen = true
		n += (2 + int(o.FastOpenLen) + 3) &^ 3
	}
	if room := (tcpMaxOptions - n - 4) / 8; o.NumSACK > 0 && room > 0 {
		// RFC 2018 4: the first block is the most recent news, so it is the
		// last ones that can be spared.
		l.sack = min(o.NumSACK, MaxSACKBlocks, uint8(room))
		n += 4 + 8*int(l.sack)
	}
	if o.HasUserTimeout && n+4 <= tcpMaxOptions {
		l.userTimeout = true
		n += 4
	}
	l.n = uint8(n)
	return l
}

// put writes what l says to b, which has its length.
func (o *TCPOptions) put(b []byte, l *tcpLayout) {
	if o.MSS != 0 {
		binary.BigEndian.PutUint32(b, tcpOptMSS<<24|4<<16|uint32(o.MSS))
		b = b[4:]
	}
	switch {
	case o.HasTimestamps:
		o.putTimestamps(b)
		if o.SACKPermitted {
			b[0], b[1] = tcpOptSACKPermitted, 2
		}
		b = b[tcpTimestampsLen:]
	case o.SACKPermitted:
		b[0], b[1], b[2], b[3] = tcpOptNop, tcpOptNop, tcpOptSACKPermitted, 2
		b = b[4:]
	}
	if o.HasWindowScale {
		b[0], b[1], b[2], b[3] = tcpOptNop, tcpOptWindowScale, 3, min(o.WindowScale, maxWindowScale)
		b = b[4:]
	}
	if l.fastOpen {
		if o.FastOpenLen%4 == 0 { // with kind and length, two bytes short
			b[0], b[1] = tcpOptNop, tcpOptNop
			b = b[2:]
		}
		n := 2 + o.FastOpenLen
		b[0], b[1] = tcpOptFastOpen, n
		copy(b[2:n], o.FastOpenCookie[:])
		b = b[n:]
	}
	if l.sack > 0 {
		b[0], b[1], b[2], b[3] = tcpOptNop, tcpOptNop, tcpOptSACK, 2+8*l.sack
		b = b[4:]
		for _, s := range o.SACK[:l.sack] {
			binary.BigEndian.PutUint32(b[0:4], s.Start)
			binary.BigEndian.PutUint32(b[4:8], s.End)
			b = b[8:]
		}
	}
	if l.userTimeout {
		binary.BigEndian.PutUint32(b, tcpOptUserTimeout<<24|4<<16|uint32(o.UserTimeout))
	}
}

// putTimestamps writes the timestamps and the NOPs before them.
func (o *TCPOptions) putTimestamps(b []byte) {
	_ = b[tcpTimestampsLen-1]
	binary.BigEndian.PutUint32(b[0:4], tcpTimestampsAt)
	binary.BigEndian.PutUint32(b[4:8], o.TSVal)
	binary.BigEndian.PutUint32(b[8:12], o.TSEcr)
}
