package phy

// A TunConfig says what a TUN or TAP interface is to be like. The zero value
// takes the interface as it is.
type TunConfig struct {
	// MTU is set on the interface, in bytes, from [MinMTU] to [MaxMTU]. Zero
	// leaves it alone; new interfaces have 1500.
	MTU int
	// TxQueueLen is set on the interface: how many frames the kernel keeps for
	// each of its queues until they are received, up to [MaxTxQueueLen]. What
	// comes when they are full is lost. Zero leaves it alone; new interfaces
	// have 500.
	TxQueueLen int
	// NoOffload does without the virtio-net header: every frame is at most MTU
	// bytes long, checksums are computed and verified.
	NoOffload bool
}

const (
	// MaxTunQueues is how many queues a TUN or TAP interface can have.
	MaxTunQueues = 256
	// MaxTxQueueLen is the largest TxQueueLen of a [TunConfig].
	MaxTxQueueLen = 1 << 16
)

// TunStats count what happened to a [TunTap] device's frames.
type TunStats struct {
	RxFrames uint64 // read from the interface
	RxBad    uint64 // thrown away, as their virtio-net header made no sense
	TxFrames uint64 // accepted by it
	TxLost   uint64 // thrown away by it: the interface was down, or did not like the frame
	TxHeld   uint64 // kept for a while, as it was full
}
