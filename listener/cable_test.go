package listener_test

import (
	"bytes"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/phy"
)

// A cable is an end of a link on which many may send to one: what a stack with a
// single device sends arrives at the first queue of a Fanout, and what the
// others send all comes back to it.
type cable struct {
	caps   phy.Capabilities
	rx     <-chan []byte
	tx     chan<- []byte
	wake   chan struct{}
	closed chan struct{}
	once   sync.Once

	in   []byte // arrived in Wait
	room []byte
	held []byte // committed, and the link is full
}

// trunk returns n queues and the device at their other end.
func trunk(t testing.TB, medium phy.Medium, n int) (queues []phy.Device, single phy.Device) {
	t.Helper()
	const depth = 256
	caps := phy.Capabilities{Medium: medium, MTU: 1500}
	there, back := make(chan []byte, depth), make(chan []byte, depth)
	end := func(rx, tx chan []byte) phy.Device {
		return &cable{
			caps: caps, rx: rx, tx: tx, room: make([]byte, 1514),
			wake: make(chan struct{}, 1), closed: make(chan struct{}),
		}
	}
	for i := range n {
		rx := back
		if i > 0 {
			rx = nil // nothing ever arrives there
		}
		queues = append(queues, end(rx, there))
	}
	return queues, end(there, back)
}

// TestTrunk sends a frame each way.
func TestTrunk(t *testing.T) {
	queues, single := trunk(t, phy.MediumIP, 2)
	for _, way := range [][2]phy.Device{{single, queues[0]}, {queues[0], single}, {queues[1], single}} {
		b, err := way[0].TxBuffer()
		require.NoError(t, err)
		require.NoError(t, way[0].Commit(copy(b, "frame"), phy.Offload{}))
		require.NoError(t, way[1].Wait(-1))
		f, err := way[1].Receive()
		require.NoError(t, err)
		require.Equal(t, "frame", string(f.Data))
	}
}

func (c *cable) Capabilities() phy.Capabilities { return c.caps }

func (c *cable) state() error {
	select {
	case <-c.closed:
		return phy.ErrClosed
	default:
		return nil
	}
}

func (c *cable) Receive() (phy.Frame, error) {
	if err := c.state(); err != nil {
		return phy.Frame{}, err
	}
	b := c.in
	if c.in = nil; b == nil {
		select {
		case b = <-c.rx:
		default:
			return phy.Frame{}, phy.ErrWouldBlock
		}
	}
	return phy.Frame{Data: b}, nil
}

func (c *cable) TxBuffer() ([]byte, error) {
	if err := c.Flush(); err != nil {
		return nil, err
	}
	if c.held != nil {
		return nil, phy.ErrWouldBlock
	}
	return c.room, nil
}

func (c *cable) Commit(n int, _ phy.Offload) error {
	c.held = bytes.Clone(c.room[:n])
	return c.Flush()
}

func (c *cable) Flush() error {
	if c.held != nil {
		select {
		case c.tx <- c.held:
			c.held = nil
		default:
		}
	}
	return c.state()
}

func (c *cable) Wait(d time.Duration) error {
	if err := c.Flush(); err != nil || d == 0 || c.in != nil {
		return err
	}
	var timer <-chan time.Time
	if d > 0 {
		timer = time.After(d)
	}
	tx := c.tx
	if c.held == nil {
		tx = nil
	}
	select {
	case c.in = <-c.rx:
	case tx <- c.held:
		c.held = nil
	case <-c.wake:
	case <-timer:
	case <-c.closed:
	}
	return c.state()
}

func (c *cable) Wake() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

func (c *cable) Close() error {
	c.once.Do(func() { close(c.closed) })
	return nil
}
