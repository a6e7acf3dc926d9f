package wire

// A HardwareAddr is a 48-bit link address.
type HardwareAddr [6]byte

// An EtherType names what an Ethernet frame carries.
type EtherType uint16

const (
	EtherTypeIPv4 EtherType = 0x0800
	EtherTypeARP  EtherType = 0x0806
	EtherTypeIPv6 EtherType = 0x86dd
)

// EthernetLen is the length of an Ethernet II header, bytes.
const EthernetLen = 14

// An Ethernet is an Ethernet II header.
type Ethernet struct {
	Dst  HardwareAddr
	Src  HardwareAddr
	Type EtherType
}

func ParseEthernet(b []byte) (h Ethernet, payload []byte, err error) { panic("stub") }
func (h *Ethernet) Put(b []byte)                                     { panic("stub") }
