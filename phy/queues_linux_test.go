package phy_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"smolnet/internal/netns"
	"smolnet/netstack/wire"
	"smolnet/phy"
	"smolnet/phy/hostside"
)

func TestOpenQueues(t *testing.T) {
	ns := netns.New(t)
	for kind, open := range queueOpeners {
		ns.Do(func() {
			for _, n := range []int{-1, 0, phy.MaxTunQueues + 1} {
				_, err := open("many0", n, phy.TunConfig{})
				require.ErrorContains(t, err, "phy: open "+kind+` "many0": `)
				require.ErrorContains(t, err, "queues are not between 1 and 256")
			}
			for _, n := range []int{1, 2, phy.MaxTunQueues} {
				queues, err := open("many%d", n, phy.TunConfig{MTU: 1400})
				require.NoError(t, err)
				require.Len(t, queues, n)
				for _, q := range queues {
					require.Equal(t, "many0", q.Name())
					require.Equal(t, queues[0].Capabilities(), q.Capabilities())
					require.Equal(t, 1400, q.Capabilities().MTU)
				}
				for i, q := range queues {
					if i == len(queues)-1 {
						ns.Output("ip", "link", "show", "many0") // one queue is left
					}
					require.NoError(t, q.Close())
				}
				ns.Output("sh", "-c", "! ip link show many0")
			}

			// All or nothing: an interface for one queue, and one that is full.
			ns.Output("ip", "tuntap", "add", "mode", strings.ToLower(kind), "name", "one0")
			_, err := open("one0", 2, phy.TunConfig{})
			require.ErrorIs(t, err, unix.EINVAL)
			require.ErrorContains(t, err, "queue 0: ")
			ns.Output("ip", "tuntap", "add", "mode", strings.ToLower(kind), "name", "many0", "multi_queue")
			_, err = openers[kind]("many0", phy.TunConfig{})
			require.ErrorIs(t, err, unix.EINVAL)
			some, err := open("many0", phy.MaxTunQueues-1, phy.TunConfig{})
			require.NoError(t, err)
			_, err = open("many0", 2, phy.TunConfig{})
			require.ErrorIs(t, err, unix.E2BIG)
			require.ErrorContains(t, err, "queue 1: ")
			last, err := open("many0", 1, phy.TunConfig{})
			require.NoError(t, err, "what the failure left behind")
			for _, q := range append(some, last...) {
				require.NoError(t, q.Close())
			}
			ns.Output("ip", "link", "delete", "one0")
			ns.Output("ip", "link", "delete", "many0")
		})
	}
}

// TestQueuesSteer: the answer to a flow comes to the queue that it was last
// sent from.
func TestQueuesSteer(t *testing.T) {
	netns.New(t).Do(func() {
		route(t)
		b := openNet(t, "b", phy.TunConfig{})
		queues, err := phy.OpenTUNQueues("a", 3, phy.TunConfig{})
		require.NoError(t, err)
		for _, q := range queues {
			defer q.Close()
		}
		require.NoError(t, hostside.Configure("a", networks["a"]))
		for range 2 {
			for i, q := range queues {
				there := flow{wire.ProtoTCP, peers4[0], peers4[1]}
				there.send(t, q, pattern(100+i), 0)
				payload, _, _ := there.next(t, b, false)
				require.Equal(t, pattern(100+i), payload)
				back := flow{wire.ProtoTCP, peers4[1], peers4[0]}
				back.sendBack(t, b, pattern(200+i))
				payload, _, _ = back.next(t, q, false)
				require.Equal(t, pattern(200+i), payload)
				for _, other := range queues {
					f, err := other.Receive()
					for ; err == nil; f, err = other.Receive() {
						require.Equal(t, byte(6), f.Data[0]>>4, "only what the kernel says by itself")
					}
					require.ErrorIs(t, err, phy.ErrWouldBlock)
				}
			}
		}
	})
}

// TestQueueWakes: each queue sleeps and wakes on its own.
func TestQueueWakes(t *testing.T) {
	netns.New(t).Do(func() {
		queues, err := phy.OpenTAPQueues("", 2, phy.TunConfig{})
		require.NoError(t, err)
		ended := make(chan error, 2)
		for _, q := range queues {
			go func() {
				for {
					if err := q.Wait(-1); err != nil {
						ended <- err
						return
					}
				}
			}()
		}
		for _, q := range queues {
			q.Wake()
			require.NoError(t, q.Close())
			err := <-ended
			require.True(t, errors.Is(err, phy.ErrClosed), err)
		}
	})
}
