package conn

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/errno"
	"smolnet/phy"
)

// TestOpError pins what each reason inside the stack becomes for users.
func TestOpError(t *testing.T) {
	local, remote := &net.TCPAddr{Port: 1}, &net.TCPAddr{Port: 2}
	for _, c := range []struct {
		in      error
		is      error
		call    bool // inside an *os.SyscallError
		timeout bool
	}{
		{in: errno.ConnRefused, is: syscall.ECONNREFUSED, call: true},
		{in: errno.ConnReset, is: syscall.ECONNRESET, call: true},
		{in: errno.ConnAborted, is: syscall.ECONNABORTED, call: true},
		{in: errno.TimedOut, is: syscall.ETIMEDOUT, call: true, timeout: true},
		{in: errno.HostUnreach, is: syscall.EHOSTUNREACH, call: true},
		{in: errno.NetUnreach, is: syscall.ENETUNREACH, call: true},
		{in: errno.AddrInUse, is: syscall.EADDRINUSE, call: true},
		{in: errno.AddrNotAvail, is: syscall.EADDRNOTAVAIL, call: true},
		{in: errno.NoBufs, is: syscall.ENOBUFS, call: true},
		{in: errno.MsgSize, is: syscall.EMSGSIZE, call: true},
		{in: errno.Pipe, is: syscall.EPIPE, call: true},
		{in: errno.NotConn, is: syscall.ENOTCONN, call: true},
		{in: errno.IsConn, is: syscall.EISCONN, call: true},
		{in: errno.Invalid, is: syscall.EINVAL, call: true},
		{in: errno.AFNoSupport, is: syscall.EAFNOSUPPORT, call: true},
		{in: errno.Acces, is: syscall.EACCES, call: true},
		{in: errno.ProtoNoSupport, is: syscall.ENOPROTOOPT, call: true},
		{in: errno.Errno(250), is: syscall.EINVAL, call: true},
		{in: syscall.EDESTADDRREQ, is: syscall.EDESTADDRREQ, call: true},
		{in: errno.Closed, is: net.ErrClosed},
		{in: phy.ErrClosed, is: net.ErrClosed},
		{in: fmt.Errorf("device: %w", phy.ErrClosed), is: net.ErrClosed},
		{in: os.ErrDeadlineExceeded, is: os.ErrDeadlineExceeded, timeout: true},
		{in: context.DeadlineExceeded, is: context.DeadlineExceeded, timeout: true},
		{in: context.Canceled, is: context.Canceled},
		{in: io.ErrShortWrite, is: io.ErrShortWrite},
	} {
		t.Run(c.in.Error(), func(t *testing.T) {
			err := OpError("read", "recv", "tcp4", local, remote, c.in)
			require.ErrorIs(t, err, c.is)
			oe := err.(*net.OpError)
			require.Equal(t, net.OpError{Op: "read", Net: "tcp4", Source: local, Addr: remote, Err: oe.Err}, *oe)
			require.Equal(t, c.timeout, err.(net.Error).Timeout())
			var se *os.SyscallError
			require.Equal(t, c.call, errors.As(err, &se))
			if c.call {
				require.Equal(t, "recv", se.Syscall)
			}
			if c.is == os.ErrDeadlineExceeded || c.is == context.DeadlineExceeded {
				require.True(t, err.(interface{ Temporary() bool }).Temporary(), "crypto/tls asks")
				require.Contains(t, err.Error(), "i/o timeout")
			}
			require.NotContains(t, err.Error(), "errno")
		})
	}
	require.NoError(t, OpError("read", "", "tcp", local, remote, nil))
	require.Contains(t, OpError("dial", "", "tcp", nil, nil, context.Canceled).Error(), "operation was canceled")
}
