package wire

import "net/netip"

// ---- hardware addresses
var Broadcast = HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

func (a HardwareAddr) String() string                     { panic("stub") }
func (a HardwareAddr) IsMulticast() bool                  { panic("stub") } // group bit, broadcast included
func (a HardwareAddr) IsUnicast() bool                    { panic("stub") } // not group, not zero
func MulticastHardwareAddr(group netip.Addr) HardwareAddr { panic("stub") } // 01:00:5e / 33:33
func SolicitedNode(a netip.Addr) netip.Addr               { panic("stub") } // ff02::1:ffXX:XXXX
func LinkLocal(a HardwareAddr) netip.Addr                 { panic("stub") } // fe80::/64 + modified EUI-64

// ---- ARP (Ethernet/IPv4 only)
const ARPLen = 28

type ARPOp uint16

const (
	ARPRequest ARPOp = 1
	ARPReply   ARPOp = 2
)

type ARP struct {
	Op       ARPOp
	SenderHW HardwareAddr
	SenderIP netip.Addr
	TargetHW HardwareAddr
	TargetIP netip.Addr
}

func ParseARP(b []byte) (h ARP, err error) { panic("stub") }
func (h *ARP) Put(b []byte)                { panic("stub") }

// ---- IP
type Protocol uint8

const (
	ProtoHopByHop Protocol = 0
	ProtoICMPv4   Protocol = 1
	ProtoIGMP     Protocol = 2
	ProtoTCP      Protocol = 6
	ProtoUDP      Protocol = 17
	ProtoRouting  Protocol = 43
	ProtoFragment Protocol = 44
	ProtoICMPv6   Protocol = 58
	ProtoNoNext   Protocol = 59
	ProtoDestOpts Protocol = 60
)

const (
	IPv4Len = 20 // without options
	IPv6Len = 40
)

type IPv4 struct {
	HeaderLen uint8 // bytes, 20..60; Put takes 0 as 20
	TOS       uint8
	TotalLen  uint16
	ID        uint16
	DontFrag  bool
	MoreFrags bool
	FragOff   uint16 // bytes, multiple of 8
	TTL       uint8
	Protocol  Protocol
	Checksum  uint16
	Src       netip.Addr
	Dst       netip.Addr
}

// ParseIPv4 verifies version, lengths and header checksum. Options, if any, are b[IPv4Len:h.HeaderLen].
// Bytes past TotalLen are link padding and left out.
func ParseIPv4(b []byte) (h IPv4, payload []byte, err error) { panic("stub") }

// Put writes the header and computes its checksum. Options must be in place in b before.
func (h *IPv4) Put(b []byte) { panic("stub") }

type IPv6 struct {
	TrafficClass uint8
	FlowLabel    uint32 // 20 bits
	PayloadLen   uint16
	NextHeader   Protocol
	HopLimit     uint8
	Src          netip.Addr
	Dst          netip.Addr
}

func ParseIPv6(b []byte) (h IPv6, payload []byte, err error) { panic("stub") }
func (h *IPv6) Put(b []byte)                                 { panic("stub") }

// ---- UDP
const UDPLen = 8

type UDP struct {
	SrcPort  uint16
	DstPort  uint16
	Len      uint16 // header and payload, bytes
	Checksum uint16 // zero: not computed
}

func ParseUDP(b []byte) (h UDP, payload []byte, err error) { panic("stub") }
func (h *UDP) Put(b []byte)                                { panic("stub") }

// ---- ICMP (v4 and v6 have one layout: type, code, checksum, four bytes that depend on the type)
const ICMPLen = 8

type ICMP struct {
	Type     uint8
	Code     uint8
	Checksum uint16
	Rest     uint32 // identifier<<16|sequence, MTU, pointer, ...
}

func (h *ICMP) Echo() (id, seq uint16)                       { panic("stub") }
func ParseICMP(b []byte) (h ICMP, payload []byte, err error) { panic("stub") } // checksum not verified
func (h *ICMP) Put(b []byte)                                 { panic("stub") }

const (
	ICMPv4EchoReply       = 0
	ICMPv4Unreachable     = 3
	ICMPv4Redirect        = 5
	ICMPv4Echo            = 8
	ICMPv4TimeExceeded    = 11
	ICMPv4ParamProblem    = 12
	ICMPv4NetUnreachable  = 0 // codes of Unreachable
	ICMPv4HostUnreachable = 1
	ICMPv4ProtUnreachable = 2
	ICMPv4PortUnreachable = 3
	ICMPv4FragNeeded      = 4

	ICMPv6Unreachable     = 1
	ICMPv6PacketTooBig    = 2
	ICMPv6TimeExceeded    = 3
	ICMPv6ParamProblem    = 4
	ICMPv6Echo            = 128
	ICMPv6EchoReply       = 129
	ICMPv6RouterSolicit   = 133
	ICMPv6RouterAdvert    = 134
	ICMPv6NeighborSolicit = 135
	ICMPv6NeighborAdvert  = 136
	ICMPv6Redirect        = 137
	ICMPv6NoRoute         = 0 // codes of Unreachable
	ICMPv6AdminProhibited = 1
	ICMPv6AddrUnreachable = 3
	ICMPv6PortUnreachable = 4
)

// ---- NDP (bodies that follow the 4-byte ICMPv6 type/code/checksum; one struct for NS and NA)
// A Neighbor is a neighbour solicitation or advertisement, RFC 4861 4.3 and 4.4, ICMPv6 header included.
type Neighbor struct {
	Type      uint8 // ICMPv6NeighborSolicit or ICMPv6NeighborAdvert
	Router    bool
	Solicited bool
	Override  bool
	Target    netip.Addr
	LinkAddr  HardwareAddr // source (NS) or target (NA) link-layer address option
	HasLink   bool
}

func ParseNeighbor(b []byte) (h Neighbor, err error) { panic("stub") } // b starts at the ICMPv6 type; every RFC 4861 7.1 check but hop limit, checksum and addresses
func (h *Neighbor) Len() int                         { panic("stub") }
func (h *Neighbor) Put(b []byte)                     { panic("stub") } // checksum field zero

// ---- TCP
const TCPLen = 20 // without options

type TCPFlags uint16 // nine bits: NS/AE CWR ECE URG ACK PSH RST SYN FIN

const (
	FIN TCPFlags = 1 << iota
	SYN
	RST
	PSH
	ACK
	URG
	ECE
	CWR
	AE
)

func (f TCPFlags) Has(g TCPFlags) bool { return f&g == g }
func (f TCPFlags) String() string      { panic("stub") }

type SACKBlock struct{ Start, End uint32 }

// MaxSACKBlocks fit in a header without other options.
const MaxSACKBlocks = 4

type TCPOptions struct {
	MSS            uint16 // zero: absent
	WindowScale    uint8
	HasWindowScale bool
	SACKPermitted  bool
	HasTimestamps  bool
	TSVal          uint32
	TSEcr          uint32
	NumSACK        uint8
	SACK           [MaxSACKBlocks]SACKBlock
	HasFastOpen    bool
	FastOpenLen    uint8 // zero: a request for a cookie
	FastOpenCookie [16]byte
	HasUserTimeout bool
	UserTimeout    uint16 // RFC 5482: granularity bit and value
}

type TCP struct {
	SrcPort  uint16
	DstPort  uint16
	Seq      uint32
	Ack      uint32
	Flags    TCPFlags
	Window   uint16
	Checksum uint16
	Urgent   uint16
	Options  TCPOptions
}

// ParseTCP fills h and returns the payload. Malformed options: DropBadOption; data offset out of range: DropBadLength.
func ParseTCP(b []byte, h *TCP) (payload []byte, err error) { panic("stub") }
func (h *TCP) HeaderLen() int                               { panic("stub") } // with options, multiple of 4, at most 60
func (h *TCP) Put(b []byte) int                             { panic("stub") } // returns HeaderLen

// ---- checksum
// Sum returns the ones' complement sum of b added to sum (not inverted); only the last piece of a message may have odd length.
func Sum(b []byte, sum uint16) uint16 { panic("stub") }

// PseudoSum is the sum of the pseudo-header of src, dst, proto and n transport bytes.
func PseudoSum(src, dst netip.Addr, proto Protocol, n int) uint16 { panic("stub") }

// SetChecksum computes the transport checksum of seg (its checksum field at off) and stores it; a zero result is stored as 0xffff for UDP.
func SetChecksum(src, dst netip.Addr, proto Protocol, seg []byte, off int) { panic("stub") }

// VerifyChecksum reports whether seg, checksum included, sums to all ones with its pseudo-header. (ICMPv4: use Sum(b,0)==0xffff.)
func VerifyChecksum(src, dst netip.Addr, proto Protocol, seg []byte) bool { panic("stub") }

// UpdateChecksum16 patches a checksum for a changed 16-bit field, RFC 1624.
func UpdateChecksum16(sum, old, new uint16) uint16 { panic("stub") }

const (
	TCPChecksumOffset  = 16
	UDPChecksumOffset  = 6
	ICMPChecksumOffset = 2
)

// ---- dump
// Dump appends a one-line, human reading of a frame, tcpdump-like; ethernet says whether b starts with an Ethernet header or an IP packet. Never fails.
func Dump(dst []byte, b []byte, ethernet bool) []byte { panic("stub") }
