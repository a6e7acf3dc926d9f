package phy

// An observer is a device that shows every frame which passes to see. What is
// sent is shown before it goes, as after that the buffer is not ours.
type observer struct {
	Device
	caps Capabilities
	lent []byte // by TxBuffer
	see  func(dir direction, frame []byte, off *Offload)
	off  Offload // of the frame shown: see's, so that none escapes
}

// A direction is where a frame goes, seen from the stack.
type direction uint8

const (
	dirRx direction = iota
	dirTx
)

func (d direction) String() string {
	if d == dirRx {
		return "rx"
	}
	return "tx"
}

// Receive implements [Device].
func (o *observer) Receive() (Frame, error) {
	f, err := o.Device.Receive()
	if err == nil {
		o.off = f.Offload
		o.see(dirRx, f.Data, &o.off)
	}
	return f, err
}

// TxBuffer implements [Device].
func (o *observer) TxBuffer() ([]byte, error) {
	b, err := o.Device.TxBuffer()
	o.lent = b
	return b, err
}

// Commit implements [Device].
func (o *observer) Commit(n int, off Offload) error {
	if o.off = off; o.caps.checkCommit(o.lent, n, &o.off) == nil {
		o.see(dirTx, o.lent[:n], &o.off)
		o.lent = nil
	}
	// What was refused here the device refuses too, and knows why.
	return o.Device.Commit(n, off)
}
