package conn

import (
	"context"
	"errors"
	"net"
	"os"
	"syscall"

	"smolnet/netstack/errno"
	"smolnet/phy"
)

// OpError returns err as package net would return it from the operation op on
// a socket of the given network: a *net.OpError with source and addr, in which
//
//   - an [errno.Errno] has become the syscall.Errno of the same meaning, inside
//     an *os.SyscallError of the named system call,
//   - errno.Closed and [phy.ErrClosed] have become net.ErrClosed,
//   - a context's error has become one with package net's text and methods,
//     that is still errors.Is the context's.
//
// Everything else is wrapped as it is. Nil stays nil.
func OpError(op, call, network string, source, addr net.Addr, err error) error {
	if err == nil {
		return nil
	}
	return &net.OpError{Op: op, Net: network, Source: source, Addr: addr, Err: cross(call, err)}
}

// cross turns an error of the stack's inside into one for package net's users.
func cross(call string, err error) error {
	switch e := err.(type) {
	case errno.Errno:
		if e == errno.Closed {
			return net.ErrClosed
		}
		return os.NewSyscallError(call, sysErrno(e))
	case syscall.Errno:
		return os.NewSyscallError(call, e)
	}
	switch {
	case err == context.DeadlineExceeded:
		return timeoutError{}
	case err == context.Canceled:
		return canceledError{}
	case errors.Is(err, phy.ErrClosed):
		return net.ErrClosed
	}
	return err
}

// sysErrnos are the system's names of our reasons.
var sysErrnos = [...]syscall.Errno{
	errno.WouldBlock:     syscall.EAGAIN,
	errno.ConnRefused:    syscall.ECONNREFUSED,
	errno.ConnReset:      syscall.ECONNRESET,
	errno.ConnAborted:    syscall.ECONNABORTED,
	errno.TimedOut:       syscall.ETIMEDOUT,
	errno.HostUnreach:    syscall.EHOSTUNREACH,
	errno.NetUnreach:     syscall.ENETUNREACH,
	errno.AddrInUse:      syscall.EADDRINUSE,
	errno.AddrNotAvail:   syscall.EADDRNOTAVAIL,
	errno.NoBufs:         syscall.ENOBUFS,
	errno.MsgSize:        syscall.EMSGSIZE,
	errno.Pipe:           syscall.EPIPE,
	errno.NotConn:        syscall.ENOTCONN,
	errno.IsConn:         syscall.EISCONN,
	errno.Invalid:        syscall.EINVAL,
	errno.AFNoSupport:    syscall.EAFNOSUPPORT,
	errno.Acces:          syscall.EACCES,
	errno.ProtoNoSupport: syscall.ENOPROTOOPT, // what Linux makes of an ICMP protocol unreachable
}

func sysErrno(e errno.Errno) syscall.Errno {
	if int(e) < len(sysErrnos) && sysErrnos[e] != 0 {
		return sysErrnos[e]
	}
	return syscall.EINVAL
}

// errInvalidRead is for an io.Reader that breaks the rules.
var errInvalidRead = errors.New("reader returned an invalid count from Read")

// errMissingAddress is for a datagram that was given no destination.
var errMissingAddress = errors.New("missing address")

// A timeoutError is what becomes of context.DeadlineExceeded.
type timeoutError struct{}

func (timeoutError) Error() string        { return "i/o timeout" }
func (timeoutError) Timeout() bool        { return true }
func (timeoutError) Temporary() bool      { return true }
func (timeoutError) Is(target error) bool { return target == context.DeadlineExceeded }

// A canceledError is what becomes of context.Canceled.
type canceledError struct{}

func (canceledError) Error() string        { return "operation was canceled" }
func (canceledError) Is(target error) bool { return target == context.Canceled }
