//go:build !race

package tcp_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/tcp"
	"smolnet/netstack/wire"
)

// TestSums: what Send says of a segment's sum is what the segment sums to, and
// its data is what was written, wherever pages begin in it.
func TestSums(t *testing.T) {
	for _, cfg := range []tcp.Config{{}, {NoTimestamps: true}} {
		for _, room := range []int{ethMTU, 64 << 10} {
			t.Run(fmt.Sprintf("timestamps %v room %d", !cfg.NoTimestamps, room), func(t *testing.T) {
				p := newWirePair(t, &cfg, room)
				p.a.Sums = true
				rng := rand.New(rand.NewPCG(1, uint64(room)))
				data := make([]byte, 100_000)
				for i := range data {
					data[i] = byte(rng.Uint32())
				}
				sink := make([]byte, len(data))
				var want []byte // written and not read
				odd := 0        // segments that a page begins in, at an odd place
				for range 300 {
					from := p.a.Out.End()
					n := p.a.Out.Write(data[:1+rng.IntN(len(data))])
					want = append(want, data[:n]...)
					for sent := true; sent; {
						seg, ok := p.a.Send(p.now, p.buf)
						sent = ok
						if ok {
							require.Equal(t, tcp.HasSum|uint32(wire.Sum(p.buf[:seg.Len], 0)), seg.Sum)
							payload, err := wire.ParseTCP(p.buf[:seg.Len], &p.h)
							require.NoError(t, err)
							if left := 8192 - int(from%8192); left%2 == 1 && left < len(payload) {
								odd++
							}
							from += uint64(len(payload))
							p.b.Receive(p.now, &p.h, payload)
						}
						p.move(&p.b, &p.a)
					}
					for got := p.b.In.Read(sink); got > 0; got = p.b.In.Read(sink) {
						require.True(t, bytes.Equal(want[:got], sink[:got]), "what arrives is what was written")
						want = want[got:]
						p.move(&p.b, &p.a)
					}
					p.settle()
				}
				require.Greater(t, odd, 100)
			})
		}
	}
}
