package script

import (
	"smolnet/netstack/clock"
	"smolnet/netstack/errno"
)

// Env is what a subject is made with.
type Env struct {
	ISS, IRS uint32     // initial sequence numbers: the connection's, if there is a choice, and the peer's
	V6       bool       // over IPv6
	Room     int        // bytes of the buffers for what is sent; zero: the MTU
	Start    clock.Time // when the script begins
}

// Defaults of a subject.
const (
	DefaultMTU = 1500
	Epoch      = clock.Time(1e9) // when scripts begin
)

// An ICMP is a message that an error of ours came back with, about the
// connection's segment with a sequence number.
type ICMP struct {
	Err    errno.Errno // OK: the packet was too big
	MTU    int         // bytes of an IP packet
	Quotes bool        // Seq is set; else the segment is one in flight
	Seq    uint32
}

// A Subject is what a script is about: a connection, with whoever owns it, and
// its user's end. now never goes back.
type Subject interface {
	// Set changes a setting, of the configuration or of the connection that is
	// open.
	Set(now clock.Time, name string, words []string) error
	// Do is a call of the user or the owner: connect, listen, unlisten, close,
	// abort, "shutdown read", "shutdown write".
	Do(now clock.Time, call string) error
	// SetMTU changes the link's limit, bytes of an IP packet.
	SetMTU(now clock.Time, n int) error
	// ICMP passes a message on.
	ICMP(now clock.Time, m ICMP) error

	// Read and Write are the user's, and return what core.TCP's do.
	Read(b []byte) (int, error)
	Write(b []byte) (int, error)

	// Receive passes in what the peer sends.
	Receive(now clock.Time, s *Segment) error
	// Send returns what goes out next, false: nothing before Deadline. The
	// segment's data are valid until the next call.
	Send(now clock.Time) (s Segment, ok bool, err error)
	// Deadline returns when Send is to be called next.
	Deadline() clock.Time

	Info() any        // a struct; nil: there is no connection
	Stats() any       // a struct; nil: there are none
	Err() error       // why the connection failed
	Events() []string // what the user has heard of since it was last called
}
