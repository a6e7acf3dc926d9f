package core

import (
	"io"
	"net/netip"

	"smolnet/netstack/errno"
	"smolnet/netstack/stream"
)

// What a TCP socket shares with its user's goroutines: the two streams, and
// three words. The driver alone writes status, after the streams; the user alone
// sets bits in intent, after the streams, and then puts the socket on the dirty
// list. reported is for whoever comes first.

// The status word: what the driver has to say.
const (
	statusConnected  = 1 << iota // the handshake was completed
	statusPeerClosed             // the receive stream ends at its End
	statusFailed                 // with the errno from statusErrnoShift on
	statusFinished               // CLOSED or TIME-WAIT
	statusDeferred               // the SYN waits for the user

	statusErrnoShift = 8
)

// An intent is what the user wants of the driver.
type intent uint32

const (
	intentCloseWrite intent = 1 << iota
	intentCloseRead         // nothing to be done: Read looks at it
	intentClose
	intentAbort
	intentOpen // the SYN need not wait for text
)

// Read copies received bytes to b. With nothing to copy it returns
// errno.WouldBlock, or, in Linux's order: io.EOF after the peer's FIN; once, the
// errno that failed the connection, then io.EOF; io.EOF after CloseRead. What
// arrived before a failure is read before it is reported. errno.Closed after
// Close. An empty b gives 0, nil. Any goroutine.
func (s *TCP) Read(b []byte) (int, error) {
	want := intent(s.intent.Load())
	if want&(intentClose|intentAbort) != 0 {
		return 0, errno.Closed
	}
	if len(b) == 0 {
		return 0, nil
	}
	// The status before the stream: what it says holds for all that the stream
	// has by then.
	st := s.status.Load()
	if n := s.conn.In.Read(b); n > 0 {
		if s.conn.WindowUpdateDue() {
			s.kick()
		}
		return n, nil
	}
	switch {
	case st&statusPeerClosed != 0:
		return 0, io.EOF
	case st&statusFailed != 0:
		if e := s.takeFailure(st); e != errno.OK {
			return 0, e
		}
		return 0, io.EOF
	case want&intentCloseRead != 0:
		return 0, io.EOF
	case st&statusDeferred != 0:
		s.want(intentOpen) // the peer may be the one who speaks first
	}
	return 0, errno.WouldBlock
}

// LeastOffer is the length of the smallest buffer that is worth a call of Offer.
const LeastOffer = stream.PageSize

// An Offer is the buffer of a reader that waits, see [stream.Offer].
type Offer = stream.Offer

// Offer has what arrives next put into b, of LeastOffer bytes or more, while the
// reader waits for its Waiter to be told. Then it calls Withdraw. Any goroutine,
// the reader's.
func (s *TCP) Offer(o *Offer, b []byte) { s.conn.In.Offer(o, b) }

// Withdraw ends the wait: it returns how much of the buffer was filled. It reports
// false if that is being done: then the Waiter is going to be told, and the reader
// waits for that and calls it again. Any goroutine, the reader's.
func (s *TCP) Withdraw(o *Offer) (int, bool) {
	n, ok := s.conn.In.Withdraw(o)
	if n > 0 && s.conn.WindowUpdateDue() {
		s.kick()
	}
	return n, ok
}

// Readable reports whether Read has something to say: bytes, the end or an
// error. Any goroutine, the reader's.
func (s *TCP) Readable() bool {
	return s.conn.In.Len() > 0 ||
		s.status.Load()&(statusPeerClosed|statusFailed) != 0 || intent(s.intent.Load())&(intentCloseRead|intentClose|intentAbort) != 0
}

// Write copies b to the send stream. It returns a short count and
// errno.WouldBlock when that is full, errno.NoBufs if the memory budget is used
// up and nothing is on its way that would give some back. Once a failed
// connection's errno, then errno.Pipe, as after CloseWrite. errno.Closed after
// Close. Any goroutine.
func (s *TCP) Write(b []byte) (int, error) {
	want := intent(s.intent.Load())
	if want&(intentClose|intentAbort) != 0 {
		return 0, errno.Closed
	}
	st := s.status.Load()
	if st&statusFailed != 0 {
		// A connection that is reset after the peer's FIN fails with EPIPE on
		// Linux: the peer had said that it would not listen for ever.
		if e := s.takeFailure(st); e != errno.OK && !(e == errno.ConnReset && st&statusPeerClosed != 0) {
			return 0, e
		}
		return 0, errno.Pipe
	}
	if want&intentCloseWrite != 0 || st&statusFinished != 0 {
		return 0, errno.Pipe
	}
	n := s.conn.Out.Write(b)
	if n > 0 {
		s.kick()
	}
	switch {
	case n == len(b):
		return n, nil
	case n == 0 && s.conn.Out.Len() == 0 && s.conn.Out.Room() > 0:
		return 0, errno.NoBufs
	}
	return n, errno.WouldBlock
}

// takeFailure returns the errno that failed the connection to the first who
// asks, OK to all others.
func (s *TCP) takeFailure(st uint32) errno.Errno {
	if s.reported.Swap(1) != 0 {
		return errno.OK
	}
	return errno.Errno(st >> statusErrnoShift)
}

// want adds to the intents and tells the driver.
func (s *TCP) want(i intent) {
	s.intent.Or(uint32(i))
	s.kick()
}

// CloseWrite sends FIN after all that was written; after the writer has left.
// Any goroutine.
func (s *TCP) CloseWrite() { s.want(intentCloseWrite) }

// CloseRead has Read return io.EOF where it returned errno.WouldBlock. As on
// Linux the peer hears nothing of it: what it sends is still received, up to the
// window, and can be read; what is not read has Close send a reset. Any
// goroutine.
func (s *TCP) CloseRead() { s.intent.Or(uint32(intentCloseRead)) }

// Close gives up the socket, after reader and writer have left; it is the last
// call on s. What was written is still sent; if received bytes were not read the
// peer gets a reset (RFC 2525 2.17). The Waiter hears nothing more. Any
// goroutine.
func (s *TCP) Close() { s.want(intentClose) }

// Abort gives up the socket with a reset; like Close it is the last call. Any
// goroutine.
func (s *TCP) Abort() { s.want(intentAbort) }

// LocalAddr returns the local end. Any goroutine.
func (s *TCP) LocalAddr() netip.AddrPort { return s.conn.ID().Local }

// RemoteAddr returns the peer. Any goroutine.
func (s *TCP) RemoteAddr() netip.AddrPort { return s.conn.ID().Remote }

// Deferred reports whether the connection waits for the user's first Write or Read,
// see DialOptions.FastOpen. Any goroutine.
func (s *TCP) Deferred() bool { return s.status.Load()&statusDeferred != 0 }

// Connected reports whether the handshake was completed; the connection may
// have failed since. Any goroutine.
func (s *TCP) Connected() bool { return s.status.Load()&statusConnected != 0 }

// Err returns the errno that failed the connection, OK while nothing did. It
// may be asked any number of times and takes nothing from Read and Write. Any
// goroutine.
func (s *TCP) Err() errno.Errno {
	st := s.status.Load()
	if st&statusFailed == 0 {
		return errno.OK
	}
	return errno.Errno(st >> statusErrnoShift)
}

// Finished reports whether the connection is CLOSED or in TIME-WAIT: everything
// written was acknowledged, or it failed. Any goroutine.
func (s *TCP) Finished() bool { return s.status.Load()&statusFinished != 0 }
