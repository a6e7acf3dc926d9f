package phy

// A PacketConfig says how [OpenPacket] is to use an Ethernet interface. The
// zero value is a host of its own on that link, with an address that is made
// up.
type PacketConfig struct {
	// HardwareAddr is our address on the link, and that which Capabilities
	// name. It must differ from those of all others, the interface's too. The
	// zero address stands for a random, locally administered one.
	HardwareAddr [6]byte
	// Promiscuous takes all frames on the link, not only those to HardwareAddr
	// and to groups.
	Promiscuous bool
	// NoOffload does without the virtio-net header, as in a [TunConfig]. On
	// links whose other end is in this machine frames may arrive without the
	// checksums that nobody has computed.
	NoOffload bool
}
