package core_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/core"
	"smolnet/netstack/errno"
)

// openers open a socket of each kind that Limits.Sockets counts, and return its
// Close.
func openers(w *world, h *host) map[string]func() (func(), error) {
	return map[string]func() (func(), error){
		"listener": func() (func(), error) {
			l, err := h.c.ListenTCP(w.now, core.ListenOptions{Accept: func(*core.TCP) {}})
			return func() { l.Close(w.now) }, err
		},
		"UDP": func() (func(), error) {
			s, err := h.c.OpenUDP(w.now, core.UDPOptions{})
			return func() { s.Close() }, err
		},
		"connected UDP": func() (func(), error) {
			s, err := h.c.OpenUDP(w.now, core.UDPOptions{Remote: at(b4, 9)})
			return func() { s.Close() }, err
		},
		"ping": func() (func(), error) {
			s, err := h.c.OpenPing(w.now, core.PingOptions{Local: a4})
			return func() { s.Close() }, err
		},
	}
}

// TestSocketLimit: sockets are no more than Limits.Sockets, whatever they are.
func TestSocketLimit(t *testing.T) {
	const most = 4
	w, a := alone(t, func(c *core.Config, _ *core.InterfaceConfig) { c.Limits.Sockets = most })
	for kind, open := range openers(w, a) {
		var closers []func()
		for range most {
			end, err := open()
			require.NoError(t, err, kind)
			closers = append(closers, end)
		}
		for other, open := range openers(w, a) {
			_, err := open()
			require.Equal(t, errno.NoBufs, err, "%s after %s", other, kind)
		}
		for _, end := range closers {
			end()
		}
		w.run()
		require.Zero(t, a.c.Stats().Listeners)
		end, err := open()
		require.NoError(t, err, kind)
		end()
	}
}

// Nothing new is opened when the last part of the memory budget has begun.
func TestNoSocketsWithoutMemory(t *testing.T) {
	w, a := alone(t)
	p := a.c.Pool()
	most := p.Limit() - p.InUse()
	require.True(t, p.Reserve(most))
	for kind, open := range openers(w, a) {
		_, err := open()
		require.Equal(t, errno.NoBufs, err, kind)
	}
	p.Unreserve(most)
	for kind, open := range openers(w, a) {
		_, err := open()
		require.NoError(t, err, kind)
	}
}
