package tcp

import (
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/clock"
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

// The offset of timestamps depends on the name and the key, not on the time:
// the next connection of the same name goes on where this one was.
func TestTimestampOffset(t *testing.T) {
	s := NewISNSource([16]byte{1})
	id := testID("192.0.2.1:1000", "192.0.2.2:80")
	at := clock.Time(time.Hour)
	want := timestampOffset(at, s.Next(at, id))
	for range 100 {
		at = at.Add(1234567 * time.Microsecond)
		require.Equal(t, want, timestampOffset(at, s.Next(at, id)))
	}
	other := testID("192.0.2.1:1001", "192.0.2.2:80")
	require.NotEqual(t, want, timestampOffset(at, s.Next(at, other)))
}

func TestISNAllocs(t *testing.T) {
	s := NewISNSource([16]byte{1})
	id := testID("192.0.2.1:1000", "192.0.2.2:80")
	var sum Seq
	require.Zero(t, testing.AllocsPerRun(100, func() { sum += s.Next(clock.Time(1), id) }))
}
