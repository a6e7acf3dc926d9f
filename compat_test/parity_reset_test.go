package compat

import (
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// reset ends c with a RST.
func reset(t *testing.T, c net.Conn) {
	t.Helper()
	require.NoError(t, c.(halfCloser).SetLinger(0))
	require.NoError(t, c.Close())
}

var resetBodies = []body{
	{"reset while a read waits", func(t *testing.T, e env, tr *transcript) {
		c, s := e.pair(t)
		done := make(chan error)
		go func() {
			_, err := c.Read(make([]byte, 1))
			done <- err
		}()
		reset(t, s)
		tr.note("read: %v", <-done)
	}},
	{"calls after a reset was read", func(t *testing.T, e env, tr *transcript) {
		c, s := e.pair(t)
		reset(t, s)
		for range 3 {
			n, err := c.Read(make([]byte, 1))
			tr.note("read: %d %v", n, err)
		}
		for range 2 {
			n, err := c.Write([]byte("x"))
			tr.note("write: %d %v", n, err)
		}
		n, err := c.Read(nil)
		tr.note("read nothing: %d %v", n, err)
		tr.note("CloseWrite: %v", c.(halfCloser).CloseWrite())
		tr.note("SetNoDelay: %v", c.(halfCloser).SetNoDelay(false))
		tr.note("SetDeadline: %v", c.SetDeadline(time.Time{}))
		tr.note("Close: %v", c.Close())
	}},
	{"a write finds the reset", func(t *testing.T, e env, tr *transcript) {
		c, s := e.pair(t)
		reset(t, s)
		err := writeUntilError(c)
		tr.note("first: %t", errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE))
		_, err = c.Write([]byte("x"))
		tr.note("then: %v", err)
		_, err = c.Read(make([]byte, 1))
		tr.note("read: %v", err)
	}},
	{"reset while a write waits", func(t *testing.T, e env, tr *transcript) {
		c, s := e.pair(t)
		done := make(chan error)
		go func() {
			_, err := c.Write(make([]byte, 64<<20))
			done <- err
		}()
		time.Sleep(50 * time.Millisecond)
		reset(t, s)
		tr.note("write: %v", <-done)
		_, err := c.Write([]byte("x"))
		tr.note("write: %v", err)
	}},
	{"data before a reset", func(t *testing.T, e env, tr *transcript) {
		c, s := e.pair(t)
		writeAll(t, s, "last words")
		readReady(t, c) // they have arrived
		reset(t, s)
		awaitReset(t, c)
		b, err := io.ReadAll(c)
		tr.note("%q %v", b, err)
	}},
	{"close with unread data", func(t *testing.T, e env, tr *transcript) {
		c, s := e.pair(t)
		writeAll(t, c, "never read")
		readReady(t, s)
		require.NoError(t, s.Close())
		_, err := c.Read(make([]byte, 1))
		tr.note("read: %v", err)
	}},
	{"data to a closed peer", func(t *testing.T, e env, tr *transcript) {
		c, s := e.pair(t)
		require.NoError(t, s.Close())
		n, err := c.Read(make([]byte, 1))
		tr.note("read: %d %v", n, err)
		n, err = c.Write([]byte("x"))
		tr.note("first write: %d %v", n, err)
		err = writeUntilError(c)
		tr.note("later write: %v", err)
		_, err = c.Write([]byte("x"))
		tr.note("then: %v", err)
		_, err = c.Read(make([]byte, 1))
		tr.note("read: %v", err)
	}},
}

// writeUntilError writes small pieces until the reset that they bring about,
// or that is on its way, has come.
func writeUntilError(c net.Conn) error {
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if _, err := c.Write([]byte("x")); err != nil {
			return err
		}
	}
	return errors.New("no error")
}

// awaitReset gives a reset that was sent time to arrive, without a call that
// would take notice of it.
func awaitReset(t *testing.T, c net.Conn) {
	t.Helper()
	time.Sleep(50 * time.Millisecond)
}
