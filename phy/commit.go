package phy

import "fmt"

// The bounds of [Capabilities].MTU: what every link must carry (RFC 791,
// section 3.2), and the largest packet that a 16-bit length can say.
const (
	MinMTU = 68
	MaxMTU = 65535
)

// defaultMTU is what a device has whose configuration names no MTU, that of
// Ethernet (RFC 894).
const defaultMTU = 1500

// checkMTU returns the MTU that a configuration asks for, zero standing for
// the default.
func checkMTU(mtu int) (int, error) {
	if mtu == 0 {
		return defaultMTU, nil
	}
	if mtu < MinMTU || mtu > MaxMTU {
		return 0, fmt.Errorf("MTU %d is not between %d and %d", mtu, MinMTU, MaxMTU)
	}
	return mtu, nil
}

// txRoom is the length of the buffers that a device with these capabilities
// hands out.
func (c *Capabilities) txRoom() int {
	return c.Medium.HeaderLen() + max(c.MTU, c.MaxSuperFrame)
}

// checkCommit says whether a device may take the first n bytes of room, which
// is what its TxBuffer lent, and nil when nothing is lent.
func (c *Capabilities) checkCommit(room []byte, n int, off *Offload) error {
	head := c.Medium.HeaderLen()
	if n < max(head, 1) || n > len(room) {
		return ErrFrameLength
	}
	if *off == (Offload{}) { // the common case
		if n > head+c.MTU {
			return ErrFrameLength
		}
		return nil
	}
	if off.NeedsChecksum && (!c.TxChecksum || int(off.ChecksumStart)+int(off.ChecksumOffset)+2 > n) {
		return ErrOffload
	}
	switch off.GSOType {
	case GSONone:
		if n > head+c.MTU {
			return ErrFrameLength
		}
	case GSOTCPv4, GSOTCPv6, GSOUDP:
		if c.MaxSuperFrame == 0 || !off.NeedsChecksum || off.SegmentSize == 0 || int(off.HeaderLen) > n {
			return ErrOffload
		}
		if off.GSOType == GSOUDP && !c.UDPSegments {
			return ErrOffload
		}
	default:
		return ErrOffload
	}
	return nil
}
