package wire

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
)

// tcpFullDump is a SYN whose options fill the header.
const tcpFullDump = `
	a8 ca 00 50                    ; from 43210 to 80
	12 34 56 78 00 00 00 00        ; sequence, acknowledgment
	f0 02 fa f0 00 00 00 00        ; 60 bytes of header, SYN, window 64240
	02 04 05 b4                    ; MSS 1460
	04 02                          ; SACK permitted
	08 0a 00 00 00 01 00 00 00 00  ; timestamps 1, 0
	01 03 03 07                    ; no-op, window scale 7
	01 01 22 12                    ; two no-ops, fast open with a cookie of 16
	00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f
`

func TestTCPOptionsParse(t *testing.T) {
	cookie8 := [16]byte{1, 2, 3, 4, 5, 6, 7, 8}
	tests := []struct {
		name, opts string
		flags      TCPFlags
		want       TCPOptions
	}{
		{"none", "", ACK, TCPOptions{}},
		{"MSS", "02 04 05 b4", SYN, TCPOptions{MSS: 1460}},
		{"window scale 14", "03 03 0e 00", SYN, TCPOptions{HasWindowScale: true, WindowScale: 14}},
		{"window scale over 14", "03 03 ff 00", SYN, TCPOptions{HasWindowScale: true, WindowScale: 14}},
		{"window scale 0", "03 03 00 00", SYN, TCPOptions{HasWindowScale: true}},
		{"SACK permitted", "01 01 04 02", SYN, TCPOptions{SACKPermitted: true}},
		{"timestamps of zero", "01 01 08 0a 00000000 00000000", ACK, TCPOptions{HasTimestamps: true}},
		{"timestamps elsewhere", "08 0a 00000001 00000002 01 01", ACK, TCPOptions{HasTimestamps: true, TSVal: 1, TSEcr: 2}},
		{
			"four SACK blocks", "05 22 00000001 00000002 00000003 00000004 00000005 00000006 00000007 00000008 00 00", ACK,
			TCPOptions{NumSACK: 4, SACK: [MaxSACKBlocks]SACKBlock{{1, 2}, {3, 4}, {5, 6}, {7, 8}}},
		},
		{
			"two SACK options", "05 0a 00000001 00000002 05 0a 00000003 00000004", ACK,
			TCPOptions{NumSACK: 2, SACK: [MaxSACKBlocks]SACKBlock{{1, 2}, {3, 4}}},
		},
		{"user timeout", "1c 04 80 05", ACK, TCPOptions{HasUserTimeout: true, UserTimeout: 0x8005}},
		{"fast open request", "22 02 01 01", SYN, TCPOptions{HasFastOpen: true}},
		{"fast open cookie", "22 0a 0102030405060708 01 01", SYN, TCPOptions{HasFastOpen: true, FastOpenLen: 8, FastOpenCookie: cookie8}},
		{
			"fast open, then a shorter one", "22 0a 0102030405060708 22 06 01020304", SYN,
			TCPOptions{HasFastOpen: true, FastOpenLen: 4, FastOpenCookie: [16]byte{1, 2, 3, 4}},
		},
		{"end of options", "00 02 04 05", SYN, TCPOptions{}},
		{"end, then a bad length", "01 00 02 00", SYN, TCPOptions{}},
		{"unknown kinds", "fd 04 12 34 02 04 05 b4 fe 02 01 01", SYN, TCPOptions{MSS: 1460}},

		// Known kinds of the wrong length are as if unknown.
		{"MSS of three", "02 03 05 01 03 03 07 01", SYN, TCPOptions{HasWindowScale: true, WindowScale: 7}},
		{"window scale of two", "03 02 02 04 05 b4 01 01", SYN, TCPOptions{MSS: 1460}},
		{"SACK permitted of three", "04 03 00 01", SYN, TCPOptions{}},
		{"SACK without blocks", "05 02 01 01", ACK, TCPOptions{}},
		{"SACK of half a block", "05 06 00000001 01 01", ACK, TCPOptions{}},
		{"timestamps of six", "08 06 00000001 01 01", ACK, TCPOptions{}},
		{"user timeout of two", "1c 02 01 01", ACK, TCPOptions{}},
		{"fast open cookie of two", "22 04 01 02", SYN, TCPOptions{}},
		{"fast open cookie of seven", "22 09 01020304050607 01 01 01", SYN, TCPOptions{}},
		{"fast open cookie of eighteen", "22 14 000102030405060708090a0b0c0d0e0f1011", SYN, TCPOptions{}},
		{"fast open without SYN", "22 06 01020304 01 01", ACK, TCPOptions{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var o TCPOptions
			require.NoError(t, o.parse(unhex(t, tt.opts), tt.flags))
			require.True(t, tt.want == o, "%+v", o)
		})
	}
}

func TestTCPOptionsPut(t *testing.T) {
	cookie := [16]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}
	four := [MaxSACKBlocks]SACKBlock{{1, 2}, {3, 4}, {5, 6}, {7, 8}}
	const blocks = "00000001 00000002 00000003 00000004 00000005 00000006"
	tests := []struct {
		name  string
		flags TCPFlags
		o     TCPOptions
		want  string
	}{
		{"none", ACK, TCPOptions{}, ""},
		{"timestamps", ACK, TCPOptions{HasTimestamps: true, TSVal: 1, TSEcr: 2}, "01 01 08 0a 00000001 00000002"},
		{"SACK permitted", SYN, TCPOptions{SACKPermitted: true}, "01 01 04 02"},
		{"window scale too large", SYN, TCPOptions{HasWindowScale: true, WindowScale: 15}, "01 03 03 0e"},
		{
			"as Linux lays out a SYN", SYN,
			TCPOptions{MSS: 1460, SACKPermitted: true, HasTimestamps: true, TSVal: 1, HasWindowScale: true, WindowScale: 7},
			"020405b4 0402 080a 00000001 00000000 01 030307",
		},
		{"fast open request", SYN, TCPOptions{MSS: 1460, HasFastOpen: true}, "020405b4 01 01 22 02"},
		{"fast open cookie of 6", SYN, TCPOptions{HasFastOpen: true, FastOpenLen: 6, FastOpenCookie: cookie}, "22 08 000102030405"},
		{"fast open cookie of 8", SYN, TCPOptions{HasFastOpen: true, FastOpenLen: 8, FastOpenCookie: cookie}, "01 01 22 0a 0001020304050607"},
		{"fast open cookie of 5", SYN, TCPOptions{HasFastOpen: true, FastOpenLen: 5, FastOpenCookie: cookie}, ""},
		{"fast open without SYN", ACK, TCPOptions{HasFastOpen: true}, ""},
		{
			"everything that a SYN can have", SYN,
			TCPOptions{
				MSS: 1460, SACKPermitted: true, HasTimestamps: true, TSVal: 1, HasWindowScale: true, WindowScale: 7,
				HasFastOpen: true, FastOpenLen: 16, FastOpenCookie: cookie, HasUserTimeout: true, UserTimeout: 5,
			},
			"020405b4 0402 080a 00000001 00000000 01 030307 0101 2212 000102030405060708090a0b0c0d0e0f",
		},
		{"four blocks", ACK, TCPOptions{NumSACK: 4, SACK: four}, "0101 0522" + blocks + "00000007 00000008"},
		{
			"four blocks and timestamps", ACK,
			TCPOptions{HasTimestamps: true, TSVal: 1, TSEcr: 2, NumSACK: 4, SACK: four, HasUserTimeout: true, UserTimeout: 5},
			"0101 080a 00000001 00000002 0101 051a" + blocks,
		},
		{"four blocks and user timeout", ACK, TCPOptions{NumSACK: 4, SACK: four, HasUserTimeout: true, UserTimeout: 5}, "0101 0522" + blocks + "00000007 00000008 1c04 0005"},
		{"more blocks than there are", ACK, TCPOptions{NumSACK: 9, SACK: four}, "0101 0522" + blocks + "00000007 00000008"},
		{"user timeout", ACK, TCPOptions{HasUserTimeout: true, UserTimeout: 0x8005}, "1c 04 80 05"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := TCP{Flags: tt.flags, Options: tt.o}
			b := make([]byte, TCPMaxLen)
			for i := range b {
				b[i] = 0xee
			}
			n := h.Put(b)
			require.Equal(t, h.HeaderLen(), n)
			require.Equal(t, n, int(b[12]>>4)*4)
			require.Equal(t, append([]byte{}, unhex(t, tt.want)...), b[TCPLen:n])
			for _, x := range b[n:] {
				require.Equal(t, byte(0xee), x, "written past the header")
			}
			noAllocs(t, func() { h.Put(b) })

			// PutSum has the sum of just that.
			h = TCP{
				SrcPort: 0xfffe, DstPort: 443, Seq: 0xfedcba98, Ack: 0x7f00ff01, Flags: tt.flags | 1<<13,
				Window: 0xffff, Checksum: 0x1234, Urgent: 9, Options: tt.o,
			}
			want := bytes.Clone(b[:h.Put(b)])
			n, sum := h.PutSum(b)
			require.Equal(t, want, b[:n])
			require.Equal(t, Sum(want, 0), sum)
			noAllocs(t, func() { h.PutSum(b) })
		})
	}
}
