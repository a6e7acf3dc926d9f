package wire

import (
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// unhex reads hex bytes. Spaces do not matter, a semicolon starts a comment.
func unhex(t testing.TB, dump string) []byte {
	t.Helper()
	var digits strings.Builder
	for line := range strings.Lines(dump) {
		line, _, _ = strings.Cut(line, ";")
		digits.WriteString(strings.Join(strings.Fields(line), ""))
	}
	b, err := hex.DecodeString(digits.String())
	require.NoError(t, err)
	return b
}

// with returns a copy of b that has the given bytes at off.
func with(b []byte, off int, bytes ...byte) []byte {
	b = append([]byte(nil), b...)
	copy(b[off:off+len(bytes)], bytes)
	return b
}

// join returns the pieces one after the other.
func join(pieces ...[]byte) []byte {
	var b []byte
	for _, p := range pieces {
		b = append(b, p...)
	}
	return b
}

// noAllocs fails the test if f allocates.
func noAllocs(t *testing.T, f func()) {
	t.Helper()
	require.Zero(t, testing.AllocsPerRun(100, f), "allocations")
}

// sinkErr keeps the compiler from seeing that an error is not used.
var sinkErr error

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

var (
	hw1 = HardwareAddr{0x02, 0, 0, 0, 0, 1}
	hw2 = HardwareAddr{0x02, 0, 0, 0, 0, 2}
)
