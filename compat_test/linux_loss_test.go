//go:build linux

package compat

import (
	"context"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"hash"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	benchenv "smolnet/bench/env"
	"smolnet/bench/link"
	"smolnet/conn"
	"smolnet/internal/netns"
)

var (
	lossScale   = flag.Int64("loss-scale", 1, "how many times the bytes of the transfers over lossy links")
	lossBoth    = flag.Bool("loss-both", false, "the lossy links lose acknowledgments, too")
	lossControl = flag.String("loss-control", "", "the congestion control of the senders over lossy links: bbr; default CUBIC")
)

const (
	// lossDelay is each way.
	lossDelay = 25 * time.Millisecond
	// lossRate is that of the links, bits per second.
	lossRate = 100e6
	// leastGoodput is what is less than any sender should reach, Mbit/s.
	leastGoodput = 0.1
	// lossPatience is for one transfer, of the scale 1.
	lossPatience = time.Minute
)

// lossTransfers are the ways that data goes over a lossy link, first the one that
// the others are compared with.
var lossTransfers = []struct{ sender, receiver string }{
	{benchenv.Kernel, benchenv.Kernel},
	{benchenv.Smolnet, benchenv.Kernel},
	{benchenv.Kernel, benchenv.Smolnet},
}

// TestLinuxLoss sends over an emulated link that loses at random, stack to Linux,
// Linux to stack and Linux to Linux, and says what they reach. Every byte must
// arrive. All three have the same luck.
func TestLinuxLoss(t *testing.T) {
	for _, tt := range []struct {
		loss float64
		size int64 // some seconds, at the rate that CUBIC has at this loss
	}{{0, 16 << 20}, {0.01, 1 << 20}, {0.05, 256 << 10}} {
		t.Run(fmt.Sprintf("%v %%", 100*tt.loss), func(t *testing.T) {
			goodputs := make([]float64, len(lossTransfers))
			t.Run("transfers", func(t *testing.T) {
				for i, tr := range lossTransfers {
					t.Run(tr.sender+" to "+tr.receiver, func(t *testing.T) {
						t.Parallel()
						goodputs[i] = lossyTransfer(t, tr.sender, tr.receiver, tt.loss, tt.size**lossScale)
					})
				}
			})
			if t.Failed() || goodputs[0] == 0 {
				return
			}
			for i, tr := range lossTransfers[1:] {
				t.Logf("%s to %s / Linux to Linux: %.2f", tr.sender, tr.receiver, goodputs[i+1]/goodputs[0])
			}
		})
	}
}

// lossyTransfer sends size bytes from a stack to another one, and returns how fast
// they arrived, Mbit/s, from the first Write on.
func lossyTransfer(t *testing.T, sender, receiver string, loss float64, size int64) float64 {
	const seed = 1
	if *lossControl != "" {
		sender += "-" + *lossControl
	}
	there := link.Config{Delay: lossDelay, Rate: lossRate, Loss: loss, Seed: seed}
	back := link.Config{Delay: lossDelay, Rate: lossRate, Seed: seed + 1}
	if *lossBoth {
		back.Loss = loss
	}
	p, err := benchenv.MakeLossyBetween(sender, receiver, benchenv.Config{}, there, back)
	if errors.Is(err, benchenv.ErrUnavailable) {
		netns.Skip(t, "%v", err)
	}
	require.NoError(t, err)
	defer p.Close()
	from, to := lossyConnection(t, p)
	patience := time.Now().Add(lossPatience * time.Duration(*lossScale))
	require.NoError(t, from.SetDeadline(patience))
	require.NoError(t, to.SetDeadline(patience))

	begin := time.Now()
	sent := make(chan error, 1)
	go func() {
		_, err := io.Copy(struct{ io.Writer }{from}, random(seed, size))
		sent <- errors.Join(err, from.(interface{ CloseWrite() error }).CloseWrite())
	}()
	h := sha256.New()
	n, err := io.Copy(struct{ io.Writer }{h}, to)
	took := time.Since(begin)
	require.NoError(t, err)
	require.NoError(t, <-sent)
	requireSame(t, h, n, seed, size)

	goodput := float64(size) * 8 / 1e6 / took.Seconds()
	data, acks := p.Link.Stats()
	t.Logf("%.2f Mbit/s: %d bytes in %v; of %d packets %d were lost, %d found the queue full; of %d back, %d lost%s", goodput,
		size, took.Round(time.Millisecond), data.Sent, data.Lost, data.QueueFull, acks.Sent, acks.Lost, senderInfo(from))
	require.Greater(t, goodput, leastGoodput)
	require.Equal(t, loss > 0, data.Lost > 0)
	require.Zero(t, data.Overflow+data.TooLong+acks.Overflow+acks.TooLong+p.Lost(), "lost by the emulation itself")
	return goodput
}

// requireSame compares what arrived with what was sent.
func requireSame(t *testing.T, got hash.Hash, n int64, seed uint64, size int64) {
	t.Helper()
	require.Equal(t, size, n)
	require.Equal(t, hashOf(t, random(seed, size)), got.Sum(nil))
}

// lossyConnection returns the two ends of a connection from the client of p.
func lossyConnection(t *testing.T, p *benchenv.Lossy) (client, server net.Conn) {
	t.Helper()
	l, err := p.Server.Listen("tcp4", netip.AddrPortFrom(p.Server.Addr(), 0).String())
	require.NoError(t, err)
	defer l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), lossPatience)
	defer cancel()
	client, err = p.Client.Dial(ctx, "tcp4", l.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { client.Close() })
	server, err = l.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { server.Close() })
	return client, server
}

// senderInfo tells of a sender of ours what it has been through.
func senderInfo(c net.Conn) string {
	ours, ok := c.(*conn.TCP)
	if !ok {
		return ""
	}
	i := ours.Info()
	return fmt.Sprintf("; %s, %d sent again, %d recoveries, %d spurious, %d time-outs, %d tail probes",
		i.CongestionControl, i.Retransmits, i.FastRecoveries, i.SpuriousRecoveries, i.Timeouts, i.TailProbes)
}
