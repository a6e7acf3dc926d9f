//go:build !race

package tcp_test

import (
	"runtime/debug"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/clock"
	"smolnet/netstack/tcp"
	"smolnet/netstack/wire"
)

// Text out of order, its blocks, duplicates and what fills the gaps: no allocation,
// once the spans have their memory.
func TestOutOfOrderAllocs(t *testing.T) {
	for name, cfg := range map[string]tcp.Config{"timestamps": {}, "no timestamps": {NoTimestamps: true}, "no SACK": {NoSACK: true}} {
		t.Run(name, func(t *testing.T) {
			p := newWirePair(t, &cfg, ethMTU)
			h := TCP{SrcPort: 80, DstPort: 4321, Flags: ACK, Window: 1000}
			h.Options.HasTimestamps, h.Options.TSVal = !cfg.NoTimestamps, uint32(p.now/clock.Time(time.Millisecond))
			data, buf := make([]byte, 1000), make([]byte, 100_000)
			base := uint32(0xffff_0001)
			blocks, acks := 0, 0
			arrive := func(at uint32) {
				h.Seq, h.Ack = base+at*1000, 78
				p.b.Receive(p.now, &h, data)
			}
			answer := func() {
				for {
					w, ok := p.b.Send(p.now, p.buf)
					if !ok {
						return
					}
					if _, err := wire.ParseTCP(p.buf[:w.Len], &p.h); err != nil {
						panic(err)
					}
					acks++
					blocks += int(p.h.Options.NumSACK)
					h.Options.TSVal, h.Options.TSEcr = p.h.Options.TSEcr, p.h.Options.TSVal
				}
			}
			turn := func() {
				p.now = p.now.Add(time.Millisecond)
				for _, at := range []uint32{1, 3, 5, 7, 9, 11, 3, 2, 6, 0, 0, 4, 8, 10} {
					arrive(at)
					answer()
				}
				base += 12_000
				p.b.In.Read(buf)
				answer()
			}
			defer debug.SetGCPercent(debug.SetGCPercent(-1))
			for range 200 {
				turn()
			}
			blocks, acks = 0, 0
			require.Zero(t, testing.AllocsPerRun(50, turn))
			require.GreaterOrEqual(t, acks, 51*14)
			if cfg.NoSACK {
				require.Zero(t, blocks)
			} else {
				require.Greater(t, blocks, 51*20)
			}
			require.EqualValues(t, 12_000*251, p.b.Info().BytesReceived)
		})
	}
}
