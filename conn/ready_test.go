package conn

import (
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"smolnet/netstack"
	"smolnet/netstack/tcp"
)

// Who is woken because the connection is over finds Done closed. The reader looks
// as soon as there is a token, on another core if there is one.
func TestDoneBeforeNews(t *testing.T) {
	const rounds = 3000
	early := 0
	for range rounds {
		c := newTCP(new(netstack.Stack), "tcp")
		done, token := c.Done(), c.ready(&c.in)
		<-token // the one for the first who asks
		reader := make(chan bool, 1)
		started := make(chan struct{})
		go func() {
			close(started)
			for len(token) == 0 {
			}
			select {
			case <-done:
				reader <- true
			default:
				reader <- false
			}
		}()
		<-started
		c.Ready(tcp.EventFailed | tcp.EventClosed)
		if !<-reader {
			early++
		}
	}
	require.Zero(t, early)
}

// Connections take over each other's channels while signals to the one before are
// under way: those are tokens too many, and none is ever missing, or this hangs.
func TestChannelsAreGivenOn(t *testing.T) {
	const users, rounds = 8, 2000
	st := new(netstack.Stack)
	var all sync.WaitGroup
	for range users {
		all.Go(func() {
			for range rounds {
				c := newTCP(st, "tcp")
				var news atomic.Bool
				all.Go(func() {
					news.Store(true)
					c.Ready(tcp.EventReadable)
					c.Ready(tcp.EventReadable) // perhaps after the end of c
				})
				for !news.Load() {
					c.wait(&c.in)
				}
				c.shut()
			}
		})
	}
	all.Wait()
}

// While a connection is opened somebody waits who is not its user, and who must not be left
// with the channel of another one.
func TestChannelOfOpeningIsKept(t *testing.T) {
	st := new(netstack.Stack)
	for range 100 {
		c := newTCP(st, "tcp")
		c.opening.Store(true)
		ready := c.ready(&c.out)
		c.shut()
		for range 3 {
			next := newTCP(st, "tcp")
			require.NotEqual(t, ready, next.ready(&next.out))
		}
	}
}
