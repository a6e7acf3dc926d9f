package link

import (
	"sync/atomic"
	"time"

	"smolnet/phy"
)

// A Device is an end of a link as a [phy.Device] of IP packets, for smolnet.
// It always has room: what a link drops, its sender does not hear of.
type Device struct {
	end    *End
	caps   phy.Capabilities
	inbox  inbox
	alarm  chan struct{} // one slot; a left-over only makes a Wait short
	asleep atomic.Bool
	closed atomic.Bool

	// The owner's own.
	room  []byte
	lent  bool
	timer *time.Timer
}

var _ phy.Device = (*Device)(nil)

// NewDevice returns e as a device. Nothing else may receive from e.
func NewDevice(e *End) *Device {
	d := &Device{
		end:   e,
		caps:  phy.Capabilities{Medium: phy.MediumIP, MTU: e.MTU()},
		inbox: newInbox(e.rx.model.MTU()),
		alarm: make(chan struct{}, 1),
		room:  make([]byte, e.MTU()),
	}
	e.Receive(d.arrive)
	return d
}

func (d *Device) arrive(pkt []byte) {
	d.inbox.put(pkt)
	if d.asleep.Load() {
		d.Wake()
	}
}

// Overrun returns how many packets arrived and were lost because the owner of
// the device did not come for them. It may be called from any goroutine.
func (d *Device) Overrun() uint64 { return d.inbox.lost() }

// Capabilities implements [phy.Device].
func (d *Device) Capabilities() phy.Capabilities { return d.caps }

// Receive implements [phy.Device].
func (d *Device) Receive() (phy.Frame, error) {
	if d.closed.Load() {
		return phy.Frame{}, phy.ErrClosed
	}
	pkt := d.inbox.take()
	if pkt == nil {
		return phy.Frame{}, phy.ErrWouldBlock
	}
	return phy.Frame{Data: pkt}, nil
}

// TxBuffer implements [phy.Device]. There is always room.
func (d *Device) TxBuffer() ([]byte, error) {
	if d.closed.Load() {
		return nil, phy.ErrClosed
	}
	d.lent = true
	return d.room, nil
}

// Commit implements [phy.Device].
func (d *Device) Commit(n int, off phy.Offload) error {
	switch {
	case d.closed.Load():
		return phy.ErrClosed
	case !d.lent || n < 1 || n > len(d.room):
		return phy.ErrFrameLength
	case off.NeedsChecksum || off.GSOType != phy.GSONone:
		return phy.ErrOffload
	}
	d.lent = false
	d.end.Send(d.room[:n]) // what is dropped, the link has counted
	return nil
}

// Flush implements [phy.Device].
func (d *Device) Flush() error {
	if d.closed.Load() {
		return phy.ErrClosed
	}
	return nil
}

// Wait implements [phy.Device].
func (d *Device) Wait(wait time.Duration) error {
	d.inbox.release()
	d.asleep.Store(true)
	// Only now, so that whoever comes later sees a sleeper.
	if wait != 0 && !d.closed.Load() && d.inbox.empty() {
		d.park(wait)
	} else {
		select {
		case <-d.alarm:
		default:
		}
	}
	d.asleep.Store(false)
	return d.Flush()
}

func (d *Device) park(wait time.Duration) {
	if wait < 0 {
		<-d.alarm
		return
	}
	if d.timer == nil {
		d.timer = time.NewTimer(wait)
	} else {
		d.timer.Reset(wait)
	}
	select {
	case <-d.alarm:
		d.timer.Stop()
	case <-d.timer.C:
	}
}

// Wake implements [phy.Device].
func (d *Device) Wake() {
	select {
	case d.alarm <- struct{}{}:
	default:
	}
}

// Close implements [phy.Device]. The link goes on.
func (d *Device) Close() error {
	d.closed.Store(true)
	d.Wake()
	return nil
}
