package phy

import (
	"bufio"
	"encoding/binary"
	"io"
	"sync"
	"time"
)

// A PcapMode says which frames are captured.
type PcapMode uint8

// The modes of a capture.
const (
	PcapBoth PcapMode = iota
	PcapRxOnly
	PcapTxOnly
)

// A PcapConfig says how a capture is written. The zero value captures both
// directions with the time of day in nanoseconds.
type PcapConfig struct {
	Mode PcapMode
	// Microseconds writes the older form of the file, for readers that know
	// no other.
	Microseconds bool
	// Now is the time that frames are stamped with; nil means time.Now. Like
	// OnError it must not block, nor wait for the stack whose poll loop calls it.
	Now func() time.Time
	// OnError is told the first error of the writer, on the goroutine that
	// uses the device at that moment. It may be nil: Err tells, too.
	OnError func(error)
}

// The pcap file format: draft-ietf-opsawg-pcap, sections 4 and 5.
const (
	pcapMagicMicro = 0xa1b2c3d4
	pcapMagicNano  = 0xa1b23c4d
	pcapHeaderLen  = 24
	pcapRecordLen  = 16
	pcapSnapLen    = 1 << 18 // no frame is longer, no reader refuses it

	linkTypeEthernet = 1   // LINKTYPE_ETHERNET
	linkTypeRaw      = 101 // LINKTYPE_RAW: IPv4 or IPv6 by the version field

	pcapBuffer = 1 << 16 // bytes gathered between writes
)

// A Pcap is a [Device] that writes the frames which pass to a capture file,
// for Wireshark, tshark and tcpdump to read.
//
// Frames gather in a buffer, which is written when it is full, when the device
// goes to sleep in Wait, and on Close. A writer that fails stops the capture,
// not the traffic. Checksums and segments that are left to a device (see
// [Offload]) are captured as they are left.
type Pcap struct {
	observer
	cfg PcapConfig

	mu     sync.Mutex // Close may come from another goroutine than the rest
	w      *bufio.Writer
	head   [pcapRecordLen]byte
	err    error
	closed bool
}

// NewPcap returns dev with its frames captured to w. It writes from the
// device's goroutine, so w should not block for long; it stays the caller's,
// to be closed after the device.
func NewPcap(dev Device, w io.Writer, cfg PcapConfig) *Pcap {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	p := &Pcap{cfg: cfg, w: bufio.NewWriterSize(w, pcapBuffer)}
	p.observer = observer{Device: dev, caps: dev.Capabilities(), see: p.record}

	var h [pcapHeaderLen]byte
	magic, link := uint32(pcapMagicNano), uint32(linkTypeRaw)
	if cfg.Microseconds {
		magic = pcapMagicMicro
	}
	if p.caps.Medium == MediumEthernet {
		link = linkTypeEthernet
	}
	binary.LittleEndian.PutUint32(h[0:], magic)
	binary.LittleEndian.PutUint16(h[4:], 2) // version 2.4
	binary.LittleEndian.PutUint16(h[6:], 4)
	binary.LittleEndian.PutUint32(h[16:], pcapSnapLen)
	binary.LittleEndian.PutUint32(h[20:], link)
	_, _ = p.w.Write(h[:]) // into the buffer, which has room
	return p
}

// record appends a frame to the capture.
func (p *Pcap) record(dir direction, frame []byte, _ *Offload) {
	if p.cfg.Mode == PcapRxOnly && dir != dirRx || p.cfg.Mode == PcapTxOnly && dir != dirTx {
		return
	}
	now := p.cfg.Now()
	fraction := uint32(now.Nanosecond())
	if p.cfg.Microseconds {
		fraction /= 1000
	}
	p.mu.Lock()
	if p.closed || p.err != nil {
		p.mu.Unlock()
		return
	}
	binary.LittleEndian.PutUint32(p.head[0:], uint32(now.Unix()))
	binary.LittleEndian.PutUint32(p.head[4:], fraction)
	binary.LittleEndian.PutUint32(p.head[8:], uint32(len(frame)))
	binary.LittleEndian.PutUint32(p.head[12:], uint32(len(frame)))
	_, err := p.w.Write(p.head[:])
	if err == nil {
		_, err = p.w.Write(frame)
	}
	p.err = err
	p.mu.Unlock()
	p.report(err)
}

// report tells the first error, which is the only one there can be.
func (p *Pcap) report(err error) {
	if err != nil && p.cfg.OnError != nil {
		p.cfg.OnError(err)
	}
}

// flush writes out what has gathered; last says that nothing follows.
func (p *Pcap) flush(last bool) {
	p.mu.Lock()
	var err error
	if !p.closed && p.err == nil {
		err = p.w.Flush()
		p.err = err
	}
	p.closed = p.closed || last
	p.mu.Unlock()
	p.report(err)
}

// Err returns the error that ended the capture, nil if there was none. It may
// be called from any goroutine.
func (p *Pcap) Err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

// Wait implements [Device].
func (p *Pcap) Wait(d time.Duration) error {
	if d != 0 {
		p.flush(false)
	}
	return p.Device.Wait(d)
}

// Close implements [Device]. It completes the capture.
func (p *Pcap) Close() error {
	err := p.Device.Close()
	p.flush(true)
	return err
}
