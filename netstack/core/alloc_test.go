//go:build !race

package core_test

// Not with the race detector, under which sync.Pool forgets on purpose.

import (
	"math/bits"
	"testing"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/core"
	"smolnet/netstack/wire"
)

// Steady state allocates nothing, per segment or per turn.
func TestNoAllocations(t *testing.T) {
	for name, opts := range map[string][]option{"ethernet": nil, "ip": {bareIP}, "intact": {intactLink}} {
		t.Run(name, func(t *testing.T) {
			f := newFlow(t, opts...)
			for range 300 {
				f.step()
			}
			frames := 0
			perRun := testing.AllocsPerRun(200, func() { frames += f.step() })
			require.Greater(t, frames, 2000)
			require.Less(t, perRun, 1.0, "allocations per turn")
		})
	}
}

// Nor does a SYN that is answered with a cookie, with timestamps or without.
func TestCookieAllocations(t *testing.T) {
	for name, o := range map[string]wire.TCPOptions{"full": fullOptions, "bare": {MSS: 1460}} {
		t.Run(name, func(t *testing.T) {
			w, h := alone(t, halfOpen(1, 1))
			h.listen(w.now, core.ListenOptions{Local: port(80)})
			require.NoError(t, h.c.AddRoute(routeVia("10.0.0.0/8", x4)))
			w.know(h, x4)
			w.in(h, synFrom(h, spoofed(0), 9, o))
			syn, b := synFrom(h, spoofed(1), 9, o), make([]byte, 2000)
			run := func() {
				h.eth.Receive(w.now, phyFrame(syn))
				for {
					if n, _ := h.eth.Send(w.now, b); n == 0 {
						return
					}
				}
			}
			run()
			most := 0.0
			if bits.UintSize == 32 {
				most = 1 // atomic operations on 64 bits are calls there, and what they are done on escapes
			}
			require.LessOrEqual(t, testing.AllocsPerRun(1000, run), most)
			require.NotZero(t, h.c.Stats().TCPCookiesSent)
		})
	}
}
