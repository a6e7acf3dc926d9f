package wire

// A Drop is the reason why a packet went no further. It is an error, the index
// of a counter and a trace word at once. The zero Drop is no drop.
type Drop uint8

// The reasons. Their names are stable: they are the keys of the counters that
// users see.
const (
	DropNone            Drop = iota
	DropTruncated            // shorter than its headers say
	DropBadVersion           // IP version is neither 4 nor 6, or not its EtherType's
	DropBadLength            // a length field contradicts the packet or itself
	DropBadChecksum          // checksum does not match
	DropBadOption            // malformed IP, TCP or NDP option
	DropBadHeader            // a field has a value its RFC forbids
	DropUnknownProtocol      // EtherType, protocol or next header nobody handles
	DropNotForUs             // link or IP destination is not ours
	DropMartianSource        // source address that cannot be a sender (own, multicast, broadcast, loopback)
	DropMartianDest          // destination that must not be seen on a wire (loopback, unspecified)
	DropFragment             // fragment, and reassembly is not available
	DropHopLimit             // TTL or hop limit not acceptable (NDP needs 255)
	DropNoSocket             // no socket for this port
	DropNoConn               // TCP segment for no connection
	DropBadFlags             // impossible TCP flags (SYN+FIN, none)
	DropOutOfWindow          // TCP sequence number not acceptable
	DropBadAck               // TCP acknowledgment not acceptable
	DropPAWS                 // RFC 7323 timestamp too old
	DropDuplicate            // TCP segment entirely received before
	DropListenFull           // SYN queue or accept queue full
	DropRateLimited          // answer suppressed by a rate limit
	DropQueueFull            // a bounded queue was full
	DropNoMemory             // memory budget used up
	DropNoRoute              // no route to destination
	DropNoSourceAddr         // no usable source address
	DropUnresolved           // neighbour did not answer
	DropTooBig               // larger than the path takes and must not be fragmented
	DropForbiddenReply       // an answer that RFC 1122 3.2.2 or RFC 4443 2.4 forbids
	DropIgnored              // understood, valid, and of no interest
	DropClosed               // interface or stack is closed
	NumDrops
)

var dropNames = [NumDrops]string{
	"none", "truncated", "bad-version", "bad-length", "bad-checksum", "bad-option", "bad-header",
	"unknown-protocol", "not-for-us", "martian-source", "martian-dest", "fragment", "hop-limit",
	"no-socket", "no-conn", "bad-flags", "out-of-window", "bad-ack", "paws", "duplicate",
	"listen-full", "rate-limited", "queue-full", "no-memory", "no-route", "no-source-addr",
	"unresolved", "too-big", "forbidden-reply", "ignored", "closed",
}

// String returns the reason's stable name, such as "bad-checksum".
func (d Drop) String() string {
	if d < NumDrops {
		return dropNames[d]
	}
	return "unknown"
}

// Error makes a Drop an error.
func (d Drop) Error() string { return "packet dropped: " + d.String() }
