package core_test

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/wire"
)

// RFC 9293 MUST-48, SHLD-21, SHLD-22: a connection's Differentiated Services
// field is what its user says, also while it is open; the bits of congestion
// notification stay clear.
func TestTrafficClass(t *testing.T) {
	for _, to := range []netip.Addr{b4, b6} {
		t.Run(to.String(), func(t *testing.T) {
			w, a, b := pair(t, bareIP)
			c, _, _, _ := connected(t, w, a, b, to)
			var seen []uint8
			a.lose = func(frame []byte) bool {
				if h, _, err := wire.ParseIPv4(frame); err == nil {
					seen = append(seen, h.TOS)
				} else if h, _, err := wire.ParseIPv6(frame); err == nil {
					seen = append(seen, h.TrafficClass)
				}
				return false
			}
			for _, class := range []uint8{0, 0x2e<<2 | 3, 0x08} {
				seen = nil
				c.SetTrafficClass(class)
				_, err := c.Write([]byte("x"))
				require.NoError(t, err)
				w.run()
				require.Equal(t, []uint8{class &^ 3}, seen)
			}
		})
	}
}
