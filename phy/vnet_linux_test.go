package phy

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// unhex reads hexadecimal digits with spaces between them.
func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	require.NoError(t, err)
	return b
}

// vnetFrame is n bytes whose every place may be the header of a TCP segment
// without options: the data offset of all of them is 5 words.
func vnetFrame(n int) []byte { return bytes.Repeat([]byte{0x50}, n) }

// tcpOffload is that of a TCP super-frame without options.
var tcpOffload = Offload{
	NeedsChecksum: true, GSOType: GSOTCPv4, HeaderLen: 40, SegmentSize: 1460, ChecksumStart: 20, ChecksumOffset: 16,
}

func TestVnetHeader(t *testing.T) {
	//    flags gso hdr_len gso_size csum_start csum_offset
	for header, off := range map[string]Offload{
		"00 00 0000 0000 0000 0000": {},
		"01 00 0000 0000 1400 1000": {NeedsChecksum: true, ChecksumStart: 20, ChecksumOffset: 16},
		"01 00 0000 0000 2800 0600": {NeedsChecksum: true, ChecksumStart: 40, ChecksumOffset: 6},
		"01 01 2800 b405 1400 1000": tcpOffload,
		"01 04 3c00 a005 2800 1000": {
			NeedsChecksum: true, GSOType: GSOTCPv6, HeaderLen: 60, SegmentSize: 1440, ChecksumStart: 40, ChecksumOffset: 16,
		},
		"01 05 1c00 b004 1400 0600": {
			NeedsChecksum: true, GSOType: GSOUDP, HeaderLen: 28, SegmentSize: 1200, ChecksumStart: 20, ChecksumOffset: 6,
		},
	} {
		h := unhex(t, header)
		got, ok := parseVnet(h, vnetFrame(3000), 0)
		require.True(t, ok, header)
		require.Equal(t, off, got, header)
		for _, n := range []int{vnetHeaderLen, 12, maxVnetHeader} {
			b := bytes.Repeat([]byte{0xff}, n)
			putVnet(b, &off)
			require.Equal(t, h, b[:vnetHeaderLen])
			require.Equal(t, make([]byte, n-vnetHeaderLen), b[vnetHeaderLen:], "what we know nothing of")
		}
	}
}

// TestVnetReceived: what a received header may say beyond what we send.
func TestVnetReceived(t *testing.T) {
	for header, off := range map[string]Offload{
		"00 00 ffff ffff ffff ffff": {}, // means nothing without flags
		"02 00 0000 0000 ffff ffff": {ChecksumValid: true},
		"03 00 0000 0000 1400 1000": {NeedsChecksum: true, ChecksumStart: 20, ChecksumOffset: 16},
		"04 00 0000 0000 0000 0000": {}, // a flag for what was not agreed
		"00 80 0000 0000 0000 0000": {}, // ECN alone
		"01 81 2800 b405 1400 1000": tcpOffload,
		"01 01 0000 b405 1400 1000": tcpOffload, // hdr_len is a hint
		"01 01 b80b b405 1400 1000": tcpOffload, // as long as the frame
		"02 01 4200 b405 0000 0000": {ChecksumValid: true, GSOType: GSOTCPv4, HeaderLen: 66, SegmentSize: 1460},
	} {
		got, ok := parseVnet(unhex(t, header), vnetFrame(3000), 0)
		require.True(t, ok, header)
		require.Equal(t, off, got, header)
	}
	// A data offset of its own, behind an Ethernet header.
	frame := vnetFrame(3000)
	frame[34+tcpDataOffsetAt] = 0x80
	got, ok := parseVnet(unhex(t, "01 01 0000 b405 2200 1000"), frame, EthernetHeaderLen)
	require.True(t, ok)
	require.Equal(t, uint16(34+32), got.HeaderLen)
}

func TestVnetGarbage(t *testing.T) {
	for header, frame := range map[string][]byte{
		"00 00 0000 0000 0000 0000": {}, // no frame at all
		"00 80 0000 0000 0000 0000": {},
		"02 00 0000 0000 0000 0001": {},
		"01 00 0000 0000 5400 0f00": vnetFrame(100), // the checksum is one byte beyond the frame
		"01 00 0000 0000 6400 0000": vnetFrame(100),
		"01 00 0000 0000 ffff ffff": vnetFrame(100), // the sum does not fit 16 bits
		"01 00 0000 0000 0d00 1000": vnetFrame(100), // in the link header
		"01 03 2800 b405 1400 0600": vnetFrame(100), // UFO
		"01 07 2800 b405 1400 1000": vnetFrame(100), // unknown
		"01 7f 2800 b405 1400 1000": vnetFrame(100),
		"01 01 2800 0000 1400 1000": vnetFrame(100),                                                 // no segment size
		"01 01 6500 b405 1400 1000": vnetFrame(100),                                                 // headers longer than the frame
		"00 01 2800 b405 0000 0000": vnetFrame(100),                                                 // neither NEEDS_CSUM nor DATA_VALID
		"01 01 2800 b405 1400 0600": vnetFrame(100),                                                 // not where TCP's checksum is
		"01 05 1c00 b405 1400 1000": vnetFrame(100),                                                 // not where UDP's is
		"01 01 2800 b405 4000 1000": append(vnetFrame(100)[:64], bytes.Repeat([]byte{0xf0}, 36)...), // a TCP header of 60 bytes has no room
		"01 01 2800 b405 1400 1001": append(vnetFrame(20), make([]byte, 280)...),                    // 16 and 256
		"01 04 2800 b405 2800 1000": make([]byte, 100),                                              // a TCP header of no length
	} {
		got, ok := parseVnet(unhex(t, header), frame, EthernetHeaderLen)
		require.False(t, ok, header)
		require.Equal(t, Offload{}, got, header)
	}
}

// FuzzVnet: whatever arrives, an Offload that is believed fits the frame and
// is one that could be sent again.
func FuzzVnet(f *testing.F) {
	f.Add(unhex(f, "01 01 2800 b405 1400 1000"), vnetFrame(200), false)
	f.Add(unhex(f, "01 05 1c00 b004 2200 0600"), vnetFrame(200), true)
	f.Add(unhex(f, "02 04 0000 0100 0000 0000"), vnetFrame(20), true)
	f.Fuzz(func(t *testing.T, h, frame []byte, ethernet bool) {
		if len(h) < vnetHeaderLen {
			return
		}
		caps := Capabilities{Medium: MediumIP, MTU: MaxMTU, MaxSuperFrame: MaxMTU, UDPSegments: true, TxChecksum: true}
		if ethernet {
			caps.Medium = MediumEthernet
		}
		off, ok := parseVnet(h, frame, caps.Medium.HeaderLen())
		if !ok {
			require.Equal(t, Offload{}, off)
			return
		}
		require.NotEmpty(t, frame)
		require.False(t, off.NeedsChecksum && off.ChecksumValid)
		require.LessOrEqual(t, int(off.HeaderLen), len(frame))
		if off.GSOType != GSONone && off.ChecksumValid {
			return // arrives, but is not ours to say
		}
		if len(frame) > caps.Medium.HeaderLen() && len(frame) <= MaxMTU {
			require.NoError(t, caps.checkCommit(frame, len(frame), &off))
		}
		off.ChecksumValid = false
		put := make([]byte, len(h))
		putVnet(put, &off)
		again, ok := parseVnet(put, frame, caps.Medium.HeaderLen())
		require.True(t, ok)
		require.Equal(t, off, again)
	})
}

func TestVnetAllocations(t *testing.T) {
	off := tcpOffload
	h, frame := make([]byte, vnetHeaderLen), vnetFrame(3000)
	ok := true
	require.Zero(t, testing.AllocsPerRun(100, func() {
		putVnet(h, &off)
		_, ok = parseVnet(h, frame, 0)
	}))
	require.True(t, ok)
}

// TestVnetDevice: frames with a bad header are counted and nothing else.
func TestVnetDevice(t *testing.T) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	require.NoError(t, err)
	defer unix.Close(fds[1])
	caps := Capabilities{Medium: MediumIP, MTU: 1500, MaxSuperFrame: MaxMTU, TxChecksum: true}
	d, err := newTunTap(fds[0], "", caps, 12)
	require.NoError(t, err)
	defer d.Close()
	write := func(b []byte) {
		_, err := unix.Write(fds[1], b)
		require.NoError(t, err)
	}
	header := unhex(t, "01 01 2800 b405 1400 1000 0000")
	for i := range 12 {
		write(make([]byte, i+1)) // shorter than a header, or no frame behind it
	}
	write(append(header, vnetFrame(39)...))
	write(append(header, vnetFrame(40)...))
	require.NoError(t, d.Wait(-1))
	f, err := d.Receive()
	require.NoError(t, err)
	require.Equal(t, vnetFrame(40), f.Data)
	require.Equal(t, GSOTCPv4, f.Offload.GSOType)
	require.Equal(t, TunStats{RxFrames: 1, RxBad: 13}, d.Stats())

	// A flood of them does not hold up who receives.
	for range maxBadRun + 1 {
		write(header)
	}
	write(append(make([]byte, 12), 7))
	_, err = d.Receive()
	require.ErrorIs(t, err, ErrWouldBlock)
	require.NoError(t, d.Wait(-1))
	f, err = d.Receive()
	require.NoError(t, err)
	require.Equal(t, Frame{Data: []byte{7}}, f)
	require.Equal(t, TunStats{RxFrames: 2, RxBad: 13 + maxBadRun + 1}, d.Stats())

	// What is sent has the header in front, in one piece.
	room, err := d.TxBuffer()
	require.NoError(t, err)
	n := copy(room, vnetFrame(3000))
	require.ErrorIs(t, d.Commit(n, Offload{
		NeedsChecksum: true, GSOType: GSOUDP, HeaderLen: 28, SegmentSize: 1000, ChecksumStart: 20, ChecksumOffset: 6,
	}), ErrOffload, "these capabilities do not name it")
	require.NoError(t, d.Commit(n, tcpOffload))
	got := make([]byte, 4000)
	n, err = unix.Read(fds[1], got)
	require.NoError(t, err)
	require.Equal(t, append(header, vnetFrame(3000)...), got[:n])
}
