package netsim

import (
	"encoding/binary"
	"io"
	"time"
)

// The pcap file format: draft-ietf-opsawg-pcap, sections 4 and 5.
const (
	pcapMagic     = 0xa1b23c4d // with nanoseconds
	pcapSnapLen   = 1 << 18
	pcapHeaderLen = 24
	pcapRecordLen = 16
	linkTypeRaw   = 101 // IPv4 or IPv6 by the version field

	captureBuffer = 1 << 16 // bytes gathered between writes
)

// A Capture writes packets to a file that Wireshark and tcpdump read, stamped
// with the virtual time since the making of the Sim.
type Capture struct {
	w   io.Writer
	buf []byte
	err error
}

// Capture writes what the host sends and receives to w from now on, until the
// returned Capture is flushed for the last time.
func (h *Host) Capture(w io.Writer) *Capture {
	return h.sim.capture(w, func(e *Event) bool { return e.Host == h })
}

// Capture writes what is given to this direction of a link to w, whatever becomes
// of it.
func (l *Link) Capture(w io.Writer) *Capture {
	return l.sim.capture(w, func(e *Event) bool { return e.Link == l && e.Kind == Sent })
}

func (s *Sim) capture(w io.Writer, wanted func(*Event) bool) *Capture {
	c := &Capture{w: w, buf: make([]byte, 0, captureBuffer)}
	h := binary.LittleEndian.AppendUint32(c.buf, pcapMagic)
	h = binary.LittleEndian.AppendUint16(h, 2) // version 2.4
	h = binary.LittleEndian.AppendUint16(h, 4)
	h = h[:pcapHeaderLen]
	binary.LittleEndian.PutUint32(h[16:], pcapSnapLen)
	binary.LittleEndian.PutUint32(h[20:], linkTypeRaw)
	c.buf = h
	s.Observe(func(e *Event) {
		if wanted(e) {
			c.record(e.At.Sub(epoch), e.Packet)
		}
	})
	return c
}

// record adds a packet.
func (c *Capture) record(at time.Duration, b []byte) {
	if len(c.buf)+pcapRecordLen+len(b) > captureBuffer {
		_ = c.Flush() // kept for the last one
	}
	if c.err != nil {
		return
	}
	c.buf = binary.LittleEndian.AppendUint32(c.buf, uint32(at/time.Second))
	c.buf = binary.LittleEndian.AppendUint32(c.buf, uint32(at%time.Second))
	c.buf = binary.LittleEndian.AppendUint32(c.buf, uint32(len(b)))
	c.buf = binary.LittleEndian.AppendUint32(c.buf, uint32(len(b)))
	c.buf = append(c.buf, b...)
}

// Flush writes out what has gathered, and returns the first error of the writer,
// which ends the capture.
func (c *Capture) Flush() error {
	if c.err == nil && len(c.buf) > 0 {
		_, c.err = c.w.Write(c.buf)
	}
	c.buf = c.buf[:0]
	return c.err
}
