package phy_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/internal/netns"
	"smolnet/phy"
	"smolnet/phy/hostside"
)

// A packet socket says ENOBUFS when the queue of its interface is full: the
// device is full then, and loses nothing.
func TestPacketSocketFull(t *testing.T) {
	netns.NeedPrograms(t, "ip", "tc")
	const frames = 80 // no more than a packet socket holds unread
	ns := netns.New(t)
	ns.Output("ip", "link", "add", "veth0", "type", "veth", "peer", "name", "veth1")
	ns.Output("ip", "link", "set", "veth1", "up")
	// 16 Mbit/s behind room for about four frames.
	ns.Output("tc", "qdisc", "add", "dev", "veth0", "root", "tbf", "rate", "16mbit", "burst", "3000", "limit", "6000")
	var a, b phy.Device
	ns.Do(func() {
		quiet(t)
		require.NoError(t, hostside.Configure("veth0", hostside.Config{Up: true}))
		carries(t, "veth0", "veth1")
		a, b = packetSocket(t, "veth0", phy.MediumEthernet, 1500), packetSocket(t, "veth1", phy.MediumEthernet, 1500)
	})
	defer a.Close()
	defer b.Close()
	full := 0
	for i := range frames {
		room, err := a.TxBuffer()
		for errors.Is(err, phy.ErrWouldBlock) {
			full++
			require.NoError(t, a.Wait(time.Second))
			room, err = a.TxBuffer()
		}
		require.NoError(t, err)
		frame := room[:1000]
		clear(frame)
		copy(frame, "\xff\xff\xff\xff\xff\xff\x02\x00\x00\x00\x00\x01\x88\xb5") // an EtherType for experiments
		copy(frame[14:], fmt.Sprintf("frame %d.", i))
		require.NoError(t, a.Commit(len(frame), phy.Offload{}))
	}
	require.NotZero(t, full, "the queue was never full")
	for end := time.Now().Add(5 * time.Second); a.(*phy.TunTap).Stats().TxFrames < frames && time.Now().Before(end); {
		require.NoError(t, a.Flush())
		require.NoError(t, a.Wait(time.Millisecond))
	}
	require.Equal(t, uint64(frames), a.(*phy.TunTap).Stats().TxFrames)
	require.Zero(t, a.(*phy.TunTap).Stats().TxLost)
	for i := 0; i < frames; {
		f, err := b.Receive()
		if errors.Is(err, phy.ErrWouldBlock) {
			require.NoError(t, b.Wait(time.Second))
			continue
		}
		require.NoError(t, err)
		if string(f.Data[12:14]) != "\x88\xb5" {
			continue // the kernel's own
		}
		require.Contains(t, string(f.Data[14:34]), fmt.Sprintf("frame %d.", i))
		i++
	}
}
