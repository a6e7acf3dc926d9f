package tcp

import (
	"math"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/clock"
	"smolnet/netstack/stream"
	"smolnet/netstack/wire"
)

func testID(local, remote string) ID {
	return ID{Local: netip.MustParseAddrPort(local), Remote: netip.MustParseAddrPort(remote)}
}

// RFC 6528 3: for one name the numbers follow the clock; names and keys have
// nothing to do with each other.
func TestISN(t *testing.T) {
	const at = clock.Time(time.Hour)
	s := NewISNSource([16]byte{1})
	id := testID("192.0.2.1:1000", "192.0.2.2:80")
	first := s.Next(at, id)
	require.Equal(t, first, NewISNSource([16]byte{1}).Next(at, id), "nothing but key, name and clock")
	require.Equal(t, first+1, s.Next(at.Add(4*time.Microsecond), id))
	require.Equal(t, first+250_000, s.Next(at.Add(time.Second), id))
	require.Equal(t, first, s.Next(at.Add(1<<32*4*time.Microsecond), id), "the clock wraps after 4.77 h")

	seen := map[Seq]bool{first: true}
	for _, other := range []ID{
		testID("192.0.2.1:1001", "192.0.2.2:80"),
		testID("192.0.2.1:1000", "192.0.2.2:81"),
		testID("192.0.2.3:1000", "192.0.2.2:80"),
		testID("192.0.2.1:1000", "192.0.2.3:80"),
		testID("192.0.2.2:80", "192.0.2.1:1000"),
		testID("[2001:db8::1]:1000", "[2001:db8::2]:80"),
	} {
		n := s.Next(at, other)
		require.False(t, seen[n], "%v", other)
		seen[n] = true
	}
	require.NotEqual(t, first, NewISNSource([16]byte{2}).Next(at, id))
}

// The offset of timestamps depends on the name and the key, and an initial sequence
// number tells nothing of it: RFC 7323 7.1.
func TestTimestampOffset(t *testing.T) {
	s := NewISNSource([16]byte{1})
	id := testID("192.0.2.1:1000", "192.0.2.2:80")
	offset := s.TimestampOffset(id)
	require.Equal(t, offset, s.TimestampOffset(id))
	require.NotEqual(t, offset, s.TimestampOffset(testID("192.0.2.1:1001", "192.0.2.2:80")))
	require.NotEqual(t, offset, NewISNSource([16]byte{2}).TimestampOffset(id))
	// Two halves of one hash: over many names no bit of one follows a bit of the other.
	var same [32]int
	const names = 4096
	for i := range names {
		id.Remote = netip.AddrPortFrom(id.Remote.Addr(), uint16(1+i))
		x := uint32(s.Next(0, id)) ^ s.TimestampOffset(id)
		for bit := range same {
			same[bit] += int(x >> bit & 1)
		}
	}
	for bit, n := range same {
		require.InDelta(t, names/2, n, 6*math.Sqrt(names)/2, "bit %d", bit)
	}

	var c Conn
	c.Init(id, nil, stream.NewPool(0))
	c.SetTimestampOffset(offset)
	now := clock.Time(time.Hour)
	c.Connect(now, 1, 1480)
	var b [128]byte
	_, ok := c.Send(now, b[:])
	require.True(t, ok)
	var h wire.TCP
	_, err := wire.ParseTCP(b[:], &h)
	require.NoError(t, err)
	require.Equal(t, offset+uint32(time.Hour/time.Millisecond), h.Options.TSVal)
}

func TestISNAllocs(t *testing.T) {
	s := NewISNSource([16]byte{1})
	id := testID("192.0.2.1:1000", "192.0.2.2:80")
	var sum Seq
	require.Zero(t, testing.AllocsPerRun(100, func() { sum += s.Next(clock.Time(1), id) }))
}
