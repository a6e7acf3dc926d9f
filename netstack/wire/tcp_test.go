package wire

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Both ways between 192.168.69.100 port 43210 and 192.168.69.1 port 80.
const (
	tcpSYNDump = `
		a8 ca 00 50                    ; from 43210 to 80
		12 34 56 78                    ; sequence number
		00 00 00 00                    ; acknowledgment number
		a0 02 fa f0                    ; 40 bytes of header, SYN, window 64240
		2f 91 00 00                    ; checksum, urgent pointer
		02 04 05 b4                    ; MSS 1460
		04 02                          ; SACK permitted
		08 0a 00 00 00 01 00 00 00 00  ; timestamps 1, 0
		01 03 03 07                    ; no-op, window scale 7
	`
	tcpDataDump = `
		a8 ca 00 50                    ; from 43210 to 80
		12 34 56 79 9a bc de f1        ; sequence, acknowledgment
		80 18 01 f6                    ; 32 bytes of header, PSH and ACK, window 502
		09 0e 00 00                    ; checksum, urgent pointer
		01 01                          ; two no-ops
		08 0a 00 00 00 02 00 00 00 09  ; timestamps 2, 9
		47 45 54 20 2f 0d 0a           ; GET /
	`
	tcpSACKDump = `
		00 50 a8 ca                    ; from 80 to 43210
		9a bc de f1 12 34 56 80        ; sequence, acknowledgment
		b0 10 01 f5                    ; 44 bytes of header, ACK, window 501
		d2 09 00 00                    ; checksum, urgent pointer
		01 01                          ; two no-ops
		08 0a 00 00 00 09 00 00 00 02  ; timestamps 9, 2
		01 01 05 0a                    ; two no-ops, SACK of one block
		12 34 58 00 12 34 59 00        ; 0x12345800 up to 0x12345900
	`
)

func TestTCP(t *testing.T) {
	tests := []struct {
		name, dump string
		want       TCP
		payload    string
	}{
		{"SYN", tcpSYNDump, TCP{
			SrcPort: 43210, DstPort: 80, Seq: 0x12345678, Flags: SYN, Window: 64240, Checksum: 0x2f91,
			Options: TCPOptions{
				MSS: 1460, SACKPermitted: true, HasTimestamps: true, TSVal: 1, HasWindowScale: true, WindowScale: 7,
			},
		}, ""},
		{"data", tcpDataDump, TCP{
			SrcPort: 43210, DstPort: 80, Seq: 0x12345679, Ack: 0x9abcdef1, Flags: PSH | ACK, Window: 502, Checksum: 0x090e,
			Options: TCPOptions{HasTimestamps: true, TSVal: 2, TSEcr: 9},
		}, "GET /\r\n"},
		{"SACK", tcpSACKDump, TCP{
			SrcPort: 80, DstPort: 43210, Seq: 0x9abcdef1, Ack: 0x12345680, Flags: ACK, Window: 501, Checksum: 0xd209,
			Options: TCPOptions{
				HasTimestamps: true, TSVal: 9, TSEcr: 2,
				NumSACK: 1, SACK: [MaxSACKBlocks]SACKBlock{{0x12345800, 0x12345900}},
			},
		}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := unhex(t, tt.dump)
			require.True(t, VerifyChecksum(addr("192.168.69.100"), addr("192.168.69.1"), ProtoTCP, b))

			// Nothing may be left of the segment before.
			h := TCP{Urgent: 1, Flags: URG, Options: TCPOptions{
				MSS: 1, SACKPermitted: true, HasFastOpen: true, FastOpenLen: 4, FastOpenCookie: [16]byte{1, 2, 3, 4},
				NumSACK: 2, SACK: [MaxSACKBlocks]SACKBlock{{1, 2}, {3, 4}}, HasUserTimeout: true, UserTimeout: 9,
			}}
			payload, err := ParseTCP(b, &h)
			require.NoError(t, err)
			require.True(t, tt.want == h, "%+v", h)
			require.Equal(t, tt.payload, string(payload))

			put := make([]byte, TCPMaxLen)
			n := h.Put(put)
			require.Equal(t, h.HeaderLen(), n)
			require.Equal(t, b, join(put[:n], payload))

			noAllocs(t, func() {
				_, sinkErr = ParseTCP(b, &h)
				h.Put(put)
			})
		})
	}
}

func TestTCPHeaderBits(t *testing.T) {
	b := unhex(t, tcpDataDump)
	var h TCP
	_, err := ParseTCP(with(b, 12, 0x8f, 0xff), &h) // every bit after the data offset
	require.NoError(t, err)
	require.Equal(t, FIN|SYN|RST|PSH|ACK|URG|ECE|CWR|AE, h.Flags)
	put := make([]byte, TCPMaxLen)
	h.Flags |= 1 << 9
	h.Put(put)
	require.Equal(t, []byte{0x81, 0xff}, put[12:14], "the reserved bits are sent as zero")
}

func TestTCPMalformed(t *testing.T) {
	b := unhex(t, tcpDataDump)
	tests := []struct {
		name string
		b    []byte
		want Drop
	}{
		{"empty", nil, DropTruncated},
		{"one byte short of a header", b[:TCPLen-1], DropTruncated},
		{"data offset zero", with(b, 12, 0x00), DropBadLength},
		{"header length under 20", with(b, 12, 0x40), DropBadLength},
		{"data offset past the end", with(b, 12, 0xa0), DropBadLength},
		{"data offset one word past the end", b[:28], DropBadLength},
		{"option length zero", with(b, 20, 3, 0), DropBadOption},
		{"option length one", with(b, 20, 3, 1), DropBadOption},
		{"option past the header", with(b, 20, 3, 13), DropBadOption},
		{"longest option", with(b, 20, 254, 255), DropBadOption},
		{"option without length", with(b, 20, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 3), DropBadOption},
		{"timestamps past the header", with(b, 22, 1, 1, 1, 1, 1, 1, 1, 1, 8, 10), DropBadOption},
	}
	for _, tt := range tests {
		var h TCP
		payload, err := ParseTCP(tt.b, &h)
		require.Equal(t, tt.want, err, tt.name)
		require.Nil(t, payload, tt.name)
	}
}

// What the urgent pointer points at is no matter of the header (the
// disclosures of URGENT/11 are about taking it for one).
func TestTCPUrgentOutOfRange(t *testing.T) {
	b := with(unhex(t, tcpDataDump), 12, 0x80, 0x38, 0x01, 0xf6, 0, 0, 0xff, 0xff)
	var h TCP
	payload, err := ParseTCP(b, &h)
	require.NoError(t, err)
	require.True(t, h.Flags.Has(URG|ACK))
	require.Equal(t, uint16(0xffff), h.Urgent)
	require.Len(t, payload, 7)
}

func TestTCPFlags(t *testing.T) {
	require.Equal(t, "none", TCPFlags(0).String())
	require.Equal(t, "SYN", SYN.String())
	require.Equal(t, "SYN,ACK", (SYN | ACK).String())
	require.Equal(t, "FIN,SYN,RST,PSH,ACK,URG,ECE,CWR,AE", TCPFlags(0x1ff).String())
	require.True(t, (SYN | ACK).Has(ACK))
	require.False(t, ACK.Has(SYN|ACK))
}

func FuzzTCP(f *testing.F) {
	b := unhex(f, tcpDataDump)
	f.Add(b)
	f.Add(unhex(f, tcpSYNDump))
	f.Add(unhex(f, tcpSACKDump))
	f.Add(with(b, 20, 3, 0))
	f.Add(with(b, 12, 0x40))
	f.Add(with(b, 20, 3, 13))
	f.Add(with(b, 13, 0x38, 0, 0, 0, 0, 0xff, 0xff))
	f.Add(unhex(f, tcpFullDump))
	f.Fuzz(func(t *testing.T, b []byte) {
		var h, again, third TCP
		if _, err := ParseTCP(b, &h); err != nil {
			return
		}
		put := make([]byte, TCPMaxLen)
		n := h.Put(put)
		require.Equal(t, h.HeaderLen(), n)
		require.Zero(t, n%4)
		payload, err := ParseTCP(put[:n], &again)
		require.NoError(t, err)
		require.Empty(t, payload)
		if optionsRoom(&h) <= 40 {
			require.Equal(t, h, again)
		}
		// What was left out once stays out, and nothing else goes.
		n = again.Put(put)
		_, err = ParseTCP(put[:n], &third)
		require.NoError(t, err)
		require.Equal(t, again, third)
	})
}

// optionsRoom is what the options of h take, each padded to whole words.
func optionsRoom(h *TCP) int {
	o := &h.Options
	n := 0
	for _, x := range []struct {
		has bool
		len int
	}{
		{o.MSS != 0, 4},
		{o.SACKPermitted && !o.HasTimestamps, 4},
		{o.HasTimestamps, 12},
		{o.HasWindowScale, 4},
		{o.HasFastOpen, (2 + int(o.FastOpenLen) + 3) / 4 * 4},
		{o.NumSACK > 0, 4 + 8*int(o.NumSACK)},
		{o.HasUserTimeout, 4},
	} {
		if x.has {
			n += x.len
		}
	}
	return n
}

func BenchmarkTCP(b *testing.B) {
	seg := unhex(b, tcpDataDump)
	var h TCP
	b.Run("parse", func(b *testing.B) {
		for b.Loop() {
			_, sinkErr = ParseTCP(seg, &h)
		}
	})
	put := make([]byte, TCPMaxLen)
	b.Run("put", func(b *testing.B) {
		for b.Loop() {
			h.Put(put)
		}
	})
}
