package compat

import (
	"io"
	"testing"

	"github.com/stretchr/testify/require"
)

var emptyBodies = []body{
	{"read of zero bytes", func(t *testing.T, e env, tr *transcript) {
		c, s := e.pair(t)
		n, err := c.Read(nil)
		tr.note("nothing there: %d %v", n, err)
		n, err = c.Read([]byte{})
		tr.note("nothing there: %d %v", n, err)
		writeAll(t, s, "data")
		readReady(t, c)
		n, err = c.Read(nil)
		tr.note("data there: %d %v", n, err)
		require.NoError(t, c.SetReadDeadline(past))
		n, err = c.Read(nil)
		tr.note("deadline past: %d %v", n, err)
		require.NoError(t, c.Close())
		n, err = c.Read(nil)
		tr.note("closed: %d %v", n, err)
	}},
	{"read of zero bytes at the end", func(t *testing.T, e env, tr *transcript) {
		c, s := e.pair(t)
		require.NoError(t, s.Close())
		_, err := c.Read(make([]byte, 1))
		tr.note("read: %v", err)
		n, err := c.Read(nil)
		tr.note("read nothing: %d %v", n, err)
	}},
	{"write of zero bytes", func(t *testing.T, e env, tr *transcript) {
		c, s := e.pair(t)
		n, err := c.Write(nil)
		tr.note("write: %d %v", n, err)
		require.NoError(t, c.(interface{ CloseWrite() error }).CloseWrite())
		n, err = c.Write(nil)
		tr.note("after CloseWrite: %d %v", n, err)
		require.NoError(t, c.Close())
		n, err = c.Write(nil)
		tr.note("after Close: %d %v", n, err)
		b, err := io.ReadAll(s)
		tr.note("peer: %d %v", len(b), err)
	}},
	{"read at the end again and again", func(t *testing.T, e env, tr *transcript) {
		c, s := e.pair(t)
		writeAll(t, s, "last")
		require.NoError(t, s.Close())
		b, err := io.ReadAll(c)
		tr.note("%q %v", b, err)
		for range 3 {
			n, err := c.Read(make([]byte, 1))
			tr.note("%d %v", n, err)
		}
	}},
}
