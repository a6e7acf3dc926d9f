package cli

import (
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/phy"
)

// options returns what Flags makes of the arguments.
func options(t *testing.T, args ...string) *Options {
	t.Helper()
	fs := flag.NewFlagSet("program", flag.ContinueOnError)
	o := Flags(fs)
	require.NoError(t, Parse(fs, args))
	return o
}

// pair returns the two ends of a link, of which a is wrapped as o says.
func pair(t *testing.T, o *Options) (a, b phy.Device) {
	t.Helper()
	a, b, err := phy.Pipe(phy.PipeConfig{Medium: phy.MediumIP, TxChecksum: true})
	require.NoError(t, err)
	a, err = o.Wrap(a)
	require.NoError(t, err)
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

// send sends a frame of n bytes and reports whether it arrived.
func send(t *testing.T, from, to phy.Device, n int) bool {
	t.Helper()
	b, err := from.TxBuffer()
	require.NoError(t, err)
	b[0] = 0x45
	require.NoError(t, from.Commit(n, phy.Offload{}))
	require.NoError(t, from.Flush())
	f, err := to.Receive()
	if err != nil {
		require.ErrorIs(t, err, phy.ErrWouldBlock)
		return false
	}
	require.Len(t, f.Data, n)
	return true
}

func TestNoDevice(t *testing.T) {
	o := options(t)
	require.False(t, o.HasDevice())
	var usage *UsageError
	_, err := o.Device()
	require.ErrorAs(t, err, &usage)
	_, err = o.Stack()
	require.ErrorAs(t, err, &usage)
	require.True(t, options(t, "-tap", "tap0").HasDevice())
	require.True(t, options(t, "-tun", "tun0").HasDevice())
}

// TestWrapNothing: without flags the device stays what it is, offloads and all.
func TestWrapNothing(t *testing.T) {
	a, b, err := phy.Pipe(phy.PipeConfig{TxChecksum: true})
	require.NoError(t, err)
	defer b.Close()
	defer a.Close()
	same, err := options(t, "-shaping-interval", "10").Wrap(a)
	require.NoError(t, err)
	require.Same(t, a, same)
}

// TestWrapFault: every knob reaches the fault injector.
func TestWrapFault(t *testing.T) {
	tests := []struct {
		name    string
		args    []string
		out, in []bool // whether frames of 100, 100 and 200 bytes get through
	}{
		{"all lost", []string{"-drop-chance", "100"}, []bool{false, false, false}, []bool{false, false, false}},
		{"none lost", []string{"-drop-chance", "0", "-corrupt-chance", "1"}, []bool{true, true, true}, []bool{true, true, true}},
		{"size", []string{"-size-limit", "150"}, []bool{true, true, false}, []bool{true, true, false}},
		{"out", []string{"-tx-rate-limit", "1", "-shaping-interval", "1h"}, []bool{true, false, false}, []bool{true, true, true}},
		{"in", []string{"-rx-rate-limit", "2", "-shaping-interval", "1h"}, []bool{true, true, true}, []bool{true, true, false}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a, b := pair(t, options(t, tt.args...))
			require.False(t, a.Capabilities().TxChecksum)
			for i, n := range []int{100, 100, 200} {
				require.Equal(t, tt.out[i], send(t, a, b, n), "out, frame %d", i)
				require.Equal(t, tt.in[i], send(t, b, a, n), "in, frame %d", i)
			}
		})
	}
}

// TestWrapShaping: with a short interval the limit does not last.
func TestWrapShaping(t *testing.T) {
	a, b := pair(t, options(t, "-tx-rate-limit", "1", "-shaping-interval", "1us"))
	require.True(t, send(t, a, b, 100))
	require.Eventually(t, func() bool { return send(t, a, b, 100) }, 5*time.Second, time.Millisecond)
}

func TestWrapCorrupt(t *testing.T) {
	a, b := pair(t, options(t, "-corrupt-chance", "100"))
	buf, err := a.TxBuffer()
	require.NoError(t, err)
	clear(buf[:100])
	require.NoError(t, a.Commit(100, phy.Offload{}))
	require.NoError(t, a.Flush())
	f, err := b.Receive()
	require.NoError(t, err)
	require.NotEqual(t, make([]byte, 100), f.Data)
}

// TestWrapCapture: the capture has what the stack sent, lost or not, and what
// it received.
func TestWrapCapture(t *testing.T) {
	name := filepath.Join(t.TempDir(), "x.pcap")
	a, b := pair(t, options(t, "-pcap", name, "-size-limit", "150"))
	require.True(t, send(t, a, b, 100))
	require.False(t, send(t, a, b, 200))
	require.True(t, send(t, b, a, 101))
	require.False(t, send(t, b, a, 201))
	require.NoError(t, a.Close())
	require.NoError(t, a.Close())
	info, err := os.Stat(name)
	require.NoError(t, err)
	const fileHeader, frameHeader = 24, 16
	require.EqualValues(t, fileHeader+3*frameHeader+100+200+101, info.Size())
}

func TestWrapCaptureNowhere(t *testing.T) {
	a, b, err := phy.Pipe(phy.PipeConfig{})
	require.NoError(t, err)
	defer b.Close()
	defer a.Close()
	_, err = options(t, "-pcap", filepath.Join(t.TempDir(), "no", "x.pcap")).Wrap(a)
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = a.TxBuffer()
	require.NoError(t, err, "the device is still the caller's")
}
