package env

import (
	"encoding/binary"
	"sync"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/rawfile"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/channel"
	"gvisor.dev/gvisor/pkg/tcpip/link/fdbased"
	"gvisor.dev/gvisor/pkg/tcpip/link/stopfd"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// newTUNEndpoint returns gVisor's link endpoint on a TUN interface: without
// offloads its own fdbased one, made to cut segments late, and with them, which fdbased knows on sockets
// only, one in the same manner. Release is to be called when the stack is gone,
// and before the file is closed.
func newTUNEndpoint(fd int, offload bool) (ep stack.LinkEndpoint, release func(), err error) {
	if !offload {
		ep, err = fdbased.New(&fdbased.Options{FDs: []int{fd}, MTU: tunMTU})
		return lateCut{ep}, func() {}, err
	}
	stop, err := stopfd.New()
	if err != nil {
		return nil, nil, err
	}
	e := &tunEndpoint{Endpoint: channel.New(0, tunMTU, ""), fd: fd, stop: stop}
	// Checksums of what arrives need no look: the kernel has verified them, or
	// left them out. That they may be left out of what is sent goes without a
	// capability: it is among the options of segments, and others have theirs.
	e.LinkEPCapabilities = stack.CapabilityRXChecksumOffload
	e.SupportedGSOKind = stack.HostGSOSupported
	return e, e.release, nil
}

// lateCut is an endpoint for which segments are cut from larger ones at the end of
// the way down (gVisor's software GSO). fdbased offers that on sockets only.
type lateCut struct{ stack.LinkEndpoint }

// GSOMaxSize implements stack.GSOEndpoint.
func (lateCut) GSOMaxSize() uint32 { return gvisorSuperFrame }

// SupportedGSO implements stack.GSOEndpoint.
func (lateCut) SupportedGSO() stack.SupportedGSO { return stack.GVisorGSOSupported }

// vnetHeaderLen is the length of the virtio-net header (virtio 1.2, 5.1.6,
// without the number of buffers).
const vnetHeaderLen = 10

// tunViews are the sizes of the buffers that a packet is read to, the small ones
// first, so that it takes little more memory than it is long.
var tunViews = [...]int{128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768, 2048}

// tunEndpoint is a TUN interface with virtio-net headers. Packets are written
// where the stack sends them, with one system call and without a copy before it,
// and read by a goroutine that delivers them itself: at 64 KiB a packet there is
// nothing to be gained by handing them to another.
type tunEndpoint struct {
	*channel.Endpoint
	fd     int
	stop   stopfd.StopFD
	start  sync.Once
	reader sync.WaitGroup

	// The reader's own.
	head   [vnetHeaderLen]byte
	views  [len(tunViews)]*buffer.View
	iovecs [1 + len(tunViews)]unix.Iovec
}

// GSOMaxSize implements stack.GSOEndpoint.
func (*tunEndpoint) GSOMaxSize() uint32 { return gvisorSuperFrame }

// Attach implements stack.LinkEndpoint. It starts the reader, and stops it when
// the interface is removed. It does not wait for that: the stack is locked, and
// the reader may be on its way in.
func (e *tunEndpoint) Attach(d stack.NetworkDispatcher) {
	e.Endpoint.Attach(d)
	if d != nil {
		e.start.Do(func() { e.reader.Go(e.read) })
	} else {
		e.stop.Stop()
	}
}

// release waits for the reader and frees what it holds, when the stack is gone.
func (e *tunEndpoint) release() {
	e.reader.Wait()
	unix.Close(e.stop.EFD)
}

// WritePackets implements stack.LinkEndpoint.
func (e *tunEndpoint) WritePackets(pkts stack.PacketBufferList) (int, tcpip.Error) {
	for i, pkt := range pkts.AsSlice() {
		var head [vnetHeaderLen]byte
		putVnetHeader(head[:], pkt)
		slices := pkt.AsSlices()
		var array [8]unix.Iovec
		iovecs := rawfile.AppendIovecFromBytes(array[:0], head[:], rawfile.MaxIovs)
		for _, s := range slices {
			iovecs = rawfile.AppendIovecFromBytes(iovecs, s, rawfile.MaxIovs)
		}
		if errno := rawfile.NonBlockingWriteIovec(e.fd, iovecs); errno != 0 {
			return i, tcpip.TranslateErrno(errno)
		}
	}
	return pkts.Len(), nil
}

// putVnetHeader writes what a packet still needs. All numbers are in the
// machine's order, as nobody has told the interface otherwise.
func putVnetHeader(b []byte, pkt *stack.PacketBuffer) {
	gso := &pkt.GSOOptions
	if gso.Type == stack.GSONone {
		return
	}
	if gso.NeedsCsum {
		b[0] = unix.VIRTIO_NET_HDR_F_NEEDS_CSUM
		binary.NativeEndian.PutUint16(b[6:], gso.L3HdrLen)
		binary.NativeEndian.PutUint16(b[8:], gso.CsumOffset)
	}
	if pkt.Data().Size() <= int(gso.MSS) {
		return
	}
	b[1] = unix.VIRTIO_NET_HDR_GSO_TCPV4
	if gso.Type == stack.GSOTCPv6 {
		b[1] = unix.VIRTIO_NET_HDR_GSO_TCPV6
	}
	binary.NativeEndian.PutUint16(b[2:], uint16(pkt.HeaderSize()))
	binary.NativeEndian.PutUint16(b[4:], gso.MSS)
}

// read delivers what arrives until the endpoint is stopped.
func (e *tunEndpoint) read() {
	defer func() {
		for _, v := range e.views {
			if v != nil {
				v.Release()
			}
		}
	}()
	for {
		n, errno := rawfile.BlockingReadvUntilStopped(e.stop.EFD, e.fd, e.room())
		if n <= 0 || errno != 0 {
			return
		}
		if n <= vnetHeaderLen {
			continue
		}
		payload := e.pull(n - vnetHeaderLen)
		proto := header.IPv4ProtocolNumber
		if first, _ := payload.PullUp(0, 1); first.AsSlice()[0]>>4 == header.IPv6Version {
			proto = header.IPv6ProtocolNumber
		}
		pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: payload})
		e.InjectInbound(proto, pkt)
		pkt.DecRef()
	}
}

// room returns where to read to, with new buffers in the place of those that
// were pulled.
func (e *tunEndpoint) room() []unix.Iovec {
	e.iovecs[0] = rawfile.IovecFromBytes(e.head[:])
	for i, size := range tunViews {
		if e.views[i] != nil {
			break
		}
		e.views[i] = buffer.NewViewSize(size)
		e.iovecs[1+i] = unix.Iovec{Base: e.views[i].BasePtr()}
		e.iovecs[1+i].SetLen(size)
	}
	return e.iovecs[:]
}

// pull takes the n bytes that were read out of the endpoint's buffers.
func (e *tunEndpoint) pull(n int) (b buffer.Buffer) {
	for i := 0; n > 0; i++ {
		v := e.views[i]
		e.views[i] = nil
		v.CapLength(min(n, v.Size()))
		n -= v.Size()
		_ = b.Append(v)
	}
	return b
}
