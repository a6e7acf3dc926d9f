// Package phy holds the devices that a stack sends and receives frames
// through, and the middleware that wraps them.
//
// A [Device] is driven by one goroutine, the stack's poll loop, which owns it
// from the first call to the last. Only Wake and Close may be called from
// others. No method but Wait blocks, none allocates per frame, and a device
// without room says so ([ErrWouldBlock]): it never drops what it was given.
//
// A driver's turn looks like this:
//
//	for {
//		f, err := dev.Receive() // until ErrWouldBlock: take what has arrived
//		...
//		b, err := dev.TxBuffer() // until ErrWouldBlock or nothing to say
//		...
//		err = dev.Commit(n, phy.Offload{})
//	}
//	dev.Flush()
//	dev.Wait(untilNextTimer)
//
// [Pipe] and [Loopback] are devices in memory, [OpenTUN], [OpenTAP],
// [OpenPacket] and [FromFD] those of the operating system. [NewPcap], [NewTracer] and
// [NewFault] wrap a device, to look at its frames or to spoil them, and are
// devices themselves.
package phy

import (
	"errors"
	"time"
)

// ErrWouldBlock is returned by Receive when no frame has arrived and by
// TxBuffer when there is no room. It is not a failure.
var ErrWouldBlock = errors.New("phy: operation would block")

// ErrClosed is returned by every method of a closed device.
var ErrClosed = errors.New("phy: device closed")

// ErrFrameLength is returned by Commit for a length that the buffer, the
// medium's header or the MTU does not allow. Nothing was sent.
var ErrFrameLength = errors.New("phy: frame length not allowed")

// ErrOffload is returned by Commit for an [Offload] that the device did not
// offer or that does not fit the frame. Nothing was sent.
var ErrOffload = errors.New("phy: offload not supported")

// A Medium is the kind of link that a device is attached to, and so the
// framing of its frames.
type Medium uint8

const (
	// MediumEthernet frames start with an Ethernet II header and carry no
	// frame check sequence.
	MediumEthernet Medium = iota
	// MediumIP frames are bare IPv4 or IPv6 packets (TUN, tunnels).
	MediumIP
)

// String returns "ethernet" or "ip".
func (m Medium) String() string {
	switch m {
	case MediumEthernet:
		return "ethernet"
	case MediumIP:
		return "ip"
	}
	return "unknown"
}

// EthernetHeaderLen is the length of the link header on [MediumEthernet].
const EthernetHeaderLen = 14

// HeaderLen returns the length in bytes of the medium's link header.
func (m Medium) HeaderLen() int {
	if m == MediumEthernet {
		return EthernetHeaderLen
	}
	return 0
}

// Capabilities say what a device is and what it can do. They do not change
// while the device is open.
type Capabilities struct {
	Medium Medium

	// MTU is the largest IP packet that fits, in bytes, without the link
	// header. It is between 68 and 65535.
	MTU int

	// MaxSuperFrame is the largest super-frame (IP packet, bytes) that Commit
	// takes with an Offload that asks for segmentation, 65535 at most. Zero: the
	// device cannot segment. It comes with TxChecksum.
	MaxSuperFrame int

	// UDPSegments says that super-frames may be UDP's (GSOUDP) as well as TCP's.
	// It comes with MaxSuperFrame.
	UDPSegments bool

	// TxChecksum says that transport checksums may be left to the device:
	// Commit takes frames whose Offload has NeedsChecksum set.
	TxChecksum bool

	// RxChecksum says that the link cannot corrupt frames, so arriving
	// checksums need not be verified (a memory link).
	RxChecksum bool

	// Loopback says that everything sent comes back as received. Such a link
	// may carry loopback addresses and our own address as source.
	Loopback bool

	// HardwareAddr is the address that the device wants its user to have on
	// MediumEthernet; the zero address lets the stack choose.
	HardwareAddr [6]byte
}

// GSOType says how a super-frame is to be cut.
type GSOType uint8

// The values are those of the virtio-net header (virtio 1.2, 5.1.6).
const (
	GSONone  GSOType = 0
	GSOTCPv4 GSOType = 1
	GSOTCPv6 GSOType = 4
	GSOUDP   GSOType = 5 // UDP_L4: segmentation, not fragmentation
)

// An Offload is what a frame's checksum and segmentation still need, the
// content of a virtio-net header. The zero Offload is an ordinary, finished
// frame.
type Offload struct {
	// NeedsChecksum: the 16-bit field at ChecksumStart+ChecksumOffset holds
	// the pseudo-header sum and must become the checksum of everything from
	// ChecksumStart on. On a received frame it means that the peer left the
	// checksum out and the data is good.
	NeedsChecksum bool
	// ChecksumValid is set on received frames whose transport checksum was
	// verified below.
	ChecksumValid bool
	// GSOType, if not GSONone, makes the frame a super-frame, to be cut into
	// segments of SegmentSize payload bytes. It takes NeedsChecksum with it,
	// as every segment needs a checksum of its own (virtio 1.2, 5.1.6.2).
	GSOType        GSOType
	HeaderLen      uint16 // link to transport header, bytes; with GSOType
	SegmentSize    uint16 // payload bytes per segment; with GSOType
	ChecksumStart  uint16
	ChecksumOffset uint16
}

// A Frame is one arrived frame. Data is the device's: it may be read, and
// changed in place, until the next call to Receive or Wait.
type Frame struct {
	Data    []byte
	Offload Offload
}

// A Device moves frames. See the package comment for who may call what.
type Device interface {
	// Capabilities returns what the device is; the same answer every time.
	Capabilities() Capabilities

	// Receive returns the next arrived frame, without waiting. The errors are
	// ErrWouldBlock, ErrClosed, or what ended the device.
	Receive() (Frame, error)

	// TxBuffer returns room for one frame: at least link header and MTU
	// bytes, or MaxSuperFrame bytes and link header where that is more. It
	// returns the same room until Commit. ErrWouldBlock means full.
	TxBuffer() ([]byte, error)

	// Commit sends the first n bytes of the buffer that TxBuffer returned.
	// It does not fail for want of room. An n that TxBuffer did not cover or
	// beyond link header and MTU in a frame that is no super-frame
	// (ErrFrameLength), or an Offload that Capabilities did not offer
	// (ErrOffload), is an error and nothing is sent; the buffer stays lent.
	Commit(n int, off Offload) error

	// Flush pushes out what Commit has queued. A device that cannot take it
	// all keeps the rest and answers TxBuffer with ErrWouldBlock.
	Flush() error

	// Wait sleeps until a frame has arrived, room has come back to a device
	// whose TxBuffer said ErrWouldBlock, Wake was called, or d has passed. A
	// negative d is no limit; zero does not sleep. Wait may return early for
	// no reason. A Wake that came between two Waits ends the next one. Wait
	// does the work of Flush first. The error is ErrClosed or what ended the
	// device.
	Wait(d time.Duration) error

	// Wake ends the present or the next Wait. It may be called from any
	// goroutine, never blocks, and is a no-op on a closed device.
	Wake()

	// Close releases the device and ends a Wait in progress. It may be called
	// from any goroutine, and more than once.
	Close() error
}
