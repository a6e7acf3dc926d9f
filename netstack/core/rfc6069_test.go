package core_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/wire"
)

// RFC 6069 4.2: of a router's messages those that say that there is no way take
// back-off from a connection that waits in vain; others do not.
func TestNoRouteReachesConnection(t *testing.T) {
	for code, takes := range map[uint8]bool{
		wire.ICMPv4NetUnreachable: true, wire.ICMPv4HostUnreachable: true,
		wire.ICMPv4PortUnreachable: false, 13: false, // administratively prohibited
	} {
		w, a, b := pair(t)
		client, _, _, _ := connected(t, w, a, b, b4)
		var last []byte
		a.lose = func(frame []byte) bool { // from here on nothing arrives
			if frame[12] == 0x08 && frame[13] == 0x00 {
				last = append(last[:0], frame[wire.EthernetLen:]...)
			}
			return true
		}
		_, err := client.Write([]byte("x"))
		require.NoError(t, err)
		w.pass(5 * time.Second)
		before := client.Conn().Info().Retransmits
		require.Greater(t, client.Conn().Info().Backoff, 2)
		require.NotEmpty(t, last)
		w.in(a, frameTo(a, unreachable(last, wire.ICMP{Type: wire.ICMPv4Unreachable, Code: code})))
		// Half of the time has passed already: it is tried again at once.
		require.Equal(t, takes, client.Conn().Info().Retransmits > before, "code %d", code)
	}
}
