package link

import (
	"errors"
	"sync"

	"smolnet/phy"
)

// bridgeTurn is how many packets a bridge moves one way before it looks at the
// other.
const bridgeTurn = 64

// A Bridge joins an end of a link to a device: a TUN interface, say, behind
// which is the kernel.
type Bridge struct {
	dev    phy.Device
	end    *End
	inbox  inbox
	ending sync.WaitGroup
	err    error
}

// NewBridge joins e to dev, which is the bridge's from now on and must not
// segment (phy.TunConfig.NoOffload). Nothing else may receive from e.
func NewBridge(e *End, dev phy.Device) *Bridge {
	b := &Bridge{dev: dev, end: e, inbox: newInbox(e.rx.model.MTU())}
	e.Receive(func(pkt []byte) {
		b.inbox.put(pkt)
		dev.Wake()
	})
	b.ending.Go(func() { b.err = b.run() })
	return b
}

// Overrun returns how many packets arrived and were lost because the device
// did not take them in time. It may be called from any goroutine.
func (b *Bridge) Overrun() uint64 { return b.inbox.lost() }

// Close closes the device and returns what had ended the bridge before, if
// something had.
func (b *Bridge) Close() error {
	err := b.dev.Close()
	b.ending.Wait()
	if !errors.Is(b.err, phy.ErrClosed) {
		err = b.err
	}
	return err
}

// run moves packets until the device ends.
func (b *Bridge) run() error {
	var next []byte // from the inbox, waiting for room
	for {
		n, err := b.outbound()
		if err != nil {
			return err
		}
		if next, err = b.inbound(next); err != nil {
			return err
		}
		if err := b.dev.Flush(); err != nil {
			return err
		}
		if n == bridgeTurn {
			continue
		}
		// A Wake comes after each put, so a sleep does not miss it; what keeps
		// next waiting is the device, which gets up when it has room.
		if err := b.dev.Wait(-1); err != nil {
			return err
		}
	}
}

// outbound sends what the device has received. It returns how much that was.
func (b *Bridge) outbound() (n int, err error) {
	for ; n < bridgeTurn; n++ {
		f, err := b.dev.Receive()
		if errors.Is(err, phy.ErrWouldBlock) {
			break
		}
		if err != nil {
			return n, err
		}
		b.end.Send(f.Data) // what is dropped, the link has counted
	}
	return n, nil
}

// inbound writes what has arrived to the device, beginning with next. It
// returns the packet that the device has no room for.
func (b *Bridge) inbound(next []byte) ([]byte, error) {
	for {
		if next == nil {
			if next = b.inbox.take(); next == nil {
				return nil, nil
			}
		}
		room, err := b.dev.TxBuffer()
		if errors.Is(err, phy.ErrWouldBlock) {
			return next, nil
		}
		if err != nil {
			return nil, err
		}
		if err := b.dev.Commit(copy(room, next), phy.Offload{}); err != nil && !errors.Is(err, phy.ErrFrameLength) {
			return nil, err
		}
		next = nil
	}
}
