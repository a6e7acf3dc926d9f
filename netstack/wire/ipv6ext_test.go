package wire

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// extUDP is the upper layer of the packets below.
const extUDP = "1b39 9c40 0008 0000"

func TestWalkIPv6(t *testing.T) {
	tests := []struct {
		name    string
		first   Protocol
		payload string
		want    IPv6Chain
		upper   string
	}{
		{"none", ProtoUDP, extUDP, IPv6Chain{Protocol: ProtoUDP, ProtocolAt: 6, HeaderAt: 40}, extUDP},
		{"unknown upper layer", 99, "0102", IPv6Chain{Protocol: 99, ProtocolAt: 6, HeaderAt: 40}, "0102"},
		{"nothing at all", ProtoNoNext, "", IPv6Chain{Protocol: ProtoNoNext, ProtocolAt: 6, HeaderAt: 40}, ""},
		{
			"hop-by-hop with router alert", ProtoHopByHop, `
			3a 00 05 02 00 00 01 00  ; ICMPv6 next, router alert: MLD, PadN of 0
			82 00 00 00 00 00 00 00`,
			IPv6Chain{Protocol: ProtoICMPv6, ProtocolAt: 40, HeaderAt: 48, HasRouterAlert: true},
			"82 00 00 00 00 00 00 00",
		},
		{
			"router alert value", ProtoHopByHop, "11 00 00 00 05 02 12 34" + extUDP,
			IPv6Chain{Protocol: ProtoUDP, ProtocolAt: 40, HeaderAt: 48, HasRouterAlert: true, RouterAlert: 0x1234}, extUDP,
		},
		{
			"all of them", ProtoHopByHop, `
			3c 00 01 04 00 00 00 00  ; hop-by-hop: PadN
			2b 01 00 00 00 00 00 00  ; destination options, 16 bytes: Pad1 ...
			01 06 00 00 00 00 00 00  ; ... and PadN
			2c 00 04 00 00 00 00 00  ; routing, no segments left
			3c 00 00 00 00 00 00 07  ; atomic fragment
			11 00 1e 04 00 00 00 00  ; destination options: unknown, to be skipped
			` + extUDP,
			IPv6Chain{Protocol: ProtoUDP, ProtocolAt: 40 + 40, HeaderAt: 40 + 48}, extUDP,
		},
		{
			"router alert where it has no meaning", ProtoDestOpts, "11 00 05 02 00 00 01 00" + extUDP,
			IPv6Chain{Protocol: ProtoUDP, ProtocolAt: 40, HeaderAt: 48}, extUDP,
		},
		{
			"no next header, then garbage", ProtoDestOpts, "3b 00 01 04 00 00 00 00 ff ff",
			IPv6Chain{Protocol: ProtoNoNext, ProtocolAt: 40, HeaderAt: 48}, "ff ff",
		},
		{
			"first fragment", ProtoFragment, "11 00 00 01 de ad be ef" + extUDP,
			IPv6Chain{
				Protocol: ProtoFragment, ProtocolAt: 6, HeaderAt: 40,
				Fragment: IPv6Fragment{NextHeader: ProtoUDP, MoreFrags: true, ID: 0xdeadbeef},
			}, extUDP,
		},
		{
			"last fragment", ProtoDestOpts, "2c 00 01 04 00 00 00 00  11 00 05 a8 00 00 00 01 ab cd",
			IPv6Chain{
				Protocol: ProtoFragment, ProtocolAt: 40, HeaderAt: 48,
				Fragment: IPv6Fragment{NextHeader: ProtoUDP, FragOff: 0x5a8, ID: 1},
			}, "ab cd",
		},
		{
			"first fragment of ICMPv6", ProtoFragment, "3a 00 00 01 00 00 00 01 80 00 00 00 00 01 00 02",
			IPv6Chain{
				Protocol: ProtoFragment, ProtocolAt: 6, HeaderAt: 40,
				Fragment: IPv6Fragment{NextHeader: ProtoICMPv6, MoreFrags: true, ID: 1},
			}, "80 00 00 00 00 01 00 02",
		},
		{
			"first fragment that ends in options", ProtoFragment, "3c 00 00 01 00 00 00 01 11 00 01 04 00 00 00 00" + extUDP,
			IPv6Chain{
				Protocol: ProtoFragment, ProtocolAt: 6, HeaderAt: 40,
				Fragment: IPv6Fragment{NextHeader: ProtoDestOpts, MoreFrags: true, ID: 1},
			}, "11 00 01 04 00 00 00 00" + extUDP,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := IPv6{NextHeader: tt.first, Src: addr("fe80::1"), Dst: addr("fe80::2")}
			b := unhex(t, tt.payload)
			c, upper, err := WalkIPv6(&h, b)
			require.NoError(t, err)
			require.Equal(t, tt.want, c)
			require.Equal(t, unhex(t, tt.upper), append([]byte{}, upper...))
			require.Equal(t, c.Protocol == ProtoFragment, c.IsFragment())
			noAllocs(t, func() { c, _, sinkErr = WalkIPv6(&h, b) })
		})
	}
}

// report is what a refused packet is answered with.
type report struct {
	code    uint8
	pointer uint32
}

func TestWalkIPv6Refused(t *testing.T) {
	tests := []struct {
		name      string
		first     Protocol
		payload   string
		want      Drop
		unicast   *report // answers; nil: none
		multicast *report
	}{
		{"no header", ProtoHopByHop, "", DropTruncated, nil, nil},
		{"half a header", ProtoDestOpts, "11 00 01 04 00 00 00", DropTruncated, nil, nil},
		{"header past the end", ProtoRouting, "11 01 00 00 00 00 00 00", DropTruncated, nil, nil},
		{"half a fragment header", ProtoFragment, "11 00 00 01 00 00 00", DropTruncated, nil, nil},
		{"option to be discarded", ProtoDestOpts, "11 00 45 04 00 00 00 00" + extUDP, DropBadOption, nil, nil},
		{
			"option to be reported", ProtoDestOpts, "11 00 01 00 85 02 00 00" + extUDP, DropBadOption,
			&report{ICMPv6UnknownOption, 44}, &report{ICMPv6UnknownOption, 44},
		},
		{
			"option to be reported to unicast", ProtoHopByHop, "11 00 c2 04 00 01 00 00" + extUDP, DropBadOption,
			&report{ICMPv6UnknownOption, 42}, nil,
		},
		{
			"option past its header", ProtoHopByHop, "11 00 01 05 00 00 00 00" + extUDP, DropBadOption,
			&report{ICMPv6ErroneousHeader, 42}, nil,
		},
		{
			"option without length", ProtoHopByHop, "11 00 01 03 00 00 00 1e" + extUDP, DropBadOption,
			&report{ICMPv6ErroneousHeader, 47}, nil,
		},
		{
			"router alert of the wrong length", ProtoHopByHop, "11 00 05 04 00 00 00 00" + extUDP, DropBadOption,
			&report{ICMPv6ErroneousHeader, 43}, nil,
		},
		{
			"hop-by-hop after another", ProtoDestOpts, "00 00 01 04 00 00 00 00  11 00 01 04 00 00 00 00" + extUDP, DropBadHeader,
			&report{ICMPv6UnknownNextHeader, 40}, nil,
		},
		{
			"hop-by-hop twice", ProtoHopByHop, "00 00 01 04 00 00 00 00  11 00 01 04 00 00 00 00" + extUDP, DropBadHeader,
			&report{ICMPv6UnknownNextHeader, 40}, nil,
		},
		{
			"segments left", ProtoRouting, "11 02 00 01 00000000 20010db8 00000000 00000000 00000003" + extUDP, DropBadHeader,
			&report{ICMPv6ErroneousHeader, 42}, nil,
		},
		{
			"fragment of odd size", ProtoFragment, "11 00 00 01 00 00 00 01" + extUDP + "00", DropBadLength,
			&report{ICMPv6ErroneousHeader, 4}, nil,
		},
		{
			"fragment past 65535", ProtoDestOpts, "2c 00 01 04 00 00 00 00  11 00 ff f0 00 00 00 01" + extUDP, DropBadLength,
			&report{ICMPv6ErroneousHeader, 50}, nil,
		},
		{"empty fragment", ProtoFragment, "11 00 00 08 00 00 00 01", DropBadLength, nil, nil},
		{
			"first fragment without the end of its options", ProtoFragment, "3c 00 00 01 00 00 00 01 11 01 01 04 00 00 00 00", DropTruncated,
			&report{ICMPv6IncompleteFirstFrag, 0}, nil,
		},
		{
			"first fragment with half a TCP header", ProtoFragment, "06 00 00 01 00 00 00 01" + extUDP + extUDP, DropTruncated,
			&report{ICMPv6IncompleteFirstFrag, 0}, nil,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := unhex(t, tt.payload)
			for dst, want := range map[string]*report{"fe80::2": tt.unicast, "ff02::1": tt.multicast} {
				h := IPv6{NextHeader: tt.first, Src: addr("fe80::1"), Dst: addr(dst)}
				c, upper, err := WalkIPv6(&h, b)
				require.Equal(t, tt.want, err)
				require.Nil(t, upper)
				require.Equal(t, want != nil, c.Report, dst)
				if want != nil {
					require.Equal(t, *want, report{c.Code, c.Pointer}, dst)
				}
			}
		})
	}
}

func TestWalkIPv6TooManyHeaders(t *testing.T) {
	next := unhex(t, "3c 00 01 04 00 00 00 00")
	last := unhex(t, "11 00 01 04 00 00 00 00")
	var b []byte
	for range maxIPv6Headers - 1 {
		b = join(b, next)
	}
	h := IPv6{NextHeader: ProtoDestOpts, Dst: addr("fe80::2")}
	c, _, err := WalkIPv6(&h, join(b, last, unhex(t, extUDP)))
	require.NoError(t, err)
	require.Equal(t, ProtoUDP, c.Protocol)

	c, _, err = WalkIPv6(&h, join(b, next, last, unhex(t, extUDP)))
	require.Equal(t, DropBadHeader, err)
	require.False(t, c.Report)
}

// Reassembly takes the unfragmentable part from the first fragment, overwrites
// its last Next Header and adds the data.
func TestWalkIPv6Reassembled(t *testing.T) {
	payload := unhex(t, "2c 00 01 04 00 00 00 00  11 00 00 01 00 00 00 01"+extUDP)
	h := IPv6{NextHeader: ProtoDestOpts, PayloadLen: uint16(len(payload)), Dst: addr("fe80::2")}
	packet := make([]byte, IPv6Len, 200)
	h.Put(packet)
	packet = append(packet, payload...)

	c, data, err := WalkIPv6(&h, payload)
	require.NoError(t, err)
	require.True(t, c.IsFragment())
	whole := join(packet[:c.HeaderAt], data)
	whole[c.ProtocolAt] = uint8(c.Fragment.NextHeader)
	whole[5] = uint8(len(whole) - IPv6Len)

	h, payload, err = ParseIPv6(whole)
	require.NoError(t, err)
	c, upper, err := WalkIPv6(&h, payload)
	require.NoError(t, err)
	require.Equal(t, IPv6Chain{Protocol: ProtoUDP, ProtocolAt: 40, HeaderAt: 48}, c)
	require.Equal(t, unhex(t, extUDP), upper)
}

func FuzzIPv6Fragment(f *testing.F) {
	f.Add(uint8(ProtoUDP), uint16(1480), true, uint32(7))
	f.Fuzz(func(t *testing.T, next uint8, off uint16, more bool, id uint32) {
		h := IPv6Fragment{NextHeader: Protocol(next), FragOff: off &^ 7, MoreFrags: more, ID: id}
		b := make([]byte, 8+TCPLen+4) // of zeroes, which is enough of any upper layer
		h.Put(b)
		ip := IPv6{NextHeader: ProtoFragment, Dst: addr("fe80::2")}
		c, data, err := WalkIPv6(&ip, b)
		switch {
		case h.FragOff == 0 && !more:
			require.False(t, c.IsFragment())
		case err == nil:
			require.Equal(t, h, c.Fragment)
			require.Equal(t, b[8:], data)
		default:
			require.True(t, int(h.FragOff)+TCPLen+4 > 65535 || err == DropTruncated)
		}
	})
}

func FuzzWalkIPv6(f *testing.F) {
	f.Add(uint8(ProtoHopByHop), false, unhex(f, "3c 00 01 04 00 00 00 00  2b 00 00 00 00 00 00 00  2c 00 04 00 00 00 00 00"))
	f.Add(uint8(ProtoFragment), false, unhex(f, "2c 00 00 01 00 00 00 01  2c 00 00 01 00 00 00 01"+extUDP))
	f.Add(uint8(ProtoDestOpts), true, unhex(f, "11 00 85 00 00 00 00 00"+extUDP))
	f.Fuzz(func(t *testing.T, first uint8, multicast bool, b []byte) {
		if len(b) > 65535 {
			return
		}
		h := IPv6{NextHeader: Protocol(first), Dst: addr("fe80::2")}
		if multicast {
			h.Dst = addr("ff02::1")
		}
		c, upper, err := WalkIPv6(&h, b)
		if err != nil {
			require.Nil(t, upper)
			require.Less(t, int(c.Pointer), IPv6Len+len(b))
			require.False(t, c.Report && multicast && c.Code != ICMPv6UnknownOption)
			return
		}
		at := int(c.HeaderAt) - IPv6Len
		if c.IsFragment() {
			at += 8
		}
		require.Equal(t, b[at:], append([]byte{}, upper...))
		if c.ProtocolAt >= IPv6Len {
			require.Equal(t, uint8(c.Protocol), b[c.ProtocolAt-IPv6Len])
		}
	})
}
