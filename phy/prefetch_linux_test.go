package phy

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// TestPrefetchIsHarmless wherever it points: at the end of the memory that there
// is, beyond it, or nowhere. It changes nothing.
func TestPrefetchIsHarmless(t *testing.T) {
	page := os.Getpagesize()
	b, err := unix.Mmap(-1, 0, 3*page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	require.NoError(t, err)
	defer func() { require.NoError(t, unix.Munmap(b)) }()
	require.NoError(t, unix.Mprotect(b[page:2*page], unix.PROT_NONE))
	require.NoError(t, unix.Mprotect(b[2*page:], unix.PROT_READ))
	for i := range page {
		b[i] = byte(i)
	}
	for _, at := range []int{0, 1, page - 513, page - 512, page - 511, page - 64, page - 1, page, 2*page - 1, 2 * page, 3*page - 1} {
		prefetchRead(&b[at])
		prefetchWrite(&b[at])
	}
	prefetchRead(nil)
	prefetchWrite(nil)
	for i := range page {
		require.Equal(t, byte(i), b[i])
	}
	small := []byte{1}
	prefetchRead(&small[0])
	prefetchWrite(&small[0])
	require.Equal(t, []byte{1}, small)
	require.Zero(t, testing.AllocsPerRun(10, func() {
		var local [68]byte
		prefetchWrite(&local[0])
		prefetchRead(&local[0])
	}))
}
