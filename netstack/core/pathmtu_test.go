package core

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/clock"
)

// The paths that are known are bounded, and none is known for ever.
func TestPathMTUs(t *testing.T) {
	addr := func(i int) netip.Addr {
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], uint32(i))
		return netip.AddrFrom4(b)
	}
	const now = clock.Time(1e9)
	var p pathMTUs
	known := func(now clock.Time, i int) int {
		e, _ := p.find(now, addr(i))
		return int(e.mtu)
	}
	require.Zero(t, known(now, 1))
	p.forget(addr(1))
	p.learn(now, addr(1), 1400)
	require.Equal(t, 1400, known(now, 1))
	p.learn(now+1, addr(1), 1300)
	require.Equal(t, 1300, known(now.Add(pathMTULife), 1))
	require.Zero(t, known(now.Add(pathMTULife)+1, 1))
	require.Zero(t, known(now, 1), "it is gone")

	for i := range 3 * maxPathMTUs {
		p.learn(now, addr(i), 1000+i%100)
		if i%5 == 0 {
			p.forget(addr(i))
		}
		require.LessOrEqual(t, len(p.entries), maxPathMTUs)
	}
	for i := range 3 * maxPathMTUs {
		want := 0
		if i >= 2*maxPathMTUs && i%5 != 0 {
			want = 1000 + i%100
		}
		require.Equal(t, want, known(now, i), i)
	}
	places := 0
	for i := range p.entries {
		if p.entries[i].mtu != 0 {
			places++
		}
	}
	require.Len(t, p.index, places)
}
