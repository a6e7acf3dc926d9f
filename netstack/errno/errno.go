// Package errno holds the small errors of socket operations inside the stack.
// The facade turns them into what package net's users expect.
package errno

// An Errno is why a socket operation failed. It is comparable, costs no
// allocation, and is an error unless it is [OK].
type Errno uint8

// The reasons. Each has its POSIX namesake's meaning.
const (
	OK             Errno = iota
	WouldBlock           // nothing to read, no room to write: wait and try again
	ConnRefused          // RST answered our SYN, or an ICMP port unreachable
	ConnReset            // RST on a synchronised connection
	ConnAborted          // aborted by the local user
	TimedOut             // retransmission, keep-alive or user timeout limit
	HostUnreach          // ICMP host unreachable, or no answer from the neighbour
	NetUnreach           // ICMP net unreachable, or no route
	AddrInUse            // local address and port are taken
	AddrNotAvail         // local address is not ours, or no ephemeral port is left
	NoBufs               // memory budget or a table is used up
	MsgSize              // datagram too large
	Pipe                 // write after the sending side was shut down
	NotConn              // not connected
	IsConn               // already connected
	Invalid              // argument that makes no sense
	Closed               // socket or stack is closed
	AFNoSupport          // address family does not fit the socket
	Acces                // not permitted (broadcast without opt-in)
	ProtoNoSupport       // ICMP protocol unreachable
	numErrnos
)

var names = [numErrnos]string{
	"ok", "operation would block", "connection refused", "connection reset by peer", "connection aborted",
	"connection timed out", "no route to host", "network is unreachable", "address already in use",
	"cannot assign requested address", "no buffer space available", "message too long", "broken pipe",
	"not connected", "already connected", "invalid argument", "use of closed socket",
	"address family not supported", "permission denied", "protocol not available",
}

// String returns a short description.
func (e Errno) String() string {
	if e < numErrnos {
		return names[e]
	}
	return "unknown error"
}

// Error makes an Errno an error.
func (e Errno) Error() string { return e.String() }

// Err returns nil for OK and e otherwise.
func (e Errno) Err() error {
	if e == OK {
		return nil
	}
	return e
}
