//go:build !race

package core_test

// Not with the race detector, under which sync.Pool forgets on purpose.

import (
	"testing"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/core"
	"smolnet/netstack/packet"
	"smolnet/phy"
)

// TestUDPSegmentsNoAllocations: neither writing nor reading in segments costs
// memory.
func TestUDPSegmentsNoAllocations(t *testing.T) {
	for name, caps := range map[string]phy.Capabilities{"cut by the device": super, "cut by us": {}} {
		t.Run(name, func(t *testing.T) {
			a := newLinkEnd(t, caps, "192.0.2.1/24")
			b := newLinkEnd(t, caps, "192.0.2.2/24")
			s, err := a.OpenUDP(epoch, core.UDPOptions{Remote: at(b4, 9)})
			require.NoError(t, err)
			in, err := b.OpenUDP(epoch, core.UDPOptions{Local: port(9)})
			require.NoError(t, err)
			data, buf := make([]byte, 12000), make([]byte, 65535)
			bufs := [][]byte{data}
			s.Learn(packet.Meta{})
			run := func() {
				if _, err := s.Queue(bufs, packet.Meta{Segment: 1200}); err != nil {
					t.Error(err)
				}
				s.Flush()
				a.BeginTurn(epoch)
				b.BeginTurn(epoch)
				for {
					n, off := a.ifc.Send(epoch, buf)
					if n == 0 {
						break
					}
					b.ifc.Receive(epoch, phy.Frame{Data: buf[:n], Offload: off})
				}
				a.EndTurn(epoch)
				b.EndTurn(epoch)
				n, _, m, err := in.ReadBuffers(bufs, true)
				if n != len(data) || m.Segment != 1200 || err != nil {
					t.Error(n, m, err)
				}
			}
			run()
			require.Zero(t, testing.AllocsPerRun(200, run))
		})
	}
}
