package conn_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/netstack"
	"smolnet/phy"
)

// A Write that finds the stack's memory used up by another connection goes on
// once that one has given some back, although nobody tells it.
func TestWriteWaitsForMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const budget = 256 << 10
		l := connect(t, phy.PipeConfig{}, func(cfg *netstack.Config) { cfg.Limits.Memory = budget })
		greedy, greedyPeer := dialled(t, l.a, l.b, addrB)
		modest, modestPeer := dialled(t, l.a, l.b, addrB)
		require.NoError(t, greedy.SetWriteDeadline(time.Now().Add(time.Minute)))
		n, err := greedy.Write(make([]byte, 4*budget))
		requireTimeout(t, err)
		require.Less(t, n, 4*budget)

		wrote := make(chan error, 1)
		go func() { _, err := modest.Write([]byte("patience")); wrote <- err }()
		synctest.Wait()
		select {
		case err := <-wrote:
			t.Fatalf("written without memory: %v", err)
		default:
		}
		readFull(t, greedyPeer, make([]byte, n))
		require.NoError(t, <-wrote)
		b := make([]byte, len("patience"))
		readFull(t, modestPeer, b)
		require.Equal(t, "patience", string(b))
	})
}
