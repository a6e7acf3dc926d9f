package phy

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// maxFrame is the longest frame that is read: an MTU of the host's side
	// that is larger than ours must not cut frames short.
	// It has room for every super-frame, too.
	maxFrame = MaxMTU + EthernetHeaderLen + 4 // a VLAN tag

	// maxBadRun is how many frames with a bad virtio-net header are thrown away
	// before Receive says that there is none.
	maxBadRun = 64

	// txRetry is how long a frame that the kernel has no room for waits until
	// it is tried again, as a device sleeps in its read only.
	txRetry = time.Millisecond
)

// past is a read deadline that ends a parked read.
var past = time.Unix(1, 0)

// A TunTap is a TUN or TAP interface of the kernel, or another file descriptor
// that moves one frame with each read and write.
//
// Where the kernel offers a virtio-net header, checksums and the cutting of
// super-frames are left to it, and it hands over what it has merged or not cut
// yet, so that a system call moves up to 64 KiB. The header is written and read
// in front of the frame, in the same buffer.
//
// It sleeps in one place, a read parked in Go's poller whose deadline is that
// of the Wait; Wake moves the deadline to the past. Commit writes at once.
// What the interface does not take for good (it is down, say) is lost, as on a
// cable that is not plugged in, and counted.
type TunTap struct {
	caps Capabilities
	name string
	file *os.File
	raw  syscall.RawConn

	woken  atomic.Bool // Wake was called and no Wait has ended since
	asleep atomic.Bool // a read is parked or about to be
	closed atomic.Bool

	rxFrames, rxBad, txFrames, txLost, txHeld atomic.Uint64

	// The owner's own.
	failed  error  // what ended the device
	vnet    int    // the length of the virtio-net header, 0 if there is none
	rx      []byte // the header and the frame last read
	rxN     int    // their length if Receive has not handed them out, else 0
	rxErr   error  // of the last read
	tx      []byte // the header and the frame being written
	txN     int    // their length if the kernel has not taken them, else 0
	txErr   error  // of the last write
	lent    bool   // tx is
	full    bool   // TxBuffer said so
	readNow func(fd uintptr)
	read    func(fd uintptr) bool
	write   func(fd uintptr)
}

// newTunTap takes over fd, which does not block, and whose frames have a
// virtio-net header of vnet bytes, or none if that is zero.
func newTunTap(fd int, name string, caps Capabilities, vnet int) (*TunTap, error) {
	d := &TunTap{
		caps: caps,
		name: name,
		file: os.NewFile(uintptr(fd), name),
		vnet: vnet,
		rx:   frameBuffer(vnet, maxFrame),
		tx:   frameBuffer(vnet, caps.txRoom()),
	}
	var err error
	if d.raw, err = d.file.SyscallConn(); err == nil {
		// Deadlines work if the runtime's poller has taken the descriptor.
		err = d.file.SetReadDeadline(time.Time{})
	}
	if err != nil {
		d.file.Close()
		return nil, fmt.Errorf("cannot be polled: %w", err)
	}
	d.readNow = func(fd uintptr) { d.rxN, d.rxErr = ignoringEINTR(unix.Read, fd, d.rx) }
	d.read = func(fd uintptr) bool {
		d.readNow(fd)
		return d.rxErr != unix.EAGAIN
	}
	d.write = func(fd uintptr) { _, d.txErr = ignoringEINTR(unix.Write, fd, d.tx[:d.txN]) }
	return d, nil
}

// frameBuffer returns a buffer for a virtio-net header of vnet bytes and a
// frame, which begins where words may.
func frameBuffer(vnet, frame int) []byte {
	front := -vnet & 15
	return make([]byte, front+vnet+frame)[front:]
}

func ignoringEINTR(call func(fd int, b []byte) (int, error), fd uintptr, b []byte) (int, error) {
	for {
		n, err := call(int(fd), b)
		if err != unix.EINTR {
			return max(n, 0), err
		}
	}
}

// Name returns the name of the interface, or "" if the descriptor is of
// another kind.
func (d *TunTap) Name() string { return d.name }

// String returns what error messages call the device.
func (d *TunTap) String() string {
	if d.name == "" {
		return "fd device"
	}
	return d.name
}

// Stats returns what was counted so far. It may be called from any goroutine.
func (d *TunTap) Stats() TunStats {
	return TunStats{
		RxFrames: d.rxFrames.Load(),
		RxBad:    d.rxBad.Load(),
		TxFrames: d.txFrames.Load(),
		TxLost:   d.txLost.Load(),
		TxHeld:   d.txHeld.Load(),
	}
}

// Capabilities implements [Device].
func (d *TunTap) Capabilities() Capabilities { return d.caps }

// state returns why the device can do no more, nil if it can.
func (d *TunTap) state() error {
	if d.closed.Load() {
		return ErrClosed
	}
	return d.failed
}

// fail ends the device. Errors that come from its being closed say so.
func (d *TunTap) fail(op string, err error) error {
	switch {
	case d.closed.Load() || errors.Is(err, os.ErrClosed):
		d.failed = ErrClosed
	case err == ErrClosed:
		d.failed = err
	default:
		d.failed = fmt.Errorf("phy: %s: %s: %w", d, op, err)
	}
	return d.failed
}

// Receive implements [Device].
func (d *TunTap) Receive() (Frame, error) {
	if err := d.state(); err != nil {
		return Frame{}, err
	}
	for range maxBadRun {
		if d.rxN == 0 {
			if err := d.raw.Control(d.readNow); err != nil {
				return Frame{}, d.fail("read", err)
			}
			if err := d.afterRead(); err != nil {
				return Frame{}, err
			}
		}
		n := d.rxN
		d.rxN = 0
		if f, ok := d.frame(n); ok {
			d.rxFrames.Add(1)
			return f, nil
		}
		d.rxBad.Add(1)
	}
	return Frame{}, ErrWouldBlock
}

// frame returns the frame in the n bytes that were read. It is not ok if the
// virtio-net header makes no sense.
func (d *TunTap) frame(n int) (f Frame, ok bool) {
	if d.vnet == 0 {
		return Frame{Data: d.rx[:n:n]}, true
	}
	if n <= d.vnet {
		return Frame{}, false
	}
	f.Data = d.rx[d.vnet:n:n]
	f.Offload, ok = parseVnet(d.rx[:d.vnet], f.Data, d.caps.Medium.HeaderLen())
	return f, ok
}

// afterRead looks at how a read went. The error is nil if there is a frame.
func (d *TunTap) afterRead() error {
	switch d.rxErr {
	case nil:
		if d.rxN == 0 {
			return d.fail("read", ErrClosed) // a socket's other end
		}
		return nil
	case unix.EAGAIN:
		return ErrWouldBlock
	case unix.ENETDOWN, unix.ENOBUFS, unix.ECONNRESET:
		// Said once by a packet socket whose interface went down, and by a
		// socket pair before what is left in it can be read.
		return ErrWouldBlock
	}
	return d.fail("read", d.rxErr)
}

// TxBuffer implements [Device].
func (d *TunTap) TxBuffer() ([]byte, error) {
	if err := d.state(); err != nil {
		return nil, err
	}
	if d.txN > 0 {
		if err := d.flush(); err != nil {
			return nil, err
		}
	}
	if d.full = d.txN > 0; d.full {
		return nil, ErrWouldBlock
	}
	d.lent = true
	return d.tx[d.vnet:], nil
}

// Commit implements [Device]. It writes the frame, or keeps it until the
// kernel has room.
func (d *TunTap) Commit(n int, off Offload) error {
	if err := d.state(); err != nil {
		return err
	}
	var room []byte
	if d.lent {
		room = d.tx[d.vnet:]
	}
	if err := d.caps.checkCommit(room, n, &off); err != nil {
		return err
	}
	if d.vnet > 0 {
		putVnet(d.tx[:d.vnet], &off)
	}
	d.lent, d.txN = false, d.vnet+n
	if err := d.flush(); err != nil {
		return err
	}
	if d.txN > 0 {
		d.txHeld.Add(1)
	}
	return nil
}

// Flush implements [Device].
func (d *TunTap) Flush() error {
	if err := d.state(); err != nil {
		return err
	}
	return d.flush()
}

// flush writes the frame that is to be written, if there is one.
func (d *TunTap) flush() error {
	if d.txN == 0 {
		return nil
	}
	if err := d.raw.Control(d.write); err != nil {
		return d.fail("write", err)
	}
	switch d.txErr {
	case nil:
		d.txFrames.Add(1)
	case unix.EAGAIN, unix.ENOBUFS:
		return nil // ENOBUFS is a packet socket's word for a full queue of its interface
	case unix.EBADFD, unix.ENODEV, unix.ENXIO, unix.EBADF:
		return d.fail("write", d.txErr) // the interface is gone
	case unix.EPIPE, unix.ECONNRESET, unix.ECONNREFUSED, unix.ENOTCONN:
		d.txLost.Add(1) // the other end is gone; there may be frames to receive
	default:
		// EIO is an interface that is down, EINVAL a frame that is not what
		// the interface carries. A link loses such frames.
		d.txLost.Add(1)
	}
	d.txN = 0
	return nil
}

// Wait implements [Device].
func (d *TunTap) Wait(wait time.Duration) error {
	if err := d.state(); err != nil {
		return err
	}
	if err := d.flush(); err != nil {
		return err
	}
	roomy := d.full && d.txN == 0
	if roomy {
		d.full = false
	}
	if wait == 0 || roomy || d.rxN > 0 || d.woken.Load() {
		d.woken.Store(false)
		return nil
	}
	if d.txN > 0 && (wait < 0 || wait > txRetry) {
		wait = txRetry
	}
	return d.park(wait)
}

// park reads a frame, and gives up after d or, if that is negative, never.
//
// The order matters. Once asleep is set, a Wake moves the read deadline, after
// which only a park sets it again. A Wake before that has left woken behind.
func (d *TunTap) park(wait time.Duration) error {
	d.asleep.Store(true)
	var deadline time.Time
	if wait > 0 {
		deadline = time.Now().Add(wait)
	}
	err := d.file.SetReadDeadline(deadline)
	if err == nil {
		if d.woken.Load() || d.closed.Load() {
			err = os.ErrDeadlineExceeded
		} else {
			err = d.raw.Read(d.read)
		}
	}
	d.asleep.Store(false)
	d.woken.Store(false)
	switch {
	case d.closed.Load():
		return ErrClosed
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil
	case err != nil:
		// The poller saw nothing but an error. A read knows which.
		if err := d.raw.Control(d.readNow); err != nil {
			return d.fail("read", err)
		}
	}
	if err := d.afterRead(); err != ErrWouldBlock {
		return err
	}
	return nil
}

// Wake implements [Device].
func (d *TunTap) Wake() {
	if d.woken.Load() {
		return // whoever set it takes care of the rest
	}
	d.woken.Store(true)
	if d.asleep.Load() {
		// The error is that of a closed device.
		_ = d.file.SetReadDeadline(past)
	}
}

// Close implements [Device].
func (d *TunTap) Close() error {
	if d.closed.Swap(true) {
		return nil
	}
	return d.file.Close()
}
