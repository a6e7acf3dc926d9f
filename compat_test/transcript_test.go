package compat

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
)

// A transcript is what a body saw: one line an observation, in words that do
// not depend on addresses, ports or times.
type transcript struct{ lines []string }

func (tr *transcript) note(format string, args ...any) {
	for i, a := range args {
		if err, ok := a.(error); ok {
			args[i] = describe(err)
		} else if a == nil {
			args[i] = "ok"
		}
	}
	tr.lines = append(tr.lines, fmt.Sprintf(format, args...))
}

func (tr *transcript) String() string { return strings.Join(tr.lines, "\n") }

// sentinels are what callers ask errors.Is about.
var sentinels = []struct {
	name string
	err  error
}{
	{"EOF", io.EOF},
	{"net.ErrClosed", net.ErrClosed},
	{"ErrDeadlineExceeded", os.ErrDeadlineExceeded},
	{"context.DeadlineExceeded", context.DeadlineExceeded},
	{"context.Canceled", context.Canceled},
	{"net.ErrWriteToConnected", net.ErrWriteToConnected},
	{"ECONNREFUSED", syscall.ECONNREFUSED},
	{"ECONNRESET", syscall.ECONNRESET},
	{"ECONNABORTED", syscall.ECONNABORTED},
	{"EPIPE", syscall.EPIPE},
	{"ETIMEDOUT", syscall.ETIMEDOUT},
	{"EADDRINUSE", syscall.EADDRINUSE},
	{"EADDRNOTAVAIL", syscall.EADDRNOTAVAIL},
	{"ENETUNREACH", syscall.ENETUNREACH},
	{"EHOSTUNREACH", syscall.EHOSTUNREACH},
	{"EMSGSIZE", syscall.EMSGSIZE},
	{"ENOTCONN", syscall.ENOTCONN},
	{"EDESTADDRREQ", syscall.EDESTADDRREQ},
	{"EINVAL", syscall.EINVAL},
	{"EACCES", syscall.EACCES},
	{"ENOBUFS", syscall.ENOBUFS},
	{"EAFNOSUPPORT", syscall.EAFNOSUPPORT},
}

// describe says of an error what a program can find out about it: its type,
// the fields of a *net.OpError, the net.Error methods by direct assertion as
// crypto/tls makes it, and every sentinel that it is.
func describe(err error) string {
	if err == io.EOF {
		return "bare EOF"
	}
	var b strings.Builder
	if op, ok := err.(*net.OpError); ok {
		fmt.Fprintf(&b, "OpError{%s %s source:%t addr:%t}", op.Op, op.Net, op.Source != nil, op.Addr != nil)
	} else {
		fmt.Fprintf(&b, "%T", err)
	}
	if ne, ok := err.(net.Error); ok {
		//lint:ignore SA1019 crypto/tls still asks
		fmt.Fprintf(&b, " timeout:%t temporary:%t", ne.Timeout(), ne.Temporary())
	}
	for _, s := range sentinels {
		if errors.Is(err, s.err) {
			b.WriteString(" " + s.name)
		}
	}
	return b.String()
}
