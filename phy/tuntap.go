package phy

// A TunConfig says what a TUN or TAP interface is to be like. The zero value
// takes the interface as it is.
type TunConfig struct {
	// MTU is set on the interface, in bytes, from [MinMTU] to [MaxMTU]. Zero
	// leaves it alone; new interfaces have 1500.
	MTU int
}

// TunStats count what happened to a [TunTap] device's frames.
type TunStats struct {
	RxFrames uint64 // read from the interface
	TxFrames uint64 // accepted by it
	TxLost   uint64 // thrown away by it: the interface was down, or did not like the frame
	TxHeld   uint64 // kept for a while, as it was full
}
